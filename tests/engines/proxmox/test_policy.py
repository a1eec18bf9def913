"""D16: what reaches a node or the cluster is refused, with a token that could do it, and no text becomes an option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.value import Output
from controller.plan.resource import Allow, Mark
from controller.plan.step import OpId
from engines.engine import EngineError, Refused
from engines.proxmox import lines, marks, policy
from engines.proxmox.settings import Settings
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import CT, VM, Driver, expand, lxc, vm
from tests.engines.running import Held

Report = Callable[..., None]
ROW = "D16 proxmox danger"
MARK = '<!-- alma {"i":"conformance","s":"prod","r":"prod/shop/it","o":"x","f":[]} -->'
INJECTED = ("a,b=c", "x\ny", "x;y=1,z", "local-lvm:1,file=/dev/sda", "x\0", "x y=1,", "vmbr0,tag=1", "=,=")

_VM_DANGER: Mapping[str, Any] = {
    "args": "-device vfio-pci,host=01:00.0",
    "lock": "backup",
    "skiplock": True,
    "force": True,
    "hookscript": "local:snippets/x.sh",
    "hostpci": {"hostpci0": "01:00.0"},
    "usb": {"usb0": "host=1-1"},
    "serial": {"serial0": "/dev/ttyS0"},
    "parallel": {"parallel0": "/dev/parport0"},
    "virtiofs": {"virtiofs0": "share"},
    "romfile": "x.rom",
    "cicustom": "user=local:snippets/user.yaml",
    "rng": "/dev/urandom",
    "ivshmem": "size=1",
    "devices": ["/dev/kvm"],
}
_CT_DANGER: Mapping[str, Any] = {
    "lxc": ["lxc.mount.entry: /etc etc none bind"],
    "hookscript": "local:snippets/x.sh",
    "devices": ["/dev/fuse"],
    "lock": "backup",
    "skiplock": True,
    "force": True,
    "entrypoint": "/bin/sh",
    "env": {"A": "b"},
    "unprivileged": False,
    "features": {"nesting": True},
    "mounts": {"mp0": {"path": "/data/../etc", "size": "1GB"}},
    "image": "/etc/passwd",
}
_FEATURES = ("nesting", "keyctl", "fuse", "mknod", "mount", "force_rw_sys")
_FIELDS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "cpu_type": lambda v: {"cpu_type": v},
    "machine": lambda v: {"machine": v},
    "vga": lambda v: {"vga": v},
    "bridge": lambda v: {"nets": {"net0": {"bridge": v}}},
    "mac": lambda v: {"nets": {"net0": {"bridge": "vmbr0", "mac": v}}},
    "storage": lambda v: {"disk": None, "disks": {"scsi0": {"size": "1GB", "storage": v}}},
    "import": lambda v: {"disk": None, "disks": {"scsi0": {"size": "1GB", "import-from": v}}},
    "cdrom": lambda v: {"cdroms": {"ide3": v}},
    "boot": lambda v: {"boot": [v]},
    "ciuser": lambda v: {"cloudinit": {"user": v}},
    "ip": lambda v: {"cloudinit": {"ip0": {"ip": v}}},
    "gw": lambda v: {"cloudinit": {"ip0": {"ip": "dhcp", "gw": v}}},
    "searchdomain": lambda v: {"cloudinit": {"searchdomain": v}},
    "name": lambda v: {"name": v},
    "pool": lambda v: {"pool": v},
    "node": lambda v: {"node": v},
    "tags": lambda v: {"tags": [v]},
    "source": lambda v: {"firewall": {"rules": [{"action": "ACCEPT", "source": v}]}},
    "ha group": lambda v: {"ha": {"group": v}},
}


def refused_vm(**more: Any) -> bool:
    specs = {k: v for k, v in {**VM, **more}.items() if v is not None}
    return bool(expand([vm(specs=specs)])[1])


@pytest.mark.parametrize("key", sorted(_VM_DANGER))
def test_what_reaches_the_node_is_refused_on_a_vm(key: str, report_n: Report) -> None:
    objects, problems = expand([vm(specs={**VM, key: _VM_DANGER[key]})], Allow(options={f"proxmox.{key}": ("yes",)}))
    assert not objects
    assert any(key in str(p) for p in problems)
    report_n(ROW, 1)


@pytest.mark.parametrize("key", sorted(_CT_DANGER))
def test_what_reaches_the_node_is_refused_on_a_container(key: str, report_n: Report) -> None:
    objects, problems = expand([lxc(specs={**CT, key: _CT_DANGER[key]})])
    assert not objects
    assert problems
    report_n(ROW, 1)


@pytest.mark.parametrize("feature", _FEATURES)
def test_features_are_granted_one_by_one(feature: str, report_n: Report) -> None:
    asked = [lxc(specs={**CT, "features": {feature: True}})]
    assert expand(asked)[1]
    others = Allow(options={"proxmox.features": tuple(f for f in _FEATURES if f != feature)})
    assert expand(asked, others)[1]
    report_n(ROW, 2)


@pytest.mark.parametrize("value", INJECTED, ids=range(len(INJECTED)))
@pytest.mark.parametrize("name", sorted(_FIELDS))
def test_no_text_becomes_another_option(name: str, value: str, report_n: Report) -> None:
    assert refused_vm(**_FIELDS[name](value))
    report_n(ROW, 1)


@pytest.mark.parametrize("path", ["/dev/sda", "local:../../etc/passwd", "local-lvm:vm-100-disk-0", "local:snippets/a"])
def test_neither_paths_nor_disks_of_others_are_imported(path: str, report_n: Report) -> None:
    assert refused_vm(disk=None, disks={"scsi0": {"size": "1GB", "import-from": path}})
    report_n(ROW, 1)


@pytest.mark.parametrize("notes", [MARK, f"hello\n{MARK}", "<!--  ALMA {} -->", "x <!--alma y"])
def test_notes_and_tags_that_say_who_owns_are_refused(notes: str, report_n: Report) -> None:
    assert refused_vm(description=notes)
    assert refused_vm(tags=["alma"]) and refused_vm(tags="web;ALMA")
    report_n(ROW, 3)


async def test_notes_that_become_a_marker_only_when_filled_are_refused(cluster: Cluster, report_n: Report) -> None:
    driver = Driver(cluster)
    (step, *_) = await driver.steps(lxc(specs={**CT, "description": Output("prod/shop/db", "name")}))
    driver.runner.outputs[("prod/shop/db", "name")] = MARK
    prior = await driver.engine.prior(step, driver.runner.seal)
    with pytest.raises(Refused, match="who owns"):
        await driver.engine.do(OpId("forgedmark11"), step, prior, driver.runner.values(), Held())
    assert not cluster.changes()
    report_n(ROW, 1)
    await driver.engine.close()


_OUTSIDE: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "storage": ({"disk": None, "disks": {"scsi0": {"size": "1GB", "storage": "ceph"}}}, {"storages": ["local-lvm"]}),
    "bridge": ({"nets": {"net0": {"bridge": "vmbr1"}}}, {"bridges": ["vmbr0"]}),
    "node": ({"node": "pve2"}, {"nodes": ["pve1"]}),
    "pool": ({"pool": "theirs"}, {"pools": ["ours"]}),
    "vmid": ({"vmid": 101}, {}),
    "template of others": ({"disk": None, "clone": 900}, {}),
}


@pytest.mark.parametrize("what", sorted(_OUTSIDE))
async def test_what_lies_outside_the_target_is_refused(what: str, cluster: Cluster, report_n: Report) -> None:
    cluster.root.post("/nodes/pve1/qemu", vmid=900, name="theirs")
    cluster.root.post("/pools", poolid="theirs")
    specs, bounds = _OUTSIDE[what]
    driver = Driver(cluster, **bounds)
    asked = vm(specs={k: v for k, v in {**VM, **specs}.items() if v is not None})
    with pytest.raises(EngineError):
        await driver.bring(asked)
    assert not cluster.changes()
    report_n(ROW, 1)
    await driver.engine.close()


@pytest.mark.parametrize("what", ["storage", "bridge", "node", "pool"])
def test_what_another_repository_may_name_is_refused_here(what: str, report_n: Report) -> None:
    specs, _ = _OUTSIDE[what]
    asked = vm(specs={k: v for k, v in {**VM, **specs}.items() if v is not None})
    assert expand([asked], Allow(options={f"proxmox.{what}s": ("mine",)}))[1]
    report_n(ROW, 1)


async def test_the_filled_body_is_judged_once_more_before_it_is_sent(cluster: Cluster, report_n: Report) -> None:
    """A step that no preview of ours makes, as a forged journal would hold it."""
    driver = Driver(cluster)
    await driver.bring(vm())
    (step,) = await driver.steps(vm(specs={**VM, "onboot": True}))
    for raw in ({"nets.net0.bridge": "vmbr0,tag=1"}, {"cpu_type": "host,hidden=1"}, {"machine": "q35\nargs: -x"}):
        forged = replace(step, request={**step.request, "set": raw})
        prior = await driver.engine.prior(forged, driver.runner.seal)
        with pytest.raises(Refused):
            await driver.engine.do(OpId("forgedstep11"), forged, prior, driver.runner.values(), Held())
        report_n(ROW, 1)
    assert "onboot" not in driver.config()
    await driver.engine.close()


BOUNDS = Settings("pve", 8006, "a@pve", "t", "s")


@pytest.mark.parametrize("kind", ["qemu", "lxc"])
@pytest.mark.parametrize(
    "key", ["args", "hookscript", "lock", "skiplock", "hostpci0", "usb0", "serial0", "virtiofs0", "dev0", "cicustom"]
)
def test_a_parameter_that_is_not_named_is_never_sent(kind: str, key: str, report_n: Report) -> None:
    assert policy.config(kind, {key: "1"}, {}, Allow(options={f"proxmox.{key}": ("yes",)}), BOUNDS)
    report_n(ROW, 1)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20), min_size=1, max_size=4))
def test_a_line_that_can_be_written_reads_back_as_the_same_parts(line: dict[str, str]) -> None:
    try:
        text = lines.write("scsi0", line)
    except ValueError:
        return
    assert lines.read("scsi0", text) == line


@given(st.text(max_size=300))
def test_people_s_notes_live_beside_the_marker_and_never_become_one(text: str) -> None:
    if marks.forges(text):
        return
    said = marks.Marker(Mark("home", "prod", "prod/shop/it", "op"), "op")
    whole = marks.with_marker(text, said)
    assert marks.notes_of(whole) == text.strip("\n").rstrip()
    found = marks.read(whole, "home")
    assert found == said
