"""What rules read out of a Proxmox guest: options, disks and network cards, as property strings or as maps.

Names are those of the guest's configuration in Proxmox VE (`scsi0`, `net0`, `features`); disks and cards may also stand
together, as maps under `disks`, `mounts` and `nets`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value

_DISK = re.compile(r"(?:scsi|virtio|sata|ide|mp)\d{1,3}|rootfs|efidisk0|tpmstate0")
_CARD = re.compile(r"net\d{1,2}")
_ON = frozenset({"1", "true", "yes", "on"})


def options(value: Value) -> Mapping[str, str]:
    """`local-lvm:32,cache=unsafe` → {"": "local-lvm:32", "cache": "unsafe"}; a map as its texts."""
    if isinstance(value, Mapping):
        return {str(k): _word(v) for k, v in value.items()}
    parts = str(value).split(",") if isinstance(value, str) else []
    return {name if sep else "": rest if sep else name for name, sep, rest in (p.strip().partition("=") for p in parts)}


def _word(value: Value) -> str:
    return ("1" if value else "0") if isinstance(value, bool) else str(value)


def is_on(value: Value) -> bool:
    """True for `1`, `true`, `yes`; for the agent also `1,fstrim_cloned_disks=1`."""
    return _word(value).partition(",")[0].removeprefix("enabled=").lower() in _ON


def disks(entry: Entry) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(path, options) of every disk; `""` in the options is the volume."""
    yield from _named("specs", entry.specs, _DISK)
    for key in ("disks", "mounts"):
        yield from _together(entry, key, _DISK)


def cards(entry: Entry) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(path, options) of every network card."""
    yield from _named("specs", entry.specs, _CARD)
    yield from _together(entry, "nets", _CARD)


def _named(above: str, given: Mapping[str, Value], pattern: re.Pattern[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for key, value in given.items():
        if pattern.fullmatch(str(key)) and value is not None:
            yield f"{above}.{key}", options(value)


def _together(entry: Entry, key: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    value = entry.specs.get(key)
    if isinstance(value, Mapping):
        yield from _named(f"specs.{key}", value, pattern)


def keys_like(entry: Entry, pattern: re.Pattern[str]) -> Iterator[str]:
    """The specs whose whole name matches."""
    return (str(key) for key, value in entry.specs.items() if pattern.fullmatch(str(key)) and value is not None)


def features(entry: Entry) -> Mapping[str, str]:
    """`nesting=1,keyctl=1` of a system container."""
    return options(entry.specs.get("features"))
