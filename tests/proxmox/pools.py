"""Pools and their members, in the old form (/pools/ID) and the new one (/pools?poolid=ID)."""

from __future__ import annotations

from typing import Any

from tests.proxmox.calls import Call, Routes
from tests.proxmox.faults import died
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import may
from tests.proxmox.world import World

_SEES = ("Pool.Audit", "Pool.Allocate")


def _pool(world: World, name: str, prefix: str = "") -> dict[str, Any]:
    if name not in world.pools:
        raise died(f"{prefix}pool '{name}' does not exist")
    return world.pools[name]


def _visible(call: Call, name: str) -> bool:
    return any(may(call.world, call.login, f"/pool/{name}", privilege) for privilege in _SEES)


def _list(call: Call) -> list[dict[str, Any]]:
    wanted = call.optional("poolid")
    if wanted is not None:
        _pool(call.world, wanted)
        return [{"poolid": wanted, **_details(call, wanted)}] if _visible(call, wanted) else []
    return [
        {"poolid": name, **_comment(pool)} for name, pool in sorted(call.world.pools.items()) if _visible(call, name)
    ]


def _comment(pool: dict[str, Any]) -> dict[str, Any]:
    return {"comment": pool["comment"]} if pool["comment"] else {}


def _details(call: Call, name: str) -> dict[str, Any]:
    world, pool = call.world, _pool(call.world, name)
    members: list[dict[str, Any]] = []
    for vmid in pool["vms"]:
        guest = world.guests.get(vmid)
        if guest is not None:
            row = {"id": f"{guest.kind}/{vmid}", "type": guest.kind, "vmid": vmid, "node": guest.node}
            members.append({**row, "status": "running" if guest.running else "stopped"})
    members += [{"id": f"storage/{s}", "type": "storage", "storage": s} for s in pool["storage"]]
    return {**_comment(pool), "members": members}


def _read(call: Call) -> dict[str, Any]:
    return _details(call, call.text("poolid"))


def _add(call: Call) -> None:
    name, world = call.text("poolid"), call.world
    if name in world.pools:
        raise died(f"create pool failed: pool '{name}' already exists")
    parent = name.rpartition("/")[0]
    if parent and parent not in world.pools:
        raise died(f"create pool failed: parent '{parent}' of pool '{name}' does not exist")
    world.pools[name] = {"comment": call.text("comment"), "vms": [], "storage": []}


def _change(call: Call) -> None:
    pool = _pool(call.world, call.text("poolid"), "update pools failed: ")
    if "comment" in call.params:
        pool["comment"] = call.text("comment")
    for vmid in map(int, split_list(call.text("vms"))):
        call.require(f"/vms/{vmid}", "VM.Allocate")
        _change_guest(call, pool, vmid)
    for storage in split_list(call.text("storage")):
        _change_storage(call, pool, storage)


def _change_guest(call: Call, pool: dict[str, Any], vmid: int) -> None:
    if call.flag("delete"):
        if vmid not in pool["vms"]:
            raise died(f"update pools failed: VM {vmid} is not a pool member")
        pool["vms"].remove(vmid)
        return
    if vmid in pool["vms"]:
        raise died(f"update pools failed: VM {vmid} is already a pool member")
    owner = call.world.pool_of(vmid)
    if owner is not None:
        if not call.flag("allow-move"):
            raise died(f"update pools failed: VM {vmid} belongs already to pool '{owner}' and 'allow-move' is not set")
        call.world.pools[owner]["vms"].remove(vmid)
    pool["vms"].append(vmid)


def _change_storage(call: Call, pool: dict[str, Any], storage: str) -> None:
    present = storage in pool["storage"]
    if present != call.flag("delete"):
        state = "is already a" if present else "is not a"
        raise died(f"update pools failed: Storage '{storage}' {state} pool member")
    if present:
        pool["storage"].remove(storage)
    else:
        pool["storage"].append(storage)


def _drop(call: Call) -> None:
    name = call.text("poolid")
    pool = _pool(call.world, name, "delete pool failed: ")
    contains = [f"VM {vmid}" for vmid in pool["vms"]] + [f"storage '{storage}'" for storage in pool["storage"]]
    contains += [f"pool '{other}'" for other in call.world.pools if other.startswith(f"{name}/")]
    if contains:
        raise died(f"delete pool failed: pool '{name}' is not empty (contains {contains[0]})")
    del call.world.pools[name]


ROUTES: Routes = {
    ("GET", "/pools"): _list,
    ("POST", "/pools"): _add,
    ("PUT", "/pools"): _change,
    ("DELETE", "/pools"): _drop,
    ("GET", "/pools/{poolid}"): _read,
    ("PUT", "/pools/{poolid}"): _change,
    ("DELETE", "/pools/{poolid}"): _drop,
}
