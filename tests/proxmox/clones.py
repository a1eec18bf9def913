"""Clones and templates: a placeholder at once, the copy at the end, new identities for what is copied."""

from __future__ import annotations

from tests.proxmox import volumes
from tests.proxmox.birth import check_pool, discard, draw_uuid, reserve
from tests.proxmox.calls import Call, Routes
from tests.proxmox.drives import (
    draw_mac,
    file_key,
    is_cdrom,
    is_cloudinit,
    is_drive,
    is_net,
    read_line,
    size_text,
    volume_of,
    write_line,
    write_net,
)
from tests.proxmox.faults import bad_parameter, died
from tests.proxmox.guest_config import check_unlocked, volumes_of
from tests.proxmox.power import guest_name
from tests.proxmox.tasks import Action, check_guest_lock, guest_lock, running_on
from tests.proxmox.world import Guest, Task, Volume, World

_PATIENCE_S = 1.0
_LEFT_OUT = ("lock", "parent", "template", "snaptime", "vmstate", "meta")


def _clone(call: Call, kind: str) -> str:
    world, source, newid = call.world, call.guest(kind), call.number("newid")
    call.require(f"/vms/{source.vmid}", "VM.Clone")
    check_pool(call, call.optional("pool"))
    if call.optional("pool") is None:
        call.require(f"/vms/{newid}", "VM.Allocate")
    full = call.flag("full", default=source.config.get("template") != "1")
    target = call.text("target", call.node)
    _check_source(call, source, full=full, target=target)
    if newid in world.guests:
        raise died(f"unable to create {'VM' if kind == 'qemu' else 'CT'} {newid}: config file already exists")
    guest = reserve(call, kind, newid, {"lock": "clone" if kind == "qemu" else "create"})
    guest.node = target
    if kind == "lxc":
        source.config["lock"] = "disk"
    keys = ("name", "hostname", "description", "pool", "storage", "format", "snapname")
    args = {key: call.params[key] for key in keys if key in call.params}
    return call.begin(
        "qmclone" if kind == "qemu" else "vzclone",
        source.vmid,
        "clone",
        vmid=newid,
        source=source.vmid,
        source_node=call.node,
        full=full,
        progress="transferred",
        **args,
    )


def _check_source(call: Call, source: Guest, *, full: bool, target: str) -> None:
    world = call.world
    check_unlocked(world, source)
    check_guest_lock(world, source.kind, source.vmid, _PATIENCE_S)
    if source.running and running_on(world, "qmclone", str(source.vmid)):
        # A running source is locked for one clone alone.
        raise died(f"can't lock file '{guest_lock(source.kind, source.vmid)}' - got timeout")
    if not full:
        for name in ("storage", "format"):
            if call.optional(name) is not None:
                raise bad_parameter(name, f"parameter '{name}' not allowed for linked clones")
    snapname = call.optional("snapname")
    if snapname is not None and snapname not in source.snapshots:
        raise died(f"snapshot '{snapname}' does not exist")
    if source.kind == "lxc" and source.running and snapname is None:
        raise died("Cannot do full clones on a running container without snapshots")
    if target not in world.nodes:
        raise died(f"no such cluster node '{target}'")
    for key, volid in volumes_of(world, source).items():
        if target != call.node and not world.storages[volumes.storage_name(volid)].shared:
            raise died(f"can't clone VM to node '{target}' (VM uses local storage)")
        if not full and not volid.partition(":")[2].rpartition("/")[2].startswith("base") and not is_cloudinit(volid):
            raise died(f"Linked clone feature is not supported for '{volid}' ({key})")
    storage = call.optional("storage")
    if storage is not None:
        volumes.storage_on(world, storage, target)
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")


def _copy(world: World, task: Task) -> None:
    source, guest = world.guests[task.args["source"]], world.guests[task.args["vmid"]]
    values = source.config
    if "snapname" in task.args:
        values = source.snapshots[task.args["snapname"]]["config"]
    config = {
        key: _copied(world, task, source, guest, key, text)
        for key, text in values.items()
        if key not in _LEFT_OUT and not key.startswith("unused")
    }
    if guest.kind == "qemu":
        config |= {"smbios1": f"uuid={draw_uuid(world)}", "vmgenid": draw_uuid(world)}
        config["meta"] = source.config.get("meta", "creation-qemu=10.1.2")
    name_key = "name" if guest.kind == "qemu" else "hostname"
    prefix = "Copy-of-VM-" if guest.kind == "qemu" else "Copy-of-CT-"
    config[name_key] = task.args.get(name_key, prefix + guest_name(source).replace(" ", "-"))
    if "description" in task.args:
        config["description"] = task.args["description"]
    guest.config = config
    _release_source(source)
    if task.args.get("pool"):
        world.pools[task.args["pool"]]["vms"].append(guest.vmid)


def _copied(world: World, task: Task, source: Guest, guest: Guest, key: str, text: str) -> str:
    if is_net(key):
        line = read_line(world.version, guest.kind, key, text)
        line["macaddr" if guest.kind == "qemu" else "hwaddr"] = draw_mac(world)
        joined = ",".join(f"{name}={value}" for name, value in line.items())
        return write_net(world, guest.kind, key, joined)
    volid = volume_of(world, guest.kind, key, text)
    volume = None if volid is None else volumes.find(world, volid, source.node)
    if volid is None or volume is None or not is_drive(guest.kind, key):
        return text
    line = read_line(world.version, guest.kind, key, text)
    if is_cloudinit(volid):
        storage = task.args.get("storage", volumes.storage_name(volid))
        form = "qcow2" if world.storages[storage].file_based else "raw"
        made = volumes.named(
            world, storage, guest.node, guest.vmid, f"vm-{guest.vmid}-cloudinit", form, volume.size_bytes
        )
        line["file"] = made.volid
    elif guest.kind == "qemu" and is_cdrom(world, key, text):
        return text
    else:
        copy = _copied_volume(world, task, guest, volume)
        line |= {file_key(guest.kind): copy.volid, "size": size_text(copy.size_bytes)}
    return write_line(world.version, guest.kind, key, line)


def _copied_volume(world: World, task: Task, guest: Guest, volume: Volume) -> Volume:
    if not task.args["full"]:
        return volumes.linked_copy(world, volume, guest.vmid)
    storage = task.args.get("storage", volumes.storage_name(volume.volid))
    form = task.args.get("format") or (volume.format if world.storages[storage].file_based else "raw")
    return volumes.allocate(
        world, storage, guest.node, guest.vmid, volume.size_bytes, form=form, content=volume.content
    )


def _release_source(source: Guest) -> None:
    if source.config.get("lock") == "disk":
        del source.config["lock"]


def _give_up(world: World, task: Task) -> None:
    if task.args["source"] in world.guests:
        _release_source(world.guests[task.args["source"]])
    discard(world, task)


def _template(call: Call, kind: str) -> str | None:
    guest = call.guest(kind)
    label = "VM" if kind == "qemu" else "CT"
    check_unlocked(call.world, guest)
    if guest.snapshots:
        raise died(f"unable to create template, because {label} contains snapshots")
    if guest.config.get("template") == "1":
        raise died("you can't convert a template to a template")
    if guest.running:
        raise died(f"you can't convert a {label} to template if {label} is running")
    call.require(f"/vms/{guest.vmid}", "VM.Allocate")
    if kind == "lxc":
        _to_base(call.world, guest)
        return None
    return call.begin("qmtemplate", guest.vmid, "template", vmid=guest.vmid, kind=kind)


def _templated(world: World, task: Task) -> None:
    _to_base(world, world.guest(task.node, task.args["vmid"], task.args["kind"]))


def _to_base(world: World, guest: Guest) -> None:
    for key, volid in volumes_of(world, guest).items():
        volume = volumes.find(world, volid, guest.node)
        if volume is None or volume.vmid != guest.vmid or is_cloudinit(volid):
            continue
        line = read_line(world.version, guest.kind, key, guest.config[key])
        line[file_key(guest.kind)] = volumes.make_base(world, volume)
        guest.config[key] = write_line(world.version, guest.kind, key, line)
    guest.config["template"] = "1"


ROUTES: Routes = {
    ("POST", "/nodes/{node}/qemu/{vmid}/clone"): lambda call: _clone(call, "qemu"),
    ("POST", "/nodes/{node}/lxc/{vmid}/clone"): lambda call: _clone(call, "lxc"),
    ("POST", "/nodes/{node}/qemu/{vmid}/template"): lambda call: _template(call, "qemu"),
    ("POST", "/nodes/{node}/lxc/{vmid}/template"): lambda call: _template(call, "lxc"),
}

ACTIONS = {"clone": Action(finish=_copy, abort=_give_up), "template": Action(finish=_templated)}
