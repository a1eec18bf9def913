"""A guest's configuration ⇄ fields: what is read, what is wanted, and the parameters that take one to the other. Pure.

A line that is there is changed part by part: what the blueprint does not name, what PVE filled in (MAC, size, order)
and what this engine does not know stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Claim, ClaimKind, Fields, Masked
from engines.proxmox import lines, marks
from engines.proxmox.lines import Line
from engines.proxmox.options import DRIVE, GIB, LXC, QEMU, option, options_of, path_of, size_bytes, storage_key

KINDS: Mapping[str, str] = {"proxmox/qemu": QEMU, "proxmox/lxc": LXC}
_CLOUDINIT = re.compile(r"vm-\d+-cloudinit(\.\w+)?$")
_VOLUME_KEYS = re.compile(r"(?:(?:ide|sata|scsi|virtio)\d+)|efidisk0|tpmstate0|rootfs|mp\d+|unused\d+")
_UNUSED = re.compile(r"unused\d+")
_CDROM = re.compile(r"cdroms\.(\w+)")

Config = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What a configuration call does: fields to set and unset, whole keys to remove."""

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def name_key(kind: str) -> str:
    """The config key that holds a guest's name."""
    return "name" if kind == QEMU else "hostname"


def elsewhere(path: str) -> bool:
    """True for fields that the configuration does not hold."""
    return path in ("running", "pool", "template") or path.startswith(("ha.", "firewall.", "unused."))


# --- reading --------------------------------------------------------------------------------------------------------


def live(kind: str, config: Config) -> dict[str, Value]:
    """Fields of a configuration as the API tells it. Values that cannot be read back are Masked."""
    found: dict[str, Value] = {}
    for key, text in config.items():
        if key == "description":
            found["description"] = marks.notes_of(text)
        elif key == "tags":
            found["tags"] = tags_of(text)
        elif key == "template":
            found["template"] = text == "1"
        elif key == "cipassword":
            found["cloudinit.password"] = Masked(None)
        elif _UNUSED.fullmatch(key):
            found[f"unused.{key}"] = text.split(",")[0]
        elif DRIVE.fullmatch(key) and "media=cdrom" in text.split(","):
            found |= _removable(key, lines.read(key, text))
        else:
            found |= _line(kind, key, text)
    return found


def tags_of(text: str) -> tuple[str, ...]:
    """Tags as a set in lower case, without our own."""
    return tuple(sorted({t.lower() for t in re.split(r"[\s,;]+", text) if t} - {marks.TAG}))


def _removable(key: str, line: Line) -> dict[str, Value]:
    volume = line.get("file", "")
    if _CLOUDINIT.search(volume):
        return {"cloudinit.drive": key, "cloudinit.storage": volume.partition(":")[0]}
    return {f"cdroms.{key}": volume} if volume != "none" else {}


def _line(kind: str, key: str, text: str) -> dict[str, Value]:
    known = options_of(kind, key)
    if not known:
        return {}
    if known[0].part is None:
        return {path_of(one, key): _decoded(one.codec.read, text) for one in known}
    line = lines.read(key, text)
    found = {
        path_of(one, key): _decoded(one.codec.read, line[one.part]) for one in known if one.part and one.part in line
    }
    volume = line.get("file") or line.get("volume") or ""
    if _VOLUME_KEYS.fullmatch(key) and ":" in volume and not volume.startswith("/"):
        found[_storage_path(key)] = volume.partition(":")[0]
    return found


def _decoded(read: Any, text: str) -> Value:
    try:
        value: Value = read(text)
    except ValueError:
        return text
    return value


def _storage_path(key: str) -> str:
    if DRIVE.fullmatch(key):
        return f"disks.{key}.storage"
    if key.startswith("mp"):
        return f"mounts.{key}.storage"
    return {"efidisk0": "efi.storage", "tpmstate0": "tpm.storage"}.get(key, "rootfs.storage")


def effective(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str], str]:
    """The rows of `…/pending` → what is in effect, what will be, and the digest; values as text."""
    now: dict[str, str] = {}
    then: dict[str, str] = {}
    digest = ""
    for row in rows:
        key = str(row.get("key"))
        if key == "digest":
            digest = str(row.get("value"))
            continue
        if "value" in row:
            now[key] = str(row["value"])
        if "pending" in row:
            then[key] = str(row["pending"])
        elif "value" in row and not row.get("delete"):
            then[key] = str(row["value"])
    return now, then, digest


def volumes(config: Config) -> list[str]:
    """Every volume a configuration names, unused ones too: what a destroy takes with it."""
    found = []
    for key, text in sorted(config.items()):
        if _VOLUME_KEYS.fullmatch(key):
            line = lines.read(key, text)
            volume = line.get("file") or line.get("volume") or text.split(",")[0]
            if ":" in volume and "media=cdrom" not in text.split(","):
                found.append(volume)
    return found


def address_of(fields: Fields) -> str | None:
    """The first address that the configuration itself names; None where a guest asks for one."""
    for path in sorted(fields):
        if re.fullmatch(r"(nets\.net\d+|cloudinit\.ip\d+)\.ip6?", path):
            text = str(fields[path])
            if "/" in text:
                return text.partition("/")[0]
    return None


def macs(fields: Fields) -> list[str]:
    """The hardware addresses of its cards."""
    return [str(v).upper() for p, v in sorted(fields.items()) if re.fullmatch(r"nets\.net\d+\.mac", p)]


def claims(fields: Fields, vmid: int | None, *, running: bool) -> frozenset[Claim]:
    """Its id, its addresses and MACs, and what it takes of its node while it runs."""
    found: set[Claim] = {Claim(ClaimKind.NAME, f"vmid/{vmid}")} if vmid else set()
    found |= {Claim(ClaimKind.ADDRESS, mac) for mac in macs(fields)}
    for path, value in fields.items():
        if re.fullmatch(r"(nets\.net\d+|cloudinit\.ip\d+)\.ip6?", path) and "/" in str(value):
            found.add(Claim(ClaimKind.ADDRESS, str(value).partition("/")[0]))
        if path.endswith(".size") and isinstance(value, int):
            found.add(Claim(ClaimKind.DISK, path, amount=value))
    if running and isinstance(memory := fields.get("memory"), int):
        found.add(Claim(ClaimKind.MEMORY, "memory", amount=memory))
    return frozenset(found)


# --- writing --------------------------------------------------------------------------------------------------------


def parameters(kind: str, current: Config, change: Change, born: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What the configuration call takes, `delete` included; nothing for what stands so already. `born`: what only a
    new guest is given. Raises ValueError for a value that could end its own part, or for a disk without a storage."""
    texts: dict[str, str] = {}
    removed = set(change.remove)
    for key in sorted({*_keys(kind, change.set), *_keys(kind, change.unset)} - removed):
        text = _text(kind, key, current.get(key), change, born or {})
        if text is None:
            removed.add(key)
        elif text != current.get(key):
            texts[key] = text
    texts |= _others(change)
    if gone := sorted(key for key in removed if key in current):
        texts["delete"] = ",".join(gone)
    return texts


def _keys(kind: str, paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        known = option(kind, path)
        if known:
            found.add(known[1])
        elif (key := storage_key(path)) and key != "cloudinit":
            found.add(key)
    return found


def _others(change: Change) -> dict[str, str]:
    """Removable media: an image, or the drive of cloud-init."""
    found = {}
    for path, value in change.set.items():
        if match := _CDROM.fullmatch(path):
            found[match[1]] = lines.write(match[1], {"file": str(value), "media": "cdrom"})
    if drive := change.set.get("cloudinit.drive"):
        storage = change.set.get("cloudinit.storage")
        if storage is None:
            raise ValueError("cloudinit needs a storage for its drive")
        found[str(drive)] = lines.write(str(drive), {"file": f"{storage}:cloudinit"})
    return found


def _text(kind: str, key: str, current: str | None, change: Change, born: Mapping[str, Any]) -> str | None:
    """The new text of `key`, or None when nothing of it is left."""
    whole = next((one for one in options_of(kind, key) if one.part is None), None)
    if whole is not None:
        value = change.set.get(path_of(whole, key))
        return None if value is None else whole.codec.write(value)
    line = lines.read(key, current) if current is not None else _new_line(kind, key, change, born)
    for one in options_of(kind, key):
        path = path_of(one, key)
        if one.part is None or (one.part == "size" and (current is not None or "size" not in line)):
            continue  # a disk is grown by a call of its own, and a new one has its size in its first part
        if path in change.set:
            line[one.part] = one.codec.write(change.set[path])
        elif path in change.unset:
            line.pop(one.part, None)
    return lines.write(key, line) if line else None


def _new_line(kind: str, key: str, change: Change, born: Mapping[str, Any]) -> Line:
    if key.startswith("net"):
        return {"model": "virtio"} if kind == QEMU else {"name": f"eth{key.removeprefix('net')}"}
    if not _VOLUME_KEYS.fullmatch(key):
        return {}
    storage = change.set.get(_storage_path(key))
    if storage is None:
        raise ValueError(f"{key} needs a storage")
    first = lines.first_of(key) or "file"
    if image := born.get(f"import.{key}"):
        return {first: f"{storage}:0", "import-from": str(image)}
    size = change.set.get(next((path_of(o, key) for o in options_of(kind, key) if o.part == "size"), ""))
    if size is None and key not in ("efidisk0", "tpmstate0"):
        raise ValueError(f"{key} needs a size")
    return {first: f"{storage}:{_gib(int(size)) if size is not None else 1}"}


def _gib(size: int) -> str:
    """Bytes in GiB, exact."""
    return f"{(Decimal(size) / GIB).normalize():f}"


def sized(kind: str, key: str) -> bool:
    """True for keys of volumes that can be grown."""
    return any(one.part == "size" for one in options_of(kind, key))


def size_of(config: Config, key: str) -> int | None:
    """Bytes of a volume as its line says; None where there is none."""
    text = config.get(key)
    size = lines.read(key, text).get("size") if text is not None else None
    return size_bytes(size) if size else None


def touched(kind: str, change: Change, current: Config) -> set[str]:
    """Config keys that a change writes or removes, boot order included where a device comes or goes: what undo puts
    back."""
    keys = _keys(kind, change.set) | _keys(kind, change.unset) | set(change.remove)
    keys |= {m[1] for p in (*change.set, *change.unset) if (m := _CDROM.fullmatch(p))}
    keys |= {str(change.set["cloudinit.drive"])} if change.set.get("cloudinit.drive") else set()
    devices = {k for k in keys if DRIVE.fullmatch(k) or k.startswith("net")}
    return keys | ({"boot"} if kind == QEMU and devices else set()) - ({"boot"} if "boot" not in current else set())


def with_tags(current: str, change: Change, ours: bool) -> str:
    """Tags to write: the declared ones or those that stand there, with our own or without."""
    kept = set(tags_of(current))
    if "tags" in change.set:
        kept = {str(t) for t in change.set["tags"]}
    elif "tags" in change.unset:
        kept = set()
    return ";".join(sorted(kept | ({marks.TAG} if ours else set())))


def same_tags(one: str, other: str) -> bool:
    """Tags are a set, whatever parts them."""
    return {t.lower() for t in re.split(r"[\s,;]+", one) if t} == {t.lower() for t in re.split(r"[\s,;]+", other) if t}
