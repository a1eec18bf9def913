"""Snapshots: taken, listed, described, rolled back to, removed; and what each of them refuses."""

from __future__ import annotations

from typing import Any

from tests.proxmox import volumes
from tests.proxmox.birth import draw_uuid
from tests.proxmox.calls import Call, Handler, Routes
from tests.proxmox.config_change import forget_pending
from tests.proxmox.drives import is_cloudinit
from tests.proxmox.faults import TaskError, bad_parameter, died
from tests.proxmox.guest_config import add_unused, check_unlocked, digest, volumes_of
from tests.proxmox.power import start_guest
from tests.proxmox.tasks import Action
from tests.proxmox.world import Guest, Task, World

_RESERVED = {"qemu": ("current", "pending"), "lxc": ("current", "vzdump")}
_KEPT_ON_ROLLBACK = ("description",)


def _list(call: Call, kind: str) -> list[dict[str, Any]]:
    guest = call.guest(kind)
    rows = [_row(name, snapshot) for name, snapshot in guest.snapshots.items()]
    current: dict[str, Any] = {"name": "current", "description": "You are here!", "digest": digest(guest)}
    current["running"] = int(guest.running)
    if "parent" in guest.config:
        current["parent"] = guest.config["parent"]
    return [*rows, current]


def _row(name: str, snapshot: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "snaptime": snapshot["snaptime"],
        "description": snapshot["description"],
        "vmstate": snapshot["vmstate"],
    }
    return {**row, "parent": snapshot["parent"]} if snapshot.get("parent") else row


def _take(call: Call, kind: str) -> str:
    guest, name = call.guest(kind), call.text("snapname")
    if name in _RESERVED[kind]:
        raise bad_parameter("snapname", f"unable to use snapshot name '{name}' (reserved name)")
    verb = "qmsnapshot" if kind == "qemu" else "vzsnapshot"
    return call.begin(
        verb,
        guest.vmid,
        "snapshot",
        vmid=guest.vmid,
        kind=kind,
        name=name,
        description=call.text("description"),
        vmstate=call.flag("vmstate"),
    )


def _guest(world: World, task: Task) -> Guest:
    return world.guest(task.node, task.args["vmid"], task.args["kind"])


def _take_begins(world: World, task: Task) -> None:
    guest, name = _guest(world, task), task.args["name"]
    check_unlocked(world, guest)
    if guest.config.get("template") == "1":
        raise TaskError("you can't take a snapshot if it's a template")
    if name in guest.snapshots:
        raise TaskError(f"snapshot name '{name}' already used")
    for volid in volumes_of(world, guest).values():
        volume = volumes.find(world, volid, guest.node)
        if volume is not None and volume.vmid == guest.vmid and not volumes.can_snapshot(world, volume):
            raise TaskError("snapshot feature is not available")
    guest.config["lock"] = "snapshot"
    task.args["locked"] = True


def _take_ends(world: World, task: Task) -> None:
    guest, name = _guest(world, task), task.args["name"]
    guest.config.pop("lock", None)
    config = {key: value for key, value in guest.config.items() if not key.startswith("unused") and key != "parent"}
    guest.snapshots[name] = {
        "config": config,
        "snaptime": int(world.now_s),
        "description": task.args["description"],
        "vmstate": int(task.args["vmstate"] and guest.running),
        "parent": guest.config.get("parent"),
    }
    guest.config["parent"] = name


def _unlock(world: World, task: Task) -> None:
    guest = world.guests.get(task.args["vmid"])
    if guest is not None and task.args.get("locked"):
        guest.config.pop("lock", None)


def _existing(guest: Guest, name: str) -> dict[str, Any]:
    if name not in guest.snapshots:
        raise died(f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


def _begin(call: Call, kind: str, verb: str) -> str:
    guest, name = call.guest(kind), call.text("snapname")
    prefix = "qm" if kind == "qemu" else "vz"
    type_ = f"{prefix}rollback" if verb == "rollback" else f"{prefix}delsnapshot"
    start = call.flag("start")
    return call.begin(type_, guest.vmid, verb, vmid=guest.vmid, kind=kind, name=name, start=start)


def _rollback_begins(world: World, task: Task) -> None:
    guest, name = _guest(world, task), task.args["name"]
    check_unlocked(world, guest)
    if guest.config.get("template") == "1":
        raise TaskError("you can't rollback if the guest is a template")
    snapshot = _existing(guest, name)
    for volid in volumes_of(world, guest).values():
        kind = world.storages[volumes.storage_name(volid)].type
        if kind == "zfspool" and guest.config.get("parent") != name:
            raise TaskError(f"can't rollback, '{name}' is not most recent snapshot on '{volid}'")
    if snapshot.get("snapstate"):
        raise TaskError(f"unable to rollback to incomplete snapshot (snapstate = {snapshot['snapstate']})")
    guest.running = guest.paused = False
    guest.config["lock"] = "rollback"
    task.args["locked"] = True


def _rollback_ends(world: World, task: Task) -> None:
    guest, name = _guest(world, task), task.args["name"]
    snapshot, before = guest.snapshots[name], volumes_of(world, guest)
    config = {key: value for key, value in snapshot["config"].items() if key not in _KEPT_ON_ROLLBACK}
    guest.removals = {}
    for key in list(guest.pending):
        forget_pending(world, guest, key)
    keeps = {key: guest.config[key] for key in guest.config if key in _KEPT_ON_ROLLBACK or key.startswith("unused")}
    guest.config = {**config, **keeps, "parent": name}
    if guest.kind == "qemu":
        guest.config["vmgenid"] = draw_uuid(world)
    now = set(volumes_of(world, guest).values())
    guest.config = {k: v for k, v in guest.config.items() if not (k.startswith("unused") and v in now)}
    for volid in before.values():
        if volid not in now and is_cloudinit(volid):
            volumes.remove(world, volid, guest.node)
        elif volid not in now:
            add_unused(guest, volid)
    if snapshot["vmstate"] or task.args["start"]:
        start_guest(world, guest)


def _remove_begins(world: World, task: Task) -> None:
    guest = _guest(world, task)
    check_unlocked(world, guest)
    _existing(guest, task.args["name"])
    guest.config["lock"] = "snapshot-delete"
    task.args["locked"] = True


def _remove_ends(world: World, task: Task) -> None:
    guest, name = _guest(world, task), task.args["name"]
    guest.config.pop("lock", None)
    parent = guest.snapshots.pop(name).get("parent")
    for snapshot in guest.snapshots.values():
        if snapshot.get("parent") == name:
            snapshot["parent"] = parent
    if guest.config.get("parent") == name:
        guest.config.pop("parent")
        if parent:
            guest.config["parent"] = parent


def _config(call: Call, kind: str) -> dict[str, Any]:
    snapshot = _existing(call.guest(kind), call.text("snapname"))
    plain = {key: snapshot[key] for key in ("snaptime", "description")}
    return {**snapshot["config"], **plain}


def _describe(call: Call, kind: str) -> None:
    _existing(call.guest(kind), call.text("snapname"))["description"] = call.text("description")


def _routes(kind: str) -> dict[tuple[str, str], Handler]:
    base = f"/nodes/{{node}}/{kind}/{{vmid}}/snapshot"
    one = f"{base}/{{snapname}}"
    return {
        ("GET", base): lambda call: _list(call, kind),
        ("POST", base): lambda call: _take(call, kind),
        ("DELETE", one): lambda call: _begin(call, kind, "delsnapshot"),
        ("POST", f"{one}/rollback"): lambda call: _begin(call, kind, "rollback"),
        ("GET", f"{one}/config"): lambda call: _config(call, kind),
        ("PUT", f"{one}/config"): lambda call: _describe(call, kind),
    }


ROUTES: Routes = {**_routes("qemu"), **_routes("lxc")}

ACTIONS = {
    "snapshot": Action(_take_begins, _take_ends, _unlock),
    "rollback": Action(_rollback_begins, _rollback_ends, _unlock),
    "delsnapshot": Action(_remove_begins, _remove_ends, _unlock),
}
