"""Drive, mount point and network lines: which keys they are, how they are read and how PVE writes them back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from tests.proxmox.property_string import parse, property_format
from tests.proxmox.schema import JsonObject, indexed, load_schema
from tests.proxmox.world import GIB, World

Line = dict[str, str]

_CREATE = {"qemu": "/nodes/{node}/qemu", "lxc": "/nodes/{node}/lxc"}
_DRIVES = {
    "qemu": re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0"),
    "lxc": re.compile(r"rootfs|mp\d+"),
}
_UNITS = ("", "K", "M", "G", "T")


@cache
def options(version: str, kind: str) -> JsonObject:
    """The options of a configuration as the create call describes them."""
    found = load_schema(version).method("POST", _CREATE[kind]).properties
    return {**found, **load_schema(version).method("PUT", f"{_CREATE[kind]}/{{vmid}}/config").properties}


def is_option(version: str, kind: str, key: str) -> bool:
    """True if `key` may stand in a configuration."""
    return indexed(options(version, kind), key) is not None


def is_drive(kind: str, key: str) -> bool:
    """True for keys that name a disk or a mount point in use (not `unusedN`)."""
    return _DRIVES[kind].fullmatch(key) is not None


def is_net(key: str) -> bool:
    """True for network cards."""
    return re.fullmatch(r"net\d+", key) is not None


def file_key(kind: str) -> str:
    """The sub-key that names the volume."""
    return "file" if kind == "qemu" else "volume"


def _sub_keys(version: str, kind: str, key: str) -> JsonObject:
    schema = indexed(options(version, kind), key)
    found = property_format(schema) if schema is not None else None
    if found is None:
        raise KeyError(key)
    return found


def read_line(version: str, kind: str, key: str, text: str) -> Line:
    """The parts of a property string by their real names. Raises FormatError."""
    return parse(_sub_keys(version, kind, key), text, key)


def write_line(version: str, kind: str, key: str, line: Mapping[str, str]) -> str:
    """The default key without its name, then the required ones, then the others, each by alphabet."""
    sub_keys = _sub_keys(version, kind, key)
    default = next((name for name, schema in sub_keys.items() if schema.get("default_key")), None)
    rest = sorted((name for name in line if name != default), key=lambda name: (not _required(sub_keys, name), name))
    first = [line[default]] if default is not None and default in line else []
    return ",".join([*first, *(f"{name}={line[name]}" for name in rest)])


def _required(sub_keys: JsonObject, name: str) -> bool:
    return str(sub_keys[name].get("optional", 0)) != "1"


def write_net(world: World, kind: str, key: str, text: str) -> str:
    """A network line as PVE stores it; a new MAC is drawn whenever the line has none."""
    line = read_line(world.version, kind, key, text)
    if kind == "lxc":
        line.setdefault("hwaddr", draw_mac(world))
        line["type"] = "veth"
        return write_line(world.version, kind, key, line)
    model, mac = line.pop("model"), line.pop("macaddr", None) or draw_mac(world)
    return ",".join([f"{model}={mac}", *(f"{name}={line[name]}" for name in sorted(line))])


def draw_mac(world: World) -> str:
    """An upper-case MAC with the prefix of the datacenter."""
    prefix = world.options.get("mac_prefix", "BC:24:11").upper()
    missing = 6 - len(prefix.split(":"))
    numbers = world.draw()
    return ":".join([prefix, *(f"{numbers.randrange(256):02X}" for _ in range(missing))])


def volume_of(world: World, kind: str, key: str, text: str) -> str | None:
    """The volume a configuration line uses; None for an empty drive, a device or a path."""
    if key.startswith("unused") or key == "vmstate":
        return text.split(",")[0]
    if not is_drive(kind, key):
        return None
    name = read_line(world.version, kind, key, text).get(file_key(kind))
    return name if name is not None and re.match(r"[A-Za-z][\w.-]*:", name) else None


def is_cdrom(world: World, key: str, text: str) -> bool:
    """True for a drive with removable medium (cloud-init drives included)."""
    return is_drive("qemu", key) and read_line(world.version, "qemu", key, text).get("media") == "cdrom"


def is_cloudinit(volid: str | None) -> bool:
    """True for the generated cloud-init image."""
    return volid is not None and re.search(r"vm-\d+-cloudinit(\.\w+)?$", volid) is not None


def size_text(size_bytes: int) -> str:
    """The largest unit that divides exactly: 8192 MiB is 8G, 10752 MiB stays 10752M."""
    unit = 0
    while size_bytes and size_bytes % 1024 == 0 and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes // 1024, unit + 1
    return f"{size_bytes}{_UNITS[unit]}"


def size_bytes(text: str) -> int:
    """`10G`, `512M`, `1.5T` or plain bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT])?(?:iB)?", text)
    if match is None:
        raise ValueError(text)
    return int(float(match[1]) * 1024 ** _UNITS.index(match[2] or ""))


def allocation(text: str) -> tuple[str, int] | None:
    """`STORE:SIZE` with the size in GiB: storage and bytes; None if the text names something else."""
    match = re.fullmatch(r"([A-Za-z][\w.-]*):(\d+(?:\.\d+)?)", text)
    return None if match is None else (match[1], int(float(match[2]) * GIB))
