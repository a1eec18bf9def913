"""The words of a guest's blueprint: sizes, addresses, tags, notes, keys, volumes. Pure; raises ValueError with the mend
in it.

No value may hold a sign that could end it in a property string: that is refused here with its place, and once more
where the string is written.
"""

from __future__ import annotations

import ipaddress
import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from controller.blueprint import units
from controller.blueprint.value import Output, Secret, Text
from engines.proxmox import marks, options

Size = Annotated[int, BeforeValidator(units.size_bytes)]
Memory = Annotated[int, BeforeValidator(partial(units.size_bytes, at_least=16 * options.MIB))]
Seconds = Annotated[int, BeforeValidator(units.duration_s)]
_ADDRESS_WORDS = ("dhcp", "auto", "manual")
STORAGE = r"^[A-Za-z][A-Za-z0-9._-]{0,39}$"
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_TAG = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,62}", re.IGNORECASE)
_VOLUME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}:(iso|import|vztmpl)/[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")
_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,200}")


def is_marker(value: object) -> bool:
    """True for what is filled in only when the step is sent."""
    return isinstance(value, Secret | Output | Text)


def whole_mib(value: int) -> int:
    """Memory is counted in MiB here."""
    if value % options.MIB:
        raise ValueError("must be a whole number of MB")
    return value


def cidr(value: object) -> object:
    """An address with its prefix, `dhcp`, `auto` or `manual`."""
    if is_marker(value) or value in _ADDRESS_WORDS:
        return value
    try:
        if "/" not in str(value):
            raise ValueError
        return str(ipaddress.ip_interface(str(value)))
    except ValueError:
        raise ValueError(f"{str(value)[:60]} is no address; write 10.0.0.5/24, dhcp or auto") from None


def address(value: object) -> object:
    """One address, without a prefix."""
    if is_marker(value):
        return value
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{str(value)[:60]} is no address") from None


def addresses(value: object) -> object:
    """One or several addresses; a list or a text with blanks or commas."""
    listed = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError("write a list of addresses")
    return tuple(address(v) for v in listed)


def tags(value: object) -> object:
    """Tags of a blueprint: a list, or a text with any of PVE's separators; as a set, in lower case."""
    listed = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(t, str) and _TAG.fullmatch(t) for t in listed):
        raise ValueError("a tag is made of letters, digits and _.+- and begins with a letter, digit or _")
    lowered = {str(t).lower() for t in listed}
    if marks.TAG in lowered:
        raise ValueError(f"the tag {marks.TAG} says who owns a guest and cannot be set")
    return tuple(sorted(lowered))


def notes(value: object) -> object:
    """Notes of people; text with markers is filled in later and judged then."""
    if isinstance(value, str):
        if len(value) > 4096 or "\0" in value:
            raise ValueError("notes have at most 4096 characters and no NUL")
        if marks.forges(value):
            raise ValueError("a line that begins with <!-- alma says who owns a guest and cannot be set")
        return marks.notes_of(value)
    return value


def ssh_keys(value: object) -> object:
    """Public keys, one each."""
    listed = value.splitlines() if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(k, str) for k in listed):
        raise ValueError("write a list of public keys")
    for key in listed:
        if key.strip() and not re.fullmatch(
            r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/]{16,}={0,2}( [^\x00-\x1f]*)?", key
        ):
            raise ValueError(f"{key[:30]}… is no SSH public key")
    return options.ssh_keys("\n".join(listed))


def mac(value: object) -> object:
    if not isinstance(value, str) or not _MAC.fullmatch(value):
        raise ValueError("write a MAC address such as BC:24:11:00:00:01")
    if int(value[:2], 16) & 1:
        raise ValueError("a card's own address cannot be a multicast one (its first byte is odd)")
    return value.upper()


def volume(value: object) -> object:
    """`STORAGE:iso/FILE` or `STORAGE:import/FILE`: never a path of the host, never another guest's disk."""
    if not isinstance(value, str) or not _VOLUME.fullmatch(value):
        raise ValueError("name a file of a storage, such as local:import/debian-13.qcow2; host paths are never allowed")
    return value


def inside(value: object) -> object:
    if not isinstance(value, str) or not _PATH.fullmatch(value) or "/.." in value or "//" in value:
        raise ValueError("write an absolute path in the container, of letters, digits and ._-")
    return value.rstrip("/")


Cidr = Annotated[Any, BeforeValidator(cidr)]
Address = Annotated[Any, BeforeValidator(address)]
Addresses = Annotated[tuple[Any, ...], BeforeValidator(addresses)]
Tags = Annotated[tuple[str, ...], BeforeValidator(tags)]
Notes = Annotated[Any, BeforeValidator(notes)]
Keys = Annotated[tuple[str, ...], BeforeValidator(ssh_keys)]
Mac = Annotated[str, BeforeValidator(mac)]
Volume = Annotated[str, BeforeValidator(volume)]
Inside = Annotated[str, BeforeValidator(inside)]
StorageName = Annotated[str, Field(pattern=STORAGE)]
Bridge = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,14}$")]
Vmid = Annotated[int, Field(ge=100, le=999_999_999)]
