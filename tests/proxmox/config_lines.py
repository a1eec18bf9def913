"""New values of a configuration made ready to store: disks allocated or attached, MACs drawn, tags put in order."""

from __future__ import annotations

import re
import uuid

from tests.proxmox.drives import (
    Line,
    allocation,
    file_key,
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
from tests.proxmox.guest_config import merged
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import Login, require
from tests.proxmox.property_string import parse
from tests.proxmox.volumes import allocate, existing, find, named, storage_name
from tests.proxmox.world import Guest, Volume, World

_CLOUDINIT_BYTES = 4 * 1024 * 1024
_PASSWORD_HASHED = "$5$emulated$"


def stored(world: World, login: Login, guest: Guest, key: str, text: str) -> str:
    """What the configuration will hold for `key`; allocates the volumes the text asks for."""
    if is_drive(guest.kind, key):
        return _drive(world, login, guest, key, text)
    if is_net(key):
        return write_net(world, guest.kind, key, text)
    if key == "tags":
        return sorted_tags(world, text)
    if key == "cipassword" and not text.startswith("$"):
        return f"{_PASSWORD_HASHED}{len(text)}"
    if key == "vmgenid" and text == "1":
        return str(uuid.UUID(int=world.draw().getrandbits(128), version=4))
    if key == "cpuunits":
        return str(min(max(int(text), 1), 10000))
    if key == "sshkeys":
        _check_ssh_keys(text)
    return text


def sorted_tags(world: World, text: str) -> str:
    """Tags as stored: `;` between them, lower case, sorted, unless the datacenter's tag style says otherwise."""
    style = dict(part.partition("=")[::2] for part in world.options.get("tag-style", "").split(",") if part)
    tags = split_list(text)
    if style.get("case-sensitive") != "1":
        tags = [tag.lower() for tag in tags]
    tags = list(dict.fromkeys(tags))
    return ";".join(tags if style.get("ordering") == "config" else sorted(tags))


def _check_ssh_keys(text: str) -> None:
    plain = re.sub(r"%([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text)
    for line in (line.strip() for line in plain.splitlines()):
        if line and not line.startswith("#") and not re.search(r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]{16,}={0,2}", line):
            raise died("SSH public key validation error")


def _drive(world: World, login: Login, guest: Guest, key: str, text: str) -> str:
    line = read_line(world.version, guest.kind, key, text)
    name = line[file_key(guest.kind)]
    wanted = allocation(name)
    if guest.kind == "qemu" and name.endswith(":cloudinit"):
        _cloudinit(world, login, guest, line, name)
    elif "import-from" in line:
        _import(world, login, guest, key, line, wanted)
    elif wanted is not None:
        _allocate(world, login, guest, line, wanted)
    elif name not in ("none", "cdrom") and not name.startswith("/"):
        _attach(world, guest, key, line, name)
    elif name.startswith("/") and not login.is_root:
        raise died(f"Only root can pass arbitrary filesystem paths. ({name})")
    _as_megabytes(line)
    line.pop("format", None)
    return write_line(world.version, guest.kind, key, line)


def _allocate(world: World, login: Login, guest: Guest, line: Line, wanted: tuple[str, int]) -> Volume:
    storage, size = wanted
    require(world, login, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    content = "images" if guest.kind == "qemu" else "rootdir"
    volume = allocate(world, storage, guest.node, guest.vmid, size, form=line.get("format"), content=content)
    line[file_key(guest.kind)] = volume.volid
    line["size"] = size_text(size)
    return volume


def _import(world: World, login: Login, guest: Guest, key: str, line: Line, wanted: tuple[str, int] | None) -> None:
    source = line.pop("import-from")
    if wanted is None or wanted[1] != 0:
        raise bad_parameter(
            "import-from", f"'import-from' requires special syntax - use {key}=<storage ID>:0,import-from=…"
        )
    if source.startswith("/"):
        raise died("Only root can pass arbitrary filesystem paths.")
    size = existing(world, source, guest.node).size_bytes
    _allocate(world, login, guest, line, (wanted[0], size))


def _attach(world: World, guest: Guest, key: str, line: Line, volid: str) -> None:
    volume = find(world, volid, guest.node)
    if volume is None:
        existing(world, volid, guest.node)
        return
    if volume.content == "iso" and line.get("media") != "cdrom":
        raise bad_parameter(key, "explicit 'media=cdrom' is required for iso images")
    if volume.vmid is not None and volume.vmid != guest.vmid:
        raise died(f"unable to use volume '{volid}' - owned by guest {volume.vmid}")
    line["size"] = size_text(volume.size_bytes)


def _cloudinit(world: World, login: Login, guest: Guest, line: Line, name: str) -> None:
    for key, text in merged(guest).items():
        if is_cloudinit(volume_of(world, guest.kind, key, text)):
            raise died(f"cloud-init drive is already attached at '{key}'")
    storage = storage_name(name)
    require(world, login, f"/storage/{storage}", ["Datastore.AllocateSpace"])
    form = "qcow2" if world.storages.get(storage) and world.storages[storage].file_based else "raw"
    line["file"] = named(
        world, storage, guest.node, guest.vmid, f"vm-{guest.vmid}-cloudinit", form, _CLOUDINIT_BYTES
    ).volid
    line["media"] = "cdrom"
    line["size"] = size_text(_CLOUDINIT_BYTES)


def _as_megabytes(line: Line) -> None:
    for suffix in ("", "_rd", "_wr"):
        if f"bps{suffix}" in line:
            line[f"mbps{suffix}"] = f"{int(line.pop(f'bps{suffix}')) / 1024 / 1024:g}"


def boot_order(world: World, config: dict[str, str]) -> str:
    """The order a VM gets when none is given: first disk, first CD-ROM, first network card."""
    keys = sorted(config, key=lambda key: (_BUSES.get(re.sub(r"\d+$", "", key), 9), int("0" + re.sub(r"\D", "", key))))
    drives = [key for key in keys if re.fullmatch(r"(scsi|virtio|sata|ide)\d+", key)]
    disks = [key for key in drives if "media=cdrom" not in config[key].split(",")]
    cdroms = [key for key in drives if key not in disks]
    nets = sorted(key for key in config if is_net(key))
    return "order=" + ";".join([*disks[:1], *cdroms[:1], *nets[:1]])


_BUSES = {"scsi": 0, "virtio": 1, "sata": 2, "ide": 3}


def check_boot(world: World, text: str, config: dict[str, str]) -> None:
    """Raises the 500 for an order that names a device the VM does not have."""
    schema = {"order": {"type": "string", "optional": 1}, "legacy": {"type": "string", "optional": 1, "default_key": 1}}
    for device in split_list(parse(schema, text).get("order", "")):
        if device not in config:
            raise died(f"invalid bootorder: device '{device}' does not exist")
