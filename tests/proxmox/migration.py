"""Moving guests between nodes."""

from __future__ import annotations

from typing import Any

from tests.proxmox import volumes
from tests.proxmox.calls import Call, Routes
from tests.proxmox.faults import TaskError, bad_parameter, died
from tests.proxmox.guest_config import check_unlocked, volumes_of
from tests.proxmox.power import sid, start_guest, stop_guest
from tests.proxmox.tasks import Action
from tests.proxmox.world import Guest, Task, World


def _local(world: World, guest: Guest) -> list[str]:
    found = volumes_of(world, guest, everything=True).values()
    return sorted({volid for volid in found if not world.storages[volumes.storage_name(volid)].shared})


def _preconditions(call: Call, kind: str) -> dict[str, Any]:
    guest = call.guest(kind)
    local = [
        {"volid": volid, "cdrom": 0, "is_unused": 0, "size": volume.size_bytes}
        for volid in _local(call.world, guest)
        if (volume := volumes.find(call.world, volid, guest.node)) is not None
    ]
    nodes = [name for name, node in call.world.nodes.items() if node.online and name != guest.node]
    return {
        "running": int(guest.running),
        "local_disks": local,
        "local_resources": [],
        "mapped-resources": [],
        "mapped-resource-info": {},
        "has-dbus-vmstate": 0,
        "allowed_nodes": nodes,
    }


def _migrate(call: Call, kind: str) -> str:
    world, guest, target = call.world, call.guest(kind), call.text("target")
    if target == call.node:
        raise bad_parameter("target", "target is local node.")
    if target not in world.nodes:
        raise died(f"no such cluster node '{target}'")
    check_unlocked(world, guest)
    if guest.running and kind == "qemu" and not call.flag("online"):
        raise died("can't migrate running VM without --online")
    if guest.running and kind == "lxc" and not (call.flag("restart") or call.flag("online")):
        raise died("can't migrate running container without --online or --restart")
    if sid(guest) in world.ha:
        return call.begin("hamigrate", guest.vmid, "ha-request", sid=sid(guest), move_to=target, relocate=False)
    return call.begin(
        f"{'qm' if kind == 'qemu' else 'vz'}migrate",
        guest.vmid,
        "migrate",
        vmid=guest.vmid,
        kind=kind,
        target=target,
        restart=call.flag("restart"),
        local=call.flag("with-local-disks"),
        progress="migration status",
    )


def _begins(world: World, task: Task) -> None:
    guest = world.guest(task.node, task.args["vmid"], task.args["kind"])
    check_unlocked(world, guest)
    if not world.nodes[task.args["target"]].online:
        raise TaskError(f"can't connect to node '{task.args['target']}' - No route to host")
    local = _local(world, guest)
    if local and guest.running and guest.kind == "qemu" and not task.args["local"]:
        raise TaskError(f"can't live migrate attached local disks without with-local-disks option - {local[0]}")
    for volid in local:
        if volumes.linked_to(world, volid):
            raise TaskError(f"can't migrate '{volid}' - base image still in use by linked clones")
    guest.config["lock"] = "migrate"
    task.args["locked"] = True


def _ends(world: World, task: Task) -> None:
    guest, target = world.guest(task.node, task.args["vmid"], task.args["kind"]), task.args["target"]
    if not world.nodes[target].online:
        raise TaskError("migration aborted - connection to target node lost")
    guest.config.pop("lock", None)
    for volid in _local(world, guest):
        volume = volumes.find(world, volid, guest.node)
        if volume is not None and volume.vmid == guest.vmid:
            volume.node = target
    restarts = guest.running and guest.kind == "lxc"
    if restarts:
        stop_guest(world, guest)
    guest.node = target
    if restarts:
        start_guest(world, guest)


def _unlock(world: World, task: Task) -> None:
    guest = world.guests.get(task.args["vmid"])
    if guest is not None and task.args.get("locked"):
        guest.config.pop("lock", None)


ROUTES: Routes = {
    ("GET", "/nodes/{node}/qemu/{vmid}/migrate"): lambda call: _preconditions(call, "qemu"),
    ("GET", "/nodes/{node}/lxc/{vmid}/migrate"): lambda call: _preconditions(call, "lxc"),
    ("POST", "/nodes/{node}/qemu/{vmid}/migrate"): lambda call: _migrate(call, "qemu"),
    ("POST", "/nodes/{node}/lxc/{vmid}/migrate"): lambda call: _migrate(call, "lxc"),
}

ACTIONS = {"migrate": Action(_begins, _ends, _unlock)}
