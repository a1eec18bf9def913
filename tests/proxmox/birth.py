"""Guests come and go: create, destroy."""

from __future__ import annotations

import contextlib
import re
import uuid

from tests.proxmox import volumes
from tests.proxmox.calls import Call, Routes
from tests.proxmox.config_change import changes_in, check_rights
from tests.proxmox.config_lines import boot_order, check_boot, stored
from tests.proxmox.drives import is_drive
from tests.proxmox.faults import ApiError, died, forbidden
from tests.proxmox.guest_config import check_unlocked, volumes_of
from tests.proxmox.permissions import Login, may, require
from tests.proxmox.power import sid, start_guest
from tests.proxmox.tasks import Action, check_lock, guest_lock
from tests.proxmox.world import Guest, Task, World

_RESERVE_PATIENCE_S = 5.0
_QEMU_VERSION = "10.1.2"


def reserve(call: Call, kind: str, vmid: int, config: dict[str, str]) -> Guest:
    """Takes a free id with a placeholder. Raises the 500 of an id in use."""
    world = call.world
    check_lock(world, guest_lock(kind, vmid), _RESERVE_PATIENCE_S)
    other = world.guests.get(vmid)
    if other is not None:
        label = "VM" if other.kind == "qemu" else "CT"
        exists = f"{label} {vmid} already exists on node '{other.node}'"
        raise died(f"unable to create VM {vmid} - {exists}" if kind == "qemu" else exists)
    guest = world.guests[vmid] = Guest(vmid, kind, call.node, config)
    return guest


def check_pool(call: Call, pool: str | None) -> None:
    """Raises the 403 of a pool that does not exist, or in which the caller may not put guests."""
    if pool is None:
        return
    if pool not in call.world.pools:
        raise forbidden(f"pool '{pool}' does not exist")
    call.require(f"/pool/{pool}", "VM.Allocate")


def _create(call: Call, kind: str) -> str:
    pool = call.optional("pool")
    check_pool(call, pool)
    if pool is None or not may(call.world, call.login, f"/pool/{pool}", "VM.Allocate"):
        call.require(f"/vms/{call.vmid}", "VM.Allocate")
    changes = changes_in(call.params)
    probe = Guest(call.vmid, kind, call.node)
    _check_choices(call, probe, changes, in_pool=pool is not None)
    reserve(call, kind, call.vmid, {"lock": "create"})
    prefix = "qm" if kind == "qemu" else "vz"
    args = {key: call.params[key] for key in ("start", "storage", "ostemplate") if key in call.params}
    return call.begin(
        f"{prefix}create", call.vmid, "create", vmid=call.vmid, kind=kind, pool=pool, changes=changes, **args
    )


def _check_choices(call: Call, probe: Guest, changes: dict[str, str], *, in_pool: bool) -> None:
    world, login = call.world, call.login
    check_rights(world, login, probe, list(changes), changes, creates=in_pool)
    for key, text in changes.items():
        if key == "import-from" or is_drive(probe.kind, key):
            _check_storage(call, text)
    template = call.optional("ostemplate")
    if template is not None:
        volumes.existing(world, template, call.node)
    if int(changes.get("balloon", "0")) > int(changes.get("memory", "512").removeprefix("current=")):
        raise died("balloon value too large (must be smaller than assigned memory)")


def _check_storage(call: Call, text: str) -> None:
    match = re.match(r"(?:file=|volume=)?([A-Za-z][\w.-]*):(\d+(\.\d+)?|cloudinit)(,|$)", text)
    if match:
        volumes.storage_on(call.world, match[1], call.node)
        require(call.world, call.login, f"/storage/{match[1]}", ["Datastore.AllocateSpace"])


def _build(world: World, task: Task) -> None:
    """What a create worker does when it is done: the real configuration replaces the placeholder."""
    login = Login(task.user, task.token)
    guest = world.guests[task.args["vmid"]]
    changes: dict[str, str] = dict(task.args["changes"])
    if guest.kind == "lxc":
        changes.setdefault("rootfs", f"{task.args.get('storage', 'local')}:4")
    config = _server_made(world, guest)
    for key, text in changes.items():
        config[key] = guest.config[key] = stored(world, login, guest, key, text)
    if guest.kind == "qemu":
        _finish_vm(world, config)
    guest.config = config
    if task.args.get("pool"):
        world.pools[task.args["pool"]]["vms"].append(guest.vmid)
    if task.args.get("start") == "1":
        start_guest(world, guest)


def _server_made(world: World, guest: Guest) -> dict[str, str]:
    if guest.kind == "lxc":
        unprivileged = {"unprivileged": "1"} if world.version.startswith("9") else {}
        return {"arch": "amd64", "ostype": "debian", "memory": "512", "swap": "512", **unprivileged}
    return {
        "meta": f"creation-qemu={_QEMU_VERSION},ctime={int(world.now_s)}",
        "smbios1": f"uuid={draw_uuid(world)}",
        "vmgenid": draw_uuid(world),
    }


def draw_uuid(world: World) -> str:
    """A random UUID as text."""
    return str(uuid.UUID(int=world.draw().getrandbits(128), version=4))


def _finish_vm(world: World, config: dict[str, str]) -> None:
    if "boot" in config:
        check_boot(world, config["boot"], config)
    else:
        config["boot"] = boot_order(world, config)
    if config.get("ostype", "").startswith("win") and "machine" not in config:
        config["machine"] = f"pc-i440fx-{_QEMU_VERSION[:4]}"


def discard(world: World, task: Task) -> None:
    """A create or clone that failed leaves neither configuration nor volumes."""
    vmid = task.args["vmid"]
    world.guests.pop(vmid, None)
    world.volumes = [volume for volume in world.volumes if volume.vmid != vmid]


def _destroy(call: Call, kind: str) -> str:
    guest = call.guest(kind)
    label = "VM" if kind == "qemu" else "CT"
    check_unlocked(call.world, guest)
    if guest.config.get("protection") == "1":
        raise died(f"can't remove {label} {guest.vmid} - protection mode enabled")
    if sid(guest) in call.world.ha and not call.flag("purge"):
        raise died(f"unable to remove {label} {guest.vmid} - used in HA resources and purge parameter not set.")
    if guest.running and not (kind == "lxc" and call.flag("force")):
        vm, ct = (
            f"VM {guest.vmid} is running - destroy failed",
            f"unable to destroy CT {guest.vmid} - container is running",
        )
        raise died(vm if kind == "qemu" else ct)
    _check_no_linked(call.world, guest)
    args = {key: call.params[key] for key in ("purge", "destroy-unreferenced-disks") if key in call.params}
    return call.begin(
        f"{'qm' if kind == 'qemu' else 'vz'}destroy", guest.vmid, "destroy", vmid=guest.vmid, kind=kind, **args
    )


def _check_no_linked(world: World, guest: Guest) -> None:
    for key, volid in volumes_of(world, guest).items():
        children = volumes.linked_to(world, volid)
        if children:
            raise died(f"base volume '{volid}' is still in use by linked clone '{children[0].volid}' ({key})")


def _destroy_begins(world: World, task: Task) -> None:
    guest = world.guest(task.node, task.args["vmid"], task.args["kind"])
    task.args["volumes"] = sorted(set(volumes_of(world, guest, everything=True).values()))
    guest.running = False
    guest.config, guest.pending, guest.removals, guest.snapshots = {"lock": "destroyed"}, {}, {}, {}


def _destroy_ends(world: World, task: Task) -> None:
    vmid = task.args["vmid"]
    for volid in task.args["volumes"]:
        volume = volumes.find(world, volid, task.node)
        if volume is not None and volume.vmid == vmid:
            _free(world, task, volid)
    if task.args.get("destroy-unreferenced-disks") == "1":
        for volume in [v for v in world.volumes if v.vmid == vmid and v.content != "backup"]:
            _free(world, task, volume.volid)
    forget(world, vmid, purge=task.args.get("purge") == "1")


def _free(world: World, task: Task, volid: str) -> None:
    try:
        volumes.remove(world, volid, task.node)
    except ApiError as error:
        task.log.append(f"WARN: Could not remove disk '{volid}', check manually: {error.reason}")
        task.warnings += 1


def forget(world: World, vmid: int, *, purge: bool) -> None:
    """Takes a guest out of everything that names it."""
    guest = world.guests.pop(vmid, None)
    world.acl = [entry for entry in world.acl if entry.path != f"/vms/{vmid}"]
    world.firewalls.pop(f"vm/{vmid}", None)
    for pool in world.pools.values():
        with contextlib.suppress(ValueError):
            pool["vms"].remove(vmid)
    if purge and guest is not None:
        world.ha.pop(sid(guest), None)
        _leave_jobs(world, str(vmid))


def _leave_jobs(world: World, vmid: str) -> None:
    for name, job in list(world.jobs.items()):
        chosen = job.get("vmid", "").split(",")
        if vmid in chosen:
            job["vmid"] = ",".join(other for other in chosen if other != vmid)
        if job.get("vmid") == "":
            del world.jobs[name]


ROUTES: Routes = {
    ("POST", "/nodes/{node}/qemu"): lambda call: _create(call, "qemu"),
    ("POST", "/nodes/{node}/lxc"): lambda call: _create(call, "lxc"),
    ("DELETE", "/nodes/{node}/qemu/{vmid}"): lambda call: _destroy(call, "qemu"),
    ("DELETE", "/nodes/{node}/lxc/{vmid}"): lambda call: _destroy(call, "lxc"),
}

ACTIONS = {
    "create": Action(finish=_build, abort=discard),
    "destroy": Action(_destroy_begins, _destroy_ends),
}
