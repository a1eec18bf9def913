"""Reading a guest's configuration the way the API shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.proxmox.drives import options, volume_of
from tests.proxmox.faults import died
from tests.proxmox.schema import indexed
from tests.proxmox.tasks import check_guest_lock
from tests.proxmox.world import Guest, World

_MASKED = "**********"


def digest(guest: Guest) -> str:
    """SHA-1 of the file: any change of options, pending ones, lock or snapshots gives another one."""
    lines = [*_section("", guest.config), *_section("[PENDING]", guest.pending)]
    lines += [f"delete: {key} {forced}" for key, forced in sorted(guest.removals.items())]
    for name, snapshot in sorted(guest.snapshots.items()):
        lines += _section(f"[{name}]", {key: str(value) for key, value in snapshot.items()})
    return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def _section(title: str, values: Mapping[str, str]) -> list[str]:
    return [title, *(f"{key}: {value}" for key, value in sorted(values.items()))]


def typed(world: World, kind: str, key: str, value: str) -> Any:
    """Integers and booleans are numbers in JSON, everything else is text."""
    schema = indexed(options(world.version, kind), key) or {}
    if key == "cipassword":
        return _MASKED
    if kind == "qemu" and key == "description":
        return value.rstrip()
    if kind == "lxc" and key == "description":
        return value if value.endswith("\n") else f"{value}\n"
    return int(value) if schema.get("type") in ("integer", "boolean") else value


def shown(world: World, guest: Guest, values: Mapping[str, str]) -> dict[str, Any]:
    """A configuration as an answer, with the digest of the file."""
    result = {key: typed(world, guest.kind, key, value) for key, value in values.items()}
    return {**result, "digest": digest(guest)}


def merged(guest: Guest) -> dict[str, str]:
    """What will be in effect once everything pending is."""
    return {key: value for key, value in {**guest.config, **guest.pending}.items() if key not in guest.removals}


def pending_rows(world: World, guest: Guest) -> list[dict[str, Any]]:
    """The rows of GET pending."""
    rows: list[dict[str, Any]] = []
    for key in sorted({*guest.config, *guest.pending, *guest.removals}):
        row: dict[str, Any] = {"key": key}
        if key in guest.config:
            row["value"] = typed(world, guest.kind, key, guest.config[key])
        if key in guest.pending:
            row["pending"] = typed(world, guest.kind, key, guest.pending[key])
        if key in guest.removals:
            row["delete"] = 2 if guest.removals[key] else 1
        rows.append(row)
    return [*rows, {"key": "digest", "value": digest(guest)}]


def check_unlocked(world: World, guest: Guest, *, allow: tuple[str, ...] = ()) -> None:
    """Raises the 500 of a locked guest, or of a lock file held by somebody else."""
    lock = guest.config.get("lock")
    if lock is not None and lock not in allow:
        raise died(f"{'VM' if guest.kind == 'qemu' else 'CT'} is locked ({lock})")
    check_guest_lock(world, guest.kind, guest.vmid, 10.0)


def check_digest(guest: Guest, given: str | None) -> None:
    """Raises the 500 of a stale digest."""
    if given is not None and given != digest(guest):
        if guest.kind == "qemu":
            raise died("checksum mismatch (file change by other user?)")
        raise died("detected modified configuration - file changed by other user? Try again.")


def volumes_of(world: World, guest: Guest, *, everything: bool = False) -> dict[str, str]:
    """Volumes by key; with `everything` also unused, pending and snapshot ones (keys are then only labels)."""
    found: dict[str, str] = {}
    sources: list[tuple[str, Mapping[str, str]]] = [("", guest.config)]
    if everything:
        sources += [("pending ", guest.pending)]
        sources += [(f"{name} ", snapshot["config"]) for name, snapshot in guest.snapshots.items()]
    for label, values in sources:
        for key, value in values.items():
            volid = volume_of(world, guest.kind, key, value)
            if volid is not None and (everything or not key.startswith("unused")):
                found[label + key] = volid
    return found


def add_unused(guest: Guest, volid: str) -> None:
    """Keeps a volume that lost its place under the lowest free `unusedN`."""
    if volid in (guest.config[key] for key in guest.config if key.startswith("unused")):
        return
    number = 0
    while f"unused{number}" in guest.config:
        number += 1
    guest.config[f"unused{number}"] = volid
