"""The requests this engine sends and the answers it lives on, against the schema of both versions of the API.

Every changing request of an estate that uses all of the engine is checked by the emulator's verifier, which agrees with
the official one on every recorded case, against the version it was sent to and against the other one. Every answer the
engine read is compared with what the schema says it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from controller.plan.step import Phase
from tests.engines.conformance import entry
from tests.engines.proxmox.cluster import emulated
from tests.engines.proxmox.driving import CT, VM, Driver, lxc, vm
from tests.proxmox.messages import Reply, Request
from tests.proxmox.schema import VERSIONS, load_schema
from tests.proxmox.test_returns import faults
from tests.proxmox.verifier import verify

Report = Callable[..., None]
RULES = [{"action": "ACCEPT", "proto": "tcp", "dport": p, "comment": "in"} for p in ("22", "80")]
_DISC = {"url": "https://a.example/x.iso", "storage": "local", "content": "iso"}
_JOB = {"storage": "local", "pool": "a-pool"}
FULL_VM = {
    "cpu": 2,
    "sockets": 1,
    "memory": "1GB",
    "balloon": "512MB",
    "cpu_type": "host",
    "numa": True,
    "bios": "ovmf",
    "machine": "q35",
    "ostype": "l26",
    "scsihw": "virtio-scsi-single",
    "agent": True,
    "vga": "std",
    "onboot": True,
    "disks": {"scsi0": {"size": "8GB", "ssd": True, "discard": True, "iothread": True}, "virtio1": "1GB"},
    "cdroms": {"ide3": "local:iso/debian-13.iso"},
    "efi": {"type": "4m", "keys": True},
    "tpm": {"version": "v2.0"},
    "nets": {"net0": {"bridge": "vmbr0", "tag": 5, "firewall": True, "rate": 10, "mtu": 1500}},
    "cloudinit": {
        "user": "ops",
        "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFoo+bar/baz0123456789abcdefghijklmnop= me"],
        "ip0": {"ip": "192.0.2.5/24", "gw": "192.0.2.1"},
        "nameservers": ["192.0.2.1"],
        "searchdomain": "example.org",
        "upgrade": False,
    },
    "startup": {"order": 3, "up": 10, "down": 20},
    "boot": ["scsi0", "net0"],
    "tags": ["web"],
    "description": "the shop",
    "firewall": {"enable": True, "policy_in": "DROP", "rules": RULES},
    "ha": {"state": "started", "max_restart": 2},
    "pool": "a-pool",
    "stop": {"timeout": "30s", "force": True},
    "snapshot": True,
}
FULL_CT = {
    **CT,
    "swap": "128MB",
    "cpu": 2,
    "cpulimit": 1,
    "cpuunits": 50,
    "nameservers": ["192.0.2.1"],
    "onboot": True,
    "nets": {"net0": {"bridge": "vmbr0", "ip": "192.0.2.9/24", "gw": "192.0.2.1", "firewall": True}},
    "mounts": {"mp0": {"path": "/data", "size": "2GB", "backup": True}},
    "pool": "a-pool",
}
MADE = {"clone": "base", "disk": "16GB", "memory": "1GB", "cloudinit": {"user": "ops"}}
FIRST = (
    entry("a-pool", "pool", specs={"comment": "one"}),
    vm("base", {**VM, "template": True}),
    entry("disc", "image", specs=_DISC),
    vm("full", FULL_VM),
    lxc("it", FULL_CT),
    vm("made", MADE),
    entry(
        "nightly", "backup-job", specs={"schedule": "02:00", "storage": "local", "pool": "a-pool", "keep": {"daily": 7}}
    ),
)
_SECOND_VM = {
    **{k: v for k, v in FULL_VM.items() if k not in ("ha", "nets", "pool", "tags", "startup", "cdroms")},
    "cpu": 4,
    "boot": ["scsi0"],
    "firewall": {"enable": True, "rules": [RULES[1]]},
    "disks": {"scsi0": {"size": "10GB", "ssd": True, "discard": True, "iothread": True}},
}
SECOND = (
    entry("a-pool", "pool", specs={"comment": "two"}),
    vm("base", {**VM, "template": True}),
    vm("full", _SECOND_VM),
    vm("made", MADE),
    lxc("it", {**FULL_CT, "memory": "512MB", "mounts": {"mp0": {"path": "/data", "size": "3GB", "backup": True}}}),
    entry("nightly", "backup-job", specs={**_JOB, "schedule": "03:00", "enabled": False}),
)


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_and_answers_keep_to_the_schema(version: str, tmp_path: Path, report_n: Report) -> None:
    exchanged: list[tuple[Request, Reply]] = []
    with emulated(tmp_path, version) as cluster:
        answer = cluster.serving.emulator.answer

        def noted(request: Request) -> Reply:
            reply = answer(request)
            if "PVEAPIToken" in request.headers.get("authorization", ""):
                exchanged.append((request, reply))
            return reply

        cluster.serving._listener._answer = noted
        driver = Driver(cluster)
        for state in (FIRST, SECOND, ()):
            done = await driver.bring(*state)
            assert await driver.settled(*state)
            if state is SECOND:
                await driver.runner.undo([d for d in done if d.step.phase is not Phase.RETIRE])
                await driver.bring(*state)
        await driver.engine.close()
    sent = _requests(exchanged, version, report_n)
    assert {"POST", "PUT", "DELETE", "GET"} == {verb for verb, _ in sent}
    assert len(sent) >= 35, sorted(sent)


def _requests(exchanged: list[tuple[Request, Reply]], version: str, report_n: Report) -> set[tuple[str, str]]:
    """(verb, path of the schema) of every request, each checked against both versions."""
    seen: set[tuple[str, str]] = set()
    for request, reply in exchanged:
        path = request.path.removeprefix("/api2/json")
        for one in VERSIONS:
            found = load_schema(one).find(request.verb, path)
            assert found is not None, (one, request.verb, path)
            method, in_path = found
            params: Mapping[str, Any] = {**request.query, **request.form, **in_path}
            assert verify(method, params) == {}, (one, request.verb, path, params)
            report_n("contract: proxmox requests", 1)
            if one == version and reply.status == 200:
                seen.add((request.verb, method.path))
                report_n("contract: proxmox answers", 1)
                told = orjson.loads(reply.body)["data"]
                wrong = faults(method.body.get("returns") or {}, told, method.path)
                assert [w for w in wrong if not w.startswith("/cluster/nextid")] == [], (path, told)
    return seen
