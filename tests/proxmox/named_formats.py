"""The named formats of the schema for single values (`pve-node`, `CIDRv4`, …): accepted, or the official error text."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Mapping
from functools import cache

from tests.proxmox.privileges import PRIVILEGES
from tests.proxmox.schema import formats_data, indexed

_SPLIT_LIST = re.compile(r"[,;\s]+")


def split_list(text: str) -> list[str]:
    """The parts of a `…-list` value: split at NUL if there is one, else at comma, semicolon, white space."""
    if "\0" in text:
        return [part for part in text.split("\0") if part]
    return [part for part in _SPLIT_LIST.split(text.strip()) if part]


def scalar_error(name: str, value: str) -> str | None:
    """Why `value` is not of the named format; None if it is, or if the format is one we do not know."""
    if name.endswith("-opt"):
        return scalar_error(name[:-4], value) if value else None
    if name.endswith("-list"):
        return _list_error(name[:-5], value)
    special = _SPECIAL.get(name)
    if special is not None and (error := special(value)) is not None:
        return error
    return _plain_error(name, value)


def _list_error(name: str, value: str) -> str | None:
    if name in ("storage-pair", "bridge-pair"):
        return _map_error("pve-storage-id" if name == "storage-pair" else "pve-bridge-id", split_list(value))
    return next((error for part in split_list(value) if (error := scalar_error(name, part))), None)


def _plain_error(name: str, value: str) -> str | None:
    entry = formats_data()["scalar"].get(name)
    if entry is None:
        return None
    if "python_regex" in entry:
        good = _compiled(entry["python_regex"], entry.get("flags", "")).search(value) is not None
    else:
        rule = _RULES.get(name)
        good = rule is None or rule(value)
    return None if good else str(entry.get("error", "")).replace("{v}", value).replace("{n}", str(len(value)))


@cache
def _compiled(regex: str, flags: str) -> re.Pattern[str]:
    # Perl's `$` takes one trailing newline, and so does Python's.
    return re.compile(f"^(?:{regex})$", re.IGNORECASE if "i" in flags else 0)


def _map_error(name: str, parts: list[str]) -> str | None:
    sources: set[str] = set()
    if "1" in parts and set(parts) != {"1"}:
        return "'1' is not allowed together with other mappings"
    for part in parts:
        source, colon, target = part.rpartition(":")
        if part in ("0", "1"):  # Perl takes the text 0 for no entry
            continue
        if (error := scalar_error(name, target)) or (colon and (error := scalar_error(name, source))):
            return error
        if source in sources:
            return f"duplicate mapping for '{source}'"
        sources.add(source)
    return None


def _userid_length(value: str) -> str | None:
    if len(value) < 3:
        return f"user name '{value}' is too short"
    return f"user name '{value}' is too long ({len(value)} > 64)" if len(value) > 64 else None


def _storage_length(value: str) -> str | None:
    return f"storage ID '{value}' cannot be shorter than 2 characters" if len(value) < 2 else None


def _pool_depth(value: str) -> str | None:
    return "nested too deeply (max levels = 3)" if value.count("/") > 2 else None


def _sdn_length(what: str) -> Callable[[str], str | None]:
    return lambda value: f"{what} ID '{value}' can't be more length than 8 characters" if len(value) > 8 else None


_SPECIAL: Mapping[str, Callable[[str], str | None]] = {
    "pve-userid": _userid_length,
    "pve-storage-id": _storage_length,
    "pve-poolid": _pool_depth,
    "pve-sdn-zone-id": _sdn_length("zone"),
    "pve-sdn-vnet-id": _sdn_length("vnet"),
}


def _is(name: str) -> Callable[[str], bool]:
    return lambda value: scalar_error(name, value) is None


def _either(*names: str) -> Callable[[str], bool]:
    return lambda value: any(scalar_error(name, value) is None for name in names)


def _word(regex: str, *words: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(regex, flags)
    return lambda value: value in words or compiled.fullmatch(value) is not None


def _ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return "%" not in value


def _cidr(family: str, most: int) -> Callable[[str], bool]:
    def good(value: str) -> bool:
        address, slash, prefix = value.partition("/")
        return bool(slash) and prefix.isdigit() and 8 <= int(prefix) <= most and scalar_error(family, address) is None

    return good


def _netmask(value: str) -> bool:
    try:
        return str(ipaddress.IPv4Network(f"0.0.0.0/{value}").netmask) == value
    except ValueError:
        return False


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _vlans(value: str) -> bool:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", value)
    if not match:
        return False
    low = int(match[1])
    return 2 <= low <= 4094 and (match[2] is None or low < int(match[2]) <= 4094)


def _cpuset(value: str) -> bool:
    parts = value.split(",")
    return all(re.fullmatch(r"\d+(-\d+)?", part) for part in parts)


def _boot_device(value: str) -> bool:
    keys = ("ide", "sata", "scsi", "virtio", "net", "usb", "hostpci")
    return indexed({f"{key}[n]": {} for key in keys}, value) is not None


def _boot_disk(value: str) -> bool:
    keys = ("ide", "sata", "scsi", "virtio")
    return value in ("efidisk0", "tpmstate0") or indexed({f"{key}[n]": {} for key in keys}, value) is not None


def _hotplug(value: str) -> bool:
    known = {"network", "disk", "cpu", "memory", "usb", "cloudinit"}
    return value in ("0", "1") or all(part in known for part in split_list(value))


def _phys_bits(value: str) -> bool:
    return value == "host" or (value.isdigit() and 8 <= int(value) <= 64)


def _mount_source(value: str) -> bool:
    return not re.search(r"/\.\.?(/|$)", value) and not value.startswith("../")


def _ports(value: str) -> bool:
    parts = value.split(",") if value else []
    weight = sum(2 if ":" in part else 1 for part in parts)
    return weight <= 15 and all(re.fullmatch(r"\d+(:\d+)?|[a-z][a-z0-9-]*", part) for part in parts)


def _firewall_address(value: str) -> bool:
    if not value or re.fullmatch(r"\+[\w./-]+|(dc/|guest/)?[A-Za-z][\w-]+", value):
        return True
    return all(all(_is("IPorCIDR")(end) for end in part.split("-", 1)) for part in value.split(","))


_RULES: Mapping[str, Callable[[str], bool]] = {
    "string": lambda value: True,
    "ipv6": _ipv6,
    "ip": _either("ipv4", "ipv6"),
    "ipv4mask": _netmask,
    "CIDRv4": _cidr("ipv4", 32),
    "CIDRv6": _cidr("ipv6", 128),
    "CIDR": _either("CIDRv4", "CIDRv6"),
    "IPorCIDR": _either("ip", "CIDR"),
    "IPorCIDRorAlias": lambda value: _firewall_address(value) and "," not in value,
    "pve-ipv4-config": lambda value: value in ("dhcp", "manual") or _is("CIDRv4")(value),
    "pve-ipv6-config": lambda value: value in ("auto", "dhcp", "manual") or _is("CIDRv6")(value),
    "timezone": lambda value: value == "UTC" or value in _zones(),
    "pve-ct-timezone": lambda value: value == "host" or _is("timezone")(value),
    "pve-vlan-id-or-range": _vlans,
    "address": _either("ip", "dns-name"),
    "pve-storage-server": _either("ip", "dns-name"),
    "pve-storage-portal-dns": _word(r"([^\s:/]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?"),
    "pve-startup-order": _word(r"((order=)?\d+|(up|down)=\d+)(,((order=)?\d+|(up|down)=\d+))*"),
    "pve-task-status-type": _word(r"(?i:ok|error|warning|unknown)"),
    "pve-volume-id-or-absolute-path": lambda value: value.startswith("/") or _is("pve-volume-id")(value),
    "pve-volume-id-or-qm-path": lambda value: (
        value in ("none", "cdrom") or value.startswith("/") or _is("pve-volume-id")(value)
    ),
    "pve-qm-bootdev": _boot_device,
    "pve-qm-bootdisk": _boot_disk,
    "pve-cpuset": _cpuset,
    "pve-phys-bits": _phys_bits,
    "pve-hotplug-features": _hotplug,
    "pve-lxc-mp-string": _mount_source,
    "pve-lxc-dev-string": lambda value: value.startswith("/dev/") and not re.search(r"/\.\.?(/|$)", value),
    "lxc-ip-with-ll-iface": lambda value: _is("ip")(re.sub(r"^(fe80:.*)%\w+$", r"\1", value)),
    "pve-storage-content": _word("", "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"),
    "pve-dir-override": lambda value: bool(re.fullmatch(r"\w+=[^/.][^\0]*", value)) and ".." not in value,
    "pve-calendar-event": _word(r"[A-Za-z0-9*/:,.\- ]+"),
    "pve-priv": lambda value: value in PRIVILEGES,
    "pve-sdn-subnet-id": lambda value: (
        bool(re.fullmatch(r"[a-z][a-z0-9]*-[0-9a-f.:]+-\d+", value, re.IGNORECASE)) or _is("CIDR")(value)
    ),
    "pve-day-of-week": _word("", "mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    "pve-fw-addr-spec": _firewall_address,
    "pve-fw-sport-spec": _ports,
    "pve-fw-dport-spec": _ports,
    "pve-fw-protocol-spec": _word(r"\d{1,3}|[a-z][a-z0-9.+-]*"),
    "pve-fw-icmp-type-spec": _word(r"[a-z0-9/-]*"),
}
