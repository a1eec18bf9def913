"""Disks of an existing guest: grown, moved to another storage or another guest."""

from __future__ import annotations

from tests.proxmox import volumes
from tests.proxmox.calls import Call, Routes
from tests.proxmox.config_change import in_snapshot
from tests.proxmox.drives import file_key, read_line, size_bytes, size_text, volume_of, write_line
from tests.proxmox.faults import TaskError, bad_parameter, died
from tests.proxmox.guest_config import add_unused, check_digest, check_unlocked
from tests.proxmox.tasks import Action
from tests.proxmox.world import Guest, Task, Volume, World


def _volume(world: World, guest: Guest, key: str) -> Volume:
    text = guest.config.get(key)
    if text is None:
        raise died(f"disk '{key}' does not exist")
    volid = volume_of(world, guest.kind, key, text)
    if volid is None:
        raise died(f"you can't resize a cdrom or device ('{key}')")
    return volumes.existing(world, volid, guest.node)


def _resize(call: Call, kind: str) -> str:
    guest, key, wanted = call.guest(kind), call.text("disk"), call.text("size")
    check_digest(guest, call.optional("digest"))
    check_unlocked(call.world, guest)
    volume = _volume(call.world, guest, key)
    size = _new_size(volume, wanted)
    if kind == "lxc" and size < volume.size_bytes:
        raise died("unable to shrink disk size")
    if kind == "lxc" and size == volume.size_bytes:
        raise died("disk is already at specified size")
    return call.begin("resize", guest.vmid, "resize", vmid=guest.vmid, kind=kind, disk=key, size=wanted)


def _new_size(volume: Volume, wanted: str) -> int:
    size = size_bytes(wanted.removeprefix("+"))
    return volume.size_bytes + size if wanted.startswith("+") else size


def _resized(world: World, task: Task) -> None:
    guest, key = world.guest(task.node, task.args["vmid"], task.args["kind"]), task.args["disk"]
    check_unlocked(world, guest)
    volume = _volume(world, guest, key)
    size = _new_size(volume, task.args["size"])
    if size < volume.size_bytes:
        raise TaskError("shrinking disks is not supported")
    storage = world.storages[volumes.storage_name(volume.volid)]
    volumes.check_space(world, storage, guest.node, size - volume.size_bytes)
    volume.size_bytes = size
    line = read_line(world.version, guest.kind, key, guest.config[key])
    guest.config[key] = write_line(world.version, guest.kind, key, {**line, "size": size_text(size)})


def _move(call: Call, kind: str) -> str:
    guest, key = call.guest(kind), call.text("disk" if kind == "qemu" else "volume")
    check_digest(guest, call.optional("digest"))
    check_unlocked(call.world, guest)
    volume = _volume(call.world, guest, key)
    verb = "qmmove" if kind == "qemu" else "move_volume"
    args = {"vmid": guest.vmid, "kind": kind, "disk": key, "progress": "transferred"}
    if call.optional("target-vmid") is not None:
        target = call.number("target-vmid")
        if target not in call.world.guests:
            raise died(f"Guest {target} does not exist")
        if call.world.guests[target].node != call.node:
            raise died(f"Both VMs need to be on the same node {call.node}")
        check_unlocked(call.world, call.world.guests[target])
        if in_snapshot(call.world, guest, volume.volid):
            raise died("Can't move disk used by a snapshot to another owner")
        place = call.text("target-disk" if kind == "qemu" else "target-volume", key)
        if place in call.world.guests[target].config:
            raise bad_parameter("target-disk", f"Target disk key '{place}' is already in use for VM '{target}'")
        return call.begin(verb, guest.vmid, "reassign", **args, target=target, place=place)
    storage = call.text("storage")
    if storage == volumes.storage_name(volume.volid) and call.text("format", volume.format) == volume.format:
        raise bad_parameter("storage", "you can't move to the same storage with same format")
    if call.flag("delete") and in_snapshot(call.world, guest, volume.volid):
        raise died("you can't move a disk with snapshots and delete the source")
    volumes.storage_on(call.world, storage, call.node)
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    return call.begin(
        verb, guest.vmid, "move", **args, storage=storage, format=call.optional("format"), delete=call.flag("delete")
    )


def _moved(world: World, task: Task) -> None:
    guest, key = world.guest(task.node, task.args["vmid"], task.args["kind"]), task.args["disk"]
    check_unlocked(world, guest)
    old = _volume(world, guest, key)
    new = volumes.allocate(
        world,
        task.args["storage"],
        guest.node,
        guest.vmid,
        old.size_bytes,
        form=task.args["format"],
        content=old.content,
    )
    line = read_line(world.version, guest.kind, key, guest.config[key])
    guest.config[key] = write_line(world.version, guest.kind, key, {**line, file_key(guest.kind): new.volid})
    if task.args["delete"]:
        volumes.remove(world, old.volid, guest.node)
    else:
        add_unused(guest, old.volid)


def _reassigned(world: World, task: Task) -> None:
    guest, key = world.guest(task.node, task.args["vmid"], task.args["kind"]), task.args["disk"]
    target = world.guests[task.args["target"]]
    volume, text = _volume(world, guest, key), guest.config.pop(key)
    copy = volumes.allocate(
        world,
        volumes.storage_name(volume.volid),
        guest.node,
        target.vmid,
        0,
        form=volume.format,
        content=volume.content,
    )
    copy.size_bytes = volume.size_bytes
    volumes.remove(world, volume.volid, guest.node)
    if task.args["place"].startswith("unused") or key.startswith("unused"):
        add_unused(target, copy.volid)
        return
    line = read_line(world.version, guest.kind, key, text)
    line[file_key(guest.kind)] = copy.volid
    target.config[task.args["place"]] = write_line(world.version, guest.kind, task.args["place"], line)


ROUTES: Routes = {
    ("PUT", "/nodes/{node}/qemu/{vmid}/resize"): lambda call: _resize(call, "qemu"),
    ("PUT", "/nodes/{node}/lxc/{vmid}/resize"): lambda call: _resize(call, "lxc"),
    ("POST", "/nodes/{node}/qemu/{vmid}/move_disk"): lambda call: _move(call, "qemu"),
    ("POST", "/nodes/{node}/lxc/{vmid}/move_volume"): lambda call: _move(call, "lxc"),
}

ACTIONS = {"resize": Action(finish=_resized), "move": Action(finish=_moved), "reassign": Action(finish=_reassigned)}
