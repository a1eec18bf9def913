"""Backup jobs, and backups taken by hand."""

from __future__ import annotations

import time
from typing import Any

from tests.proxmox import volumes
from tests.proxmox.calls import Call, Routes
from tests.proxmox.faults import TaskError, bad_parameter, died
from tests.proxmox.guest_config import check_unlocked, volumes_of
from tests.proxmox.named_formats import split_list
from tests.proxmox.tasks import Action
from tests.proxmox.world import Task, Volume, World

_NUMBERS = frozenset(
    {"all", "enabled", "remove", "protected", "quiet", "bwlimit", "zstd", "repeat-missed", "stdexcludes"}
)


def _row(world: World, name: str, job: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "type": "vzdump"}
    row |= {k: int(v) if k in _NUMBERS else v for k, v in job.items()}
    if "prune-backups" in job and world.version.startswith("9"):
        # The newer version tells the parts.
        parts = (part.partition("=") for part in job["prune-backups"].split(","))
        row["prune-backups"] = {name: int(count) for name, _, count in parts}
    return row


def _job(call: Call) -> dict[str, str]:
    if call.text("id") not in call.world.jobs:
        raise bad_parameter("id", f"No such job '{call.text('id')}'")
    return call.world.jobs[call.text("id")]


def _given(call: Call) -> dict[str, str]:
    return {key: str(value) for key, value in call.params.items() if key not in ("id", "delete")}


def _add(call: Call) -> None:
    job = _given(call)
    if "schedule" not in job and "starttime" not in job:
        raise bad_parameter("schedule", "neither 'starttime' nor 'schedule' were set")
    if not {"vmid", "all", "pool"} & set(job):
        raise bad_parameter("vmid", "property is missing and it is not optional")
    name = call.text("id") or f"backup-{call.world.draw().getrandbits(48):012x}"
    if name in call.world.jobs:
        raise died(f"Job '{name}' already exists")
    call.world.jobs[name] = {"enabled": "1", **job}


def _change(call: Call) -> None:
    job = _job(call)
    for key in split_list(call.text("delete")):
        job.pop(key, None)
    job |= _given(call)


def _drop(call: Call) -> None:
    _job(call)
    del call.world.jobs[call.text("id")]


def _selected(call: Call) -> list[int]:
    world = call.world
    here = [guest.vmid for guest in world.guests.values() if guest.node == call.node]
    if call.flag("all"):
        return [vmid for vmid in here if str(vmid) not in split_list(call.text("exclude"))]
    if "pool" in call.params:
        return [vmid for vmid in world.pools.get(call.text("pool"), {"vms": []})["vms"] if vmid in here]
    return [int(vmid) for vmid in split_list(call.text("vmid")) if int(vmid) in here]


def _dump(call: Call) -> str:
    """The UPID, or the text OK when nothing selected is on this node."""
    storage, chosen = call.text("storage", "local"), _selected(call)
    if not volumes.storage_on(call.world, storage, call.node).holds("backup"):
        raise died(f"storage '{storage}' does not support 'backup' content")
    for vmid in chosen:
        call.require(f"/vms/{vmid}", "VM.Backup")
    if not chosen:
        return "OK"
    ident = str(chosen[0]) if len(chosen) == 1 else ""
    args = {
        "vmids": chosen,
        "storage": storage,
        "protected": call.flag("protected"),
        "notes": call.text("notes-template"),
    }
    return call.begin("vzdump", ident, "vzdump", **args)


def _begins(world: World, task: Task) -> None:
    for vmid in task.args["vmids"]:
        check_unlocked(world, world.guests[vmid])
    for vmid in task.args["vmids"]:
        world.guests[vmid].config["lock"] = "backup"
    task.args["locked"] = True


def _ends(world: World, task: Task) -> None:
    _unlock(world, task)
    stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.gmtime(world.now_s))
    storage = world.storages[task.args["storage"]]
    for vmid in task.args["vmids"]:
        guest = world.guests.get(vmid)
        if guest is None:
            raise TaskError(f"guest {vmid} vanished")
        found = [volumes.find(world, volid, guest.node) for volid in volumes_of(world, guest).values()]
        size = sum(volume.size_bytes for volume in found if volume is not None) // 4
        volumes.check_space(world, storage, task.node, size)
        ending = "vma.zst" if guest.kind == "qemu" else "tar.zst"
        volid = f"{storage.name}:backup/vzdump-{guest.kind}-{vmid}-{stamp}.{ending}"
        volume = Volume(volid, "" if storage.shared else task.node, "backup", ending, size, vmid, ctime_s=world.now_s)
        volume.protected, volume.notes = task.args["protected"], task.args["notes"]
        world.volumes.append(volume)


def _unlock(world: World, task: Task) -> None:
    for vmid in task.args["vmids"] if task.args.get("locked") else []:
        if vmid in world.guests:
            world.guests[vmid].config.pop("lock", None)


ROUTES: Routes = {
    ("GET", "/cluster/backup"): lambda call: [_row(call.world, name, job) for name, job in call.world.jobs.items()],
    ("POST", "/cluster/backup"): _add,
    ("GET", "/cluster/backup/{id}"): lambda call: _row(call.world, call.text("id"), _job(call)),
    ("PUT", "/cluster/backup/{id}"): _change,
    ("DELETE", "/cluster/backup/{id}"): _drop,
    ("POST", "/nodes/{node}/vzdump"): _dump,
}

ACTIONS = {"vzdump": Action(_begins, _ends, _unlock)}
