"""The Proxmox VE engine keeps the contract of all engines, on an emulated cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from controller.blueprint.value import Output, Secret
from tests.engines.conformance import SECRET_REF, Case, EngineConformance, entry
from tests.engines.proxmox.cluster import TEMPLATE, Cluster, Harness

CT = {"image": TEMPLATE, "memory": "256MB", "disk": "4GB"}
VM = {"cpu": 2, "memory": "512MB", "disk": "8GB"}
NET = {"nets": {"net0": {"bridge": "vmbr0"}}}


def ct(specs: Mapping[str, object] = CT, **more: Any) -> tuple[Any, ...]:
    return (entry("it", "lxc", specs=specs, **more),)


def vm(specs: Mapping[str, object] = VM, **more: Any) -> tuple[Any, ...]:
    return (entry("it", "vm", specs=specs, **more),)


def walls(*rules: Mapping[str, object], **options: object) -> dict[str, object]:
    return {"firewall": {**options, "rules": list(rules)}}


SSH = {"action": "ACCEPT", "proto": "tcp", "dport": "22"}
HTTP = {"action": "ACCEPT", "proto": "tcp", "dport": "80"}


class TestProxmoxConformance(EngineConformance):
    """One case per shape of change that a cluster has."""

    row = "B1 proxmox contract"
    unmarked_calls = frozenset({"image.download"})
    cases: ClassVar[list[Case]] = [
        Case("container in place", ct(), ct({**CT, "memory": "512MB"}), tampered="memory"),
        Case("vm in place", vm({**VM, **NET}), vm({**VM, "nets": {"net0": {"bridge": "vmbr1", "tag": 5}}})),
        Case("vm reboots", vm(), vm({**VM, "cpu": 4}), tampered="cores"),
        Case(
            "vm reboots behind a snapshot",
            vm({**VM, "snapshot": True}),
            vm({**VM, "cpu": 4, "snapshot": {"rollback": True}}),
        ),
        Case("dropped field", ct({**CT, "nameservers": ["192.0.2.1"]}), ct(), dropped="nameservers"),
        Case("dropped card", vm({**VM, **NET}), vm(), dropped="nets.net0.bridge"),
        Case("tags and notes", vm({**VM, "tags": ["web"], "description": "the shop"}), vm({**VM, "tags": ["db", "b"]})),
        Case("stopped", ct({**CT, "running": True}), ct({**CT, "running": False})),
        Case("a second disk", vm({**VM}), vm({"cpu": 2, "memory": "512MB", "disks": {"scsi0": "8GB", "scsi1": "2GB"}})),
        Case(
            "cloud-init",
            vm({**VM, "cloudinit": {"user": "ops", "ip0": {"ip": "192.0.2.5/24"}}}),
            vm({**VM, "cloudinit": {"user": "dev", "ip0": {"ip": "192.0.2.6/24"}}}),
        ),
        Case(
            "firewall",
            ct({**CT, **walls(SSH, HTTP, enable=True)}),
            ct({**CT, **walls(HTTP, {**SSH, "source": "192.0.2.0/24"}, enable=True, policy_in="DROP")}),
        ),
        Case("high availability", vm({**VM, "ha": {"state": "started"}}), vm({**VM, "ha": {"max_restart": 2}})),
        Case(
            "pool, member and job",
            (
                entry("a-lab", "pool", specs={"comment": "wanted"}),
                *ct({**CT, "pool": "a-lab"}),
                entry("nightly", "backup-job", specs={"schedule": "02:00", "storage": "local", "pool": "a-lab"}),
            ),
            (entry("a-lab", "pool", specs={"comment": "other"}), *ct({**CT, "memory": "512MB"})),
        ),
        Case(
            "clone of a template",
            (
                entry("base", "vm", specs={**VM, "template": True}),
                *vm({"clone": "base", "disk": "16GB", "memory": "1GB"}),
            ),
            (
                entry("base", "vm", specs={**VM, "template": True}),
                *vm({"clone": "base", "disk": "16GB", "memory": "1GB", "cpu": 4}),
            ),
        ),
    ]
    secret = vm({**VM, "cloudinit": {"password": Secret(SECRET_REF)}})
    linked = (
        entry("db", "lxc", specs={**CT, "nets": {"net0": {"bridge": "vmbr0", "ip": "192.0.2.9/24"}}}),
        entry("web", "lxc", specs={**CT, "description": Output("prod/shop/db", "address")}),
    )
    alone = entry("web", "lxc", specs=CT)
    renamed = replace(alone, name="front", formerly=("prod/shop/web",))

    @pytest.fixture
    def harness(self, cluster: Cluster) -> Harness:
        return Harness(cluster)
