"""The emulator itself never breaks, and its world stays consistent, whatever is called."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.proxmox import volumes
from tests.proxmox.client import Answer
from tests.proxmox.emulator import Emulator
from tests.proxmox.guest_config import volumes_of
from tests.proxmox.messages import Request
from tests.proxmox.schema import read_xz
from tests.proxmox.serving import START_S

TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"


class Direct:
    """Calls an emulator without HTTP, as root, one second of emulated time apart."""

    def __init__(self) -> None:
        self._ticks = iter(range(10**9))
        self.emulator = Emulator(lambda: START_S + next(self._ticks))
        self._headers: dict[str, str] = {}
        data = self.call("POST", "/access/ticket", username="root@pam", password="emulator").data
        self._headers = {
            "cookie": f"PVEAuthCookie={data['ticket']}",
            "csrfpreventiontoken": data["CSRFPreventionToken"],
        }

    def call(self, verb: str, path: str, /, **params: Any) -> Answer:
        form = {key: str(value) for key, value in params.items()}
        reply = self.emulator.answer(Request(verb, f"/api2/json{path}", self._headers, form=form))
        body = orjson.loads(reply.body) if reply.body else {}
        return Answer(reply.status, reply.reason, body)


@pytest.fixture
def direct() -> Iterator[Direct]:
    found = Direct()
    yield found
    assert found.emulator.defects == []


def test_every_recorded_call_gets_an_answer(direct: Direct, report_n: Callable[..., None]) -> None:
    direct.call("POST", "/nodes/pve1/qemu", vmid=100, scsi0="local-lvm:1", net0="virtio,bridge=vmbr0")
    direct.call("POST", "/nodes/pve1/lxc", vmid=101, ostemplate=TEMPLATE, rootfs="local-lvm:1")
    cases = read_xz("paramcheck-cases.json.xz")
    for case in cases:
        params = {"node": "pve1", "vmid": "101" if "/lxc" in case["path"] else "100", **case["params"]}
        places = {key: quote(value, safe="") for key, value in params.items()}
        places = {"storage": "local", "iface": "x", "zone": "x", **places}
        path = case["path"].format(**places)
        inside = {key: value for key, value in params.items() if f"{{{key}}}" not in case["path"]}
        if case["path"] in ("/pools", "/storage", "/access/users") or "cluster" in case["path"]:
            inside = {key: value for key, value in case["params"].items() if f"{{{key}}}" not in case["path"]}
        direct.call(case["method"], path, **inside)
    report_n("PVE calls without defect", len(cases), len(direct.emulator.defects))


VERBS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/nodes/{node}/qemu", {"vmid": "{vmid}", "scsi0": "{store}:1", "net0": "virtio,bridge=vmbr0"}),
    ("DELETE", "{one}", {}),
    ("DELETE", "{one}", {"purge": 1, "destroy-unreferenced-disks": 1}),
    ("PUT", "{one}/config", {"scsi1": "{store}:2"}),
    ("PUT", "{one}/config", {"scsi0": "{store}:3,ssd=1"}),
    ("PUT", "{one}/config", {"delete": "scsi1"}),
    ("PUT", "{one}/config", {"delete": "unused0"}),
    ("PUT", "{one}/config", {"delete": "scsi0", "force": 1}),
    ("PUT", "{one}/config", {"ide2": "{store}:cloudinit"}),
    ("PUT", "{one}/config", {"sata0": "{store}:1", "cores": 2}),
    ("PUT", "{one}/config", {"revert": "sata0"}),
    ("PUT", "{one}/resize", {"disk": "scsi0", "size": "+1G"}),
    ("POST", "{one}/move_disk", {"disk": "scsi0", "storage": "{store}"}),
    ("POST", "{one}/move_disk", {"disk": "scsi1", "target-vmid": "{other}", "target-disk": "scsi5"}),
    ("POST", "{one}/status/start", {}),
    ("POST", "{one}/status/stop", {}),
    ("POST", "{one}/status/reboot", {}),
    ("POST", "{one}/snapshot", {"snapname": "s1"}),
    ("POST", "{one}/snapshot", {"snapname": "s2", "vmstate": 1}),
    ("POST", "{one}/snapshot/s1/rollback", {}),
    ("DELETE", "{one}/snapshot/s1", {}),
    ("POST", "{one}/template", {}),
    ("POST", "{one}/clone", {"newid": "{other}"}),
    ("POST", "{one}/clone", {"newid": "{other}", "full": 1, "storage": "{store}"}),
    ("POST", "{one}/migrate", {"target": "{node}", "online": 1, "with-local-disks": 1}),
    ("POST", "/cluster/ha/resources", {"sid": "vm:{vmid}"}),
    ("DELETE", "/cluster/ha/resources/vm:{vmid}", {}),
)


def wander(direct: Direct, seed: int, steps: int) -> None:
    """Random calls on a few guests, with tasks that take time and sometimes fail; with an odd seed workers die, too."""
    tidy = seed % 2 == 0
    ends = ["fail", "warn"] if tidy else ["fail", "die", "warn"]
    draw = random.Random(seed)
    world = direct.emulator.world
    for vmid in (100, 101):
        direct.call("POST", "/nodes/pve1/qemu", vmid=vmid, scsi0="local-lvm:1", scsi1="ceph:1")
    world.settings.task_length_s = {"*": draw.choice([0.0, 2.0, 15.0])}
    for _ in range(steps):
        vmid = draw.choice([100, 101, 102])
        guest = world.guests.get(vmid)
        node = guest.node if guest is not None and draw.random() < 0.9 else draw.choice(["pve1", "pve2"])
        words = {"vmid": vmid, "other": draw.choice([100, 101, 102]), "node": draw.choice(["pve1", "pve2"])}
        words |= {"store": draw.choice(["local-lvm", "ceph", "nfs"]), "one": f"/nodes/{node}/qemu/{vmid}"}
        verb, path, params = draw.choice(VERBS)
        if draw.random() < 0.07:
            world.faults.append({"on": "task", "kind": draw.choice(ends), "type": ".*"})
        busy = any(task.phase == "running" and task.args.get("vmid") == vmid for task in world.tasks)
        if draw.random() < 0.3 and guest is not None and not busy and guest.config.get("lock") != "destroyed":
            guest.config.pop("lock", None)
        direct.call(verb, path.format(**words), **{key: str(value).format(**words) for key, value in params.items()})
        check_world(direct.emulator)
        if tidy:
            check_nothing_orphaned(direct.emulator)


def check_world(emulator: Emulator) -> None:
    """Every volume a configuration names is there and named once, and no volume has the name of another."""
    world = emulator.world
    seen = [(volume.volid, volume.node) for volume in world.volumes]
    assert len(seen) == len(set(seen))
    for guest in world.guests.values():
        if guest.config.get("lock") in ("clone", "create", "destroyed"):
            continue
        named = [volid for key, volid in volumes_of(world, guest).items()]
        assert len(named) == len(set(named)), guest
        for volid in named:
            assert volumes.find(world, volid, guest.node) is not None, (volid, guest)


def check_nothing_orphaned(emulator: Emulator) -> None:
    """Every volume of a guest is named by its configuration, pending changes or snapshots."""
    world = emulator.world
    named = {volid for guest in world.guests.values() for volid in volumes_of(world, guest, everything=True).values()}
    destroyed = {vmid for vmid, guest in world.guests.items() if guest.config.get("lock") == "destroyed"}
    for volume in world.volumes:
        # A base that is still read from outlives its guest, with a warning.
        kept = volume.vmid in destroyed or volume.parent is not None or "base-" in volume.volid
        assert volume.vmid is None or kept or volume.volid in named, volume


@pytest.mark.parametrize("seed", range(12))
def test_no_walk_through_the_api_loses_a_volume(direct: Direct, seed: int, report_n: Callable[..., None]) -> None:
    wander(direct, seed, 150)
    report_n("PVE random calls", 150, len(direct.emulator.defects))
