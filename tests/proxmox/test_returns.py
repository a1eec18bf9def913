"""What the emulator answers has the shape that the official schema declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.proxmox.catalogue import ROUTES
from tests.proxmox.client import Client, logged_in
from tests.proxmox.schema import VERSIONS, load_schema
from tests.proxmox.serving import Serving

TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
PLACES = {
    "node": "pve1",
    "vmid": "100",
    "storage": "local",
    "volume": "local:iso/debian-13.iso",
    "userid": "alma@pve",
    "tokenid": "ctl",
    "roleid": "PVEAdmin",
    "poolid": "a",
    "sid": "vm:100",
    "snapname": "s1",
    "id": "nightly",
    "zone": "z1",
    "vnet": "v1",
    "iface": "vmbr0",
    "pos": "0",
    "group": "web",
    "name": "ok",
}


# The real server answers with text here, whatever the schema declares.
KNOWN = ("/cluster/nextid is '101', not integer",)


def furnished(pve: Client) -> str:
    """A cluster that has one of everything; the UPID of one of its tasks."""
    pve.post("/pools", poolid="a")
    pve.post("/access/users", userid="alma@pve", comment="c")
    pve.post("/access/users/alma@pve/token/ctl")
    pve.post("/access/groups", groupid="ops")
    pve.put("/access/acl", path="/", roles="PVEAdmin", users="alma@pve")
    disk = {"scsi0": "local-lvm:1", "net0": "virtio,bridge=vmbr0", "agent": 1}
    upid = str(pve.post("/nodes/pve1/qemu", vmid=100, pool="a", tags="x", **disk))
    pve.ok(pve.post("/nodes/pve1/lxc", vmid=200, ostemplate=TEMPLATE, rootfs="local-lvm:1"))
    for path in ("/nodes/pve1/qemu/100", "/nodes/pve1/lxc/200"):
        pve.ok(pve.post(f"{path}/snapshot", snapname="s1"))
        pve.ok(pve.post(f"{path}/status/start"))
        pve.put(f"{path}/config", description="d")
    pve.post("/cluster/ha/resources", sid="vm:100")
    pve.post("/cluster/backup", id="nightly", vmid="100", schedule="02:00")
    pve.post("/cluster/firewall/groups", group="web")
    pve.post("/cluster/sdn/zones", zone="z1", type="simple")
    pve.post("/cluster/sdn/vnets", vnet="v1", zone="z1")
    for path in ("/cluster", "/nodes/pve1/qemu/100", "/nodes/pve1/lxc/200"):
        pve.post(f"{path}/firewall/ipset", name="ok")
        pve.post(f"{path}/firewall/ipset/ok", cidr="10.0.0.1")
        pve.post(f"{path}/firewall/aliases", name="web", cidr="10.0.0.1")
    for path in (
        "cluster/firewall",
        "nodes/pve1/firewall",
        "nodes/pve1/qemu/100/firewall",
        "nodes/pve1/lxc/200/firewall",
    ):
        pve.post(f"/{path}/rules", type="in", action="ACCEPT", enable=1)
    pve.post("/cluster/firewall/groups/web", type="in", action="ACCEPT")
    return upid


def faults(schema: Mapping[str, Any], value: Any, path: str) -> list[str]:
    """Where `value` has another type than declared, or lacks what is declared as always there."""
    kind = schema.get("type")
    if kind == "array" and isinstance(value, list):
        return [
            fault for n, item in enumerate(value) for fault in faults(schema.get("items", {}), item, f"{path}[{n}]")
        ]
    if kind == "object" and isinstance(value, dict):
        declared: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
        missing = [
            f"{path}.{name} is missing"
            for name, part in declared.items()
            if name not in value and str(part.get("optional", 0)) != "1" and "[n]" not in name
        ]
        return missing + [
            fault
            for name, part in declared.items()
            if name in value
            for fault in faults(part, value[name], f"{path}.{name}")
        ]
    return [] if _fits(kind, value) else [f"{path} is {value!r}, not {kind}"]


def _fits(kind: object, value: Any) -> bool:
    types: dict[object, Any] = {
        "string": (str, int, float),  # Perl does not tell them apart; JSON shows what was last done with the value
        "integer": int,
        "number": (int, float),
        "boolean": int,
        "null": type(None),
        "array": list,
        "object": dict,
    }
    return isinstance(value, types.get(kind, object))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_answer_to_a_get_has_the_declared_types(version: str, report_n: Callable[..., None]) -> None:
    schema, wrong, asked = load_schema(version), [], 0
    with Serving(version=version) as serving:
        pve = logged_in(serving.url)
        upid = furnished(pve)
        for verb, path in sorted(ROUTES):
            if verb != "GET" or (verb, path) not in schema.methods:
                continue
            vmid = "200" if "/lxc" in path else "100"
            asked += 1
            reply = pve.call("GET", path.format(**{**PLACES, "vmid": vmid, "upid": upid}))
            assert reply.status == 200, (path, reply)
            found = faults(schema.method(verb, path).body["returns"], reply.data, path)
            wrong += [fault for fault in found if fault not in KNOWN]
        pve.close()
    report_n("PVE returned shapes", asked, len(wrong))
    assert wrong == []
