"""Property strings (`virtio=MAC,bridge=vmbr0,tag=5`): read into parts, written from parts. Pure.

A text is never put together by hand: `write` refuses every part that could end its own value and begin another, so
nothing a blueprint says can become an option it does not name. What is read and not understood is written back as it
stood, in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Line = dict[str, str]

# The first part of a line may stand without its name; which name that is depends on the key.
_FIRST = (
    (re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0"), "file"),
    (re.compile(r"rootfs|mp\d+"), "volume"),
    (re.compile(r"cpu"), "cputype"),
    (re.compile(r"agent"), "enabled"),
    (re.compile(r"vga|machine"), "type"),
    (re.compile(r"startup"), "order"),
    (re.compile(r"boot"), "legacy"),
    (re.compile(r"net\d+"), "model"),
)
MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "ne2k_pci", "ne2k_isa", "pcnet", "i82551"})
_SUB_KEY = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_UNSAFE = re.compile(r"[,=\x00-\x20\x7f]")
# `aes=…` in a volume id or a flag would end nothing, but only these keys may hold a sign that looks like one.
_WITH_EQUALS = frozenset({"file", "volume", "import-from"})


def first_of(key: str) -> str | None:
    """Name of the part that may stand without one, for the config key `key`."""
    return next((name for pattern, name in _FIRST if pattern.fullmatch(key)), None)


def read(key: str, text: str) -> Line:
    """The parts of `text` by name, in the order they stand in."""
    line: Line = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not part:
            continue
        if key.startswith("net") and name in MODELS:
            line["model"] = name
            if equals:
                line["macaddr"] = value
        elif equals:
            line[name] = value
        elif (first := first_of(key)) is not None:
            line[first] = part
        else:
            line[name] = ""
    return line


def write(key: str, line: Mapping[str, str]) -> str:
    """The text of `line`. Raises ValueError for a part that is not one plain value."""
    for name, value in line.items():
        _check(name, value)
    rest = dict(line)
    parts = []
    if key.startswith("net") and (model := rest.pop("model", None)):
        mac = rest.pop("macaddr", None)
        parts.append(f"{model}={mac}" if mac else f"model={model}")
    elif (first := first_of(key)) in rest and first is not None:
        parts.append(rest.pop(first))
    return ",".join([*parts, *(f"{name}={value}" for name, value in rest.items())])


def _check(name: str, value: str) -> None:
    if not _SUB_KEY.fullmatch(name):
        raise ValueError(f"{name!r} is no option of a property string")
    unsafe = _UNSAFE.search(value)
    if unsafe and not (unsafe.group() == "=" and name in _WITH_EQUALS and not re.search(r"[,\x00-\x20\x7f]", value)):
        raise ValueError(f"{name} holds a sign that would end it: {value!r}")
