"""Every field of a guest: its path, the config key and part it is, how its value is written, what PVE assumes where it
is absent, and what a change of it costs a running guest. One table per kind of guest. Pure.

Where a change takes effect on a running guest is not in the API's schema. VM: hot-plug rules of qemu-server
(network, disk, usb by default; never cores, sockets, memory, machine, boot, cache modes); container: everything but
`features`, `unprivileged` and the options of mount points in use takes effect at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, unquote

from controller.blueprint.entry import Disruption
from controller.blueprint.value import Value

QEMU, LXC = "qemu", "lxc"
MIB, GIB = 1024**2, 1024**3
_IN_PLACE, _RESTART, _REBOOT = Disruption.IN_PLACE, Disruption.RESTART, Disruption.REBOOT
_RECREATE, _LOSS = Disruption.RECREATE, Disruption.DATA_LOSS
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_UNITS = {"": 1, "K": 1024, "M": MIB, "G": GIB, "T": 1024 * GIB}


@dataclass(frozen=True, slots=True)
class Codec:
    """A value ⇄ the text of the API."""

    write: Callable[[Value], str]
    read: Callable[[str], Value]


def _bool_text(text: str) -> bool:
    return text.lower() in ("1", "on", "yes", "true")


def size_bytes(text: str) -> int:
    """`8G`, `10752M` → bytes. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(float(found[1]) * _UNITS[found[2]])


def size_text(size: int) -> str:
    """Bytes as PVE writes them: the largest unit that is exact."""
    for unit in ("T", "G", "M", "K"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def _tuple(value: Value) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, tuple | list) else (str(value),)


def ssh_keys(text: str) -> tuple[str, ...]:
    """The keys in a text, one a line, in a fixed order: their order means nothing."""
    return tuple(sorted(line.strip() for line in text.splitlines() if line.strip()))


def _number(text: str) -> Value:
    return int(text) if re.fullmatch(r"-?\d+", text) else text


TEXT = Codec(str, lambda t: t)
NUMBER = Codec(str, _number)
FLAG = Codec(lambda v: "1" if v else "0", _bool_text)
MIB_BYTES = Codec(lambda v: str(int(str(v)) // MIB), lambda t: int(t.removeprefix("current=")) * MIB)
SIZE = Codec(lambda v: size_text(int(str(v))), size_bytes)
UPPER = Codec(lambda v: str(v).upper(), str.upper)
SEMICOLONS = Codec(lambda v: ";".join(_tuple(v)), lambda t: tuple(p for p in t.split(";") if p))
BLANKS = Codec(lambda v: " ".join(_tuple(v)), lambda t: tuple(t.split()))
# Encoded once for the option itself; the form does it a second time.
KEYS = Codec(lambda v: quote("\n".join(_tuple(v)), safe=""), lambda t: ssh_keys(unquote(t)))


@dataclass(frozen=True, slots=True)
class Option:
    """One field. `#` in path and key stands for a number, `@` for a drive. `part` None: the whole value of the key."""

    path: str
    key: str
    part: str | None
    codec: Codec
    cost: Disruption
    default: Value = None  # what an absent value means; None: nothing that could be compared


def _guest(cost_of_memory: Disruption) -> tuple[Option, ...]:
    return (
        Option("cores", "cores", None, NUMBER, cost_of_memory, 1 if cost_of_memory is _REBOOT else None),
        Option("memory", "memory", None, MIB_BYTES, cost_of_memory, 512 * MIB),
        Option("cpulimit", "cpulimit", None, NUMBER, _IN_PLACE, 0),
        Option("cpuunits", "cpuunits", None, NUMBER, _IN_PLACE, 100),
        Option("onboot", "onboot", None, FLAG, _IN_PLACE, False),
        Option("protection", "protection", None, FLAG, _IN_PLACE, False),
        Option("startup.order", "startup", "order", NUMBER, _IN_PLACE),
        Option("startup.up", "startup", "up", NUMBER, _IN_PLACE),
        Option("startup.down", "startup", "down", NUMBER, _IN_PLACE),
    )


def _drive() -> tuple[Option, ...]:
    plain = {"cache": "none", "aio": None, "discard": "ignore"}
    flags = {"ssd": False, "iothread": False, "ro": False}
    live_flags = {"backup": True, "replicate": True}
    limits = ("mbps", "mbps_rd", "mbps_wr", "iops", "iops_rd", "iops_wr")
    return (
        Option("disks.@.size", "@", "size", SIZE, _IN_PLACE),
        *(Option(f"disks.@.{n}", "@", n, TEXT, _REBOOT, d) for n, d in plain.items()),
        *(Option(f"disks.@.{n}", "@", n, FLAG, _REBOOT, d) for n, d in flags.items()),
        *(Option(f"disks.@.{n}", "@", n, FLAG, _IN_PLACE, d) for n, d in live_flags.items()),
        *(Option(f"disks.@.{n}", "@", n, NUMBER, _IN_PLACE) for n in limits),
    )


_QEMU: tuple[Option, ...] = (
    *_guest(_REBOOT),
    Option("sockets", "sockets", None, NUMBER, _REBOOT, 1),
    Option("vcpus", "vcpus", None, NUMBER, _REBOOT),
    Option("balloon", "balloon", None, MIB_BYTES, _IN_PLACE),
    Option("cpu_type", "cpu", "cputype", TEXT, _REBOOT, "kvm64"),
    Option("numa", "numa", None, FLAG, _REBOOT, False),
    Option("bios", "bios", None, TEXT, _REBOOT, "seabios"),
    Option("machine", "machine", "type", TEXT, _REBOOT),
    Option("ostype", "ostype", None, TEXT, _REBOOT, "other"),
    Option("scsihw", "scsihw", None, TEXT, _REBOOT, "lsi"),
    Option("agent", "agent", "enabled", FLAG, _REBOOT, False),
    Option("vga", "vga", "type", TEXT, _REBOOT, "std"),
    Option("tablet", "tablet", None, FLAG, _IN_PLACE, True),
    Option("boot", "boot", "order", SEMICOLONS, _IN_PLACE),
    Option("cloudinit.user", "ciuser", None, TEXT, _IN_PLACE),
    Option("cloudinit.password", "cipassword", None, TEXT, _IN_PLACE),
    Option("cloudinit.ssh_keys", "sshkeys", None, KEYS, _IN_PLACE),
    Option("cloudinit.nameservers", "nameserver", None, BLANKS, _IN_PLACE),
    Option("cloudinit.searchdomain", "searchdomain", None, TEXT, _IN_PLACE),
    Option("cloudinit.upgrade", "ciupgrade", None, FLAG, _IN_PLACE, True),
    *(Option(f"cloudinit.ip#.{p}", "ipconfig#", p, TEXT, _IN_PLACE) for p in ("ip", "gw", "ip6", "gw6")),
    *_drive(),
    Option("efi.type", "efidisk0", "efitype", TEXT, _LOSS, "2m"),
    Option("efi.keys", "efidisk0", "pre-enrolled-keys", FLAG, _LOSS, False),
    Option("tpm.version", "tpmstate0", "version", TEXT, _LOSS, "v1.2"),
    Option("nets.net#.model", "net#", "model", TEXT, _RESTART),
    Option("nets.net#.mac", "net#", "macaddr", UPPER, _RECREATE),
    Option("nets.net#.bridge", "net#", "bridge", TEXT, _IN_PLACE),
    Option("nets.net#.tag", "net#", "tag", NUMBER, _IN_PLACE),
    Option("nets.net#.firewall", "net#", "firewall", FLAG, _IN_PLACE, False),
    Option("nets.net#.rate", "net#", "rate", NUMBER, _IN_PLACE),
    Option("nets.net#.mtu", "net#", "mtu", NUMBER, _RESTART),
    Option("nets.net#.link_down", "net#", "link_down", FLAG, _IN_PLACE, False),
)
_LXC: tuple[Option, ...] = (
    *_guest(_IN_PLACE),
    Option("swap", "swap", None, MIB_BYTES, _IN_PLACE, 512 * MIB),
    Option("unprivileged", "unprivileged", None, FLAG, _LOSS, False),
    *(Option(f"features.{n}", "features", n, FLAG, _REBOOT, False) for n in ("nesting", "keyctl", "fuse", "mknod")),
    Option("nameservers", "nameserver", None, BLANKS, _IN_PLACE),
    Option("searchdomain", "searchdomain", None, TEXT, _IN_PLACE),
    Option("rootfs.size", "rootfs", "size", SIZE, _IN_PLACE),
    Option("mounts.mp#.size", "mp#", "size", SIZE, _IN_PLACE),
    Option("mounts.mp#.path", "mp#", "mp", TEXT, _REBOOT),
    *(Option(f"mounts.mp#.{n}", "mp#", n, FLAG, _REBOOT, False) for n in ("backup", "ro", "acl", "quota")),
    Option("nets.net#.name", "net#", "name", TEXT, _RESTART),
    Option("nets.net#.mac", "net#", "hwaddr", UPPER, _RECREATE),
    Option("nets.net#.bridge", "net#", "bridge", TEXT, _IN_PLACE),
    *(Option(f"nets.net#.{n}", "net#", n, TEXT, _RESTART) for n in ("ip", "gw", "ip6", "gw6")),
    Option("nets.net#.tag", "net#", "tag", NUMBER, _IN_PLACE),
    Option("nets.net#.firewall", "net#", "firewall", FLAG, _IN_PLACE, False),
    Option("nets.net#.rate", "net#", "rate", NUMBER, _IN_PLACE),
    Option("nets.net#.mtu", "net#", "mtu", NUMBER, _RESTART),
    Option("nets.net#.link_down", "net#", "link_down", FLAG, _IN_PLACE, False),
)
OPTIONS: Mapping[str, tuple[Option, ...]] = {QEMU: _QEMU, LXC: _LXC}
# Only a start reads it: what waits for one is as good as in effect.
READ_AT_START = frozenset({"boot"})
DRIVE = re.compile(r"(?:ide|sata|scsi|virtio)\d+")
# What is no option of its own: which storage a volume lies on, and what costs nothing.
_STORAGE = re.compile(r"(?:disks\.(?P<disk>\w+)|mounts\.(?P<mount>mp\d+)|(?P<one>rootfs|efi|tpm|cloudinit))\.storage")
_ONE = {"rootfs": "rootfs", "efi": "efidisk0", "tpm": "tpmstate0"}
SECRETS = frozenset({"cloudinit.password"})


@cache
def _pattern(template: str) -> re.Pattern[str]:
    drive = r"((?:ide|sata|scsi|virtio)\d+)"
    return re.compile(re.escape(template).replace(r"\#", r"(\d+)").replace("@", drive), re.ASCII)


@cache
def options_of(kind: str, key: str) -> tuple[Option, ...]:
    """Fields that the config key `key` holds."""
    return tuple(o for o in OPTIONS[kind] if _pattern(o.key).fullmatch(key))


@cache
def option(kind: str, path: str) -> tuple[Option, str] | None:
    """The option of a field and its config key (`nets.net0.tag` → net0); None for a path that is none."""
    for one in OPTIONS[kind]:
        if found := _pattern(one.path).fullmatch(path):
            name = found[1] if found.groups() else ""
            return one, one.key.replace("#", name).replace("@", name)
    return None


def path_of(one: Option, key: str) -> str:
    """The field's path within the config key `key`."""
    found = _pattern(one.key).fullmatch(key)
    name = found[1] if found and found.groups() else ""
    return one.path.replace("#", name).replace("@", name)


def storage_key(path: str) -> str | None:
    """The config key whose storage this path names; None for another path. Cloud-init has no key of its own."""
    found = _STORAGE.fullmatch(path)
    if found is None:
        return None
    return found["disk"] or found["mount"] or _ONE.get(found["one"], "cloudinit")


def default(kind: str, path: str) -> Value:
    """What an absent value means to PVE; None where nothing can be said."""
    if path in _ALWAYS:
        return _ALWAYS[path]
    known = option(kind, path)
    return known[0].default if known else None


_ALWAYS: Mapping[str, Value] = {"description": "", "tags": (), "template": False}


def cost(kind: str, path: str, key: str | None = None) -> Disruption:
    """What a change of this field costs a running guest."""
    known = option(kind, path)
    if known and DRIVE.fullmatch(known[1]) and known[1].startswith(("ide", "sata")) and known[0].part != "size":
        return _REBOOT  # these buses cannot be changed while the VM runs
    if storage_key(path):
        return _LOSS
    return known[0].cost if known else _IN_PLACE
