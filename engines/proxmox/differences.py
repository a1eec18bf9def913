"""What differs between a wanted guest and the live one, three-way, pending values included. Pure.

Three states per field: declared with a value, dropped (it was declared before: unset it), not declared (never compared,
never written). A declared value that equals PVE's default agrees with an absent one. A pending value that equals the
wanted one needs no write, only the restart that brings it into effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.blueprint.value import Value
from controller.plan.diff import agrees, three_way, without
from controller.plan.resource import Desired, Fields, Seen
from controller.plan.step import FieldChange
from engines.proxmox import options, steps

# Given at birth or read by people only: dropped from a blueprint, they stay as they are.
_STAYS = (".storage", ".size", "unprivileged", "template", "efi.type", "tpm.version")


@dataclass(frozen=True, slots=True)
class Differences:
    """`changes`: fields to write; `waiting`: fields that are accepted already and wait for a restart."""

    changes: tuple[FieldChange, ...] = ()
    waiting: tuple[FieldChange, ...] = ()


def coming(seen: Seen) -> dict[str, Value]:
    """Fields as they will be once nothing is pending."""
    found = {**seen.fields, **seen.pending}
    return {p: v for p, v in found.items() if v is not None}


def differences(kind: str, desired: Desired, seen: Seen) -> Differences:
    """Changes in path order; `kind` is empty for what is no guest."""
    live = coming(seen)
    set_before = _compared(seen.mark.fields if seen.mark else frozenset(), desired.fields)
    compared = with_defaults(kind, desired.fields, live)
    changed = three_way(desired.fields, compared, set_before)
    moved = _moved_references(desired, seen)
    said = {c.path for c in moved}
    both = sorted((*moved, *(c for c in changed if c.path not in said)), key=lambda c: c.path)
    waiting = _waiting(kind, desired, seen, {c.path for c in both})
    ignored = desired.lifecycle.ignore
    return Differences(without(both, ignored), without(waiting, ignored))


def with_defaults(kind: str, wanted: Fields, live: Fields) -> dict[str, Value]:
    """`live` with what an absent value means, for the fields that are wanted."""
    assumed = {p: options.default(kind, p) for p in wanted if p not in live} if kind else {}
    return {**{p: d for p, d in assumed.items() if d is not None}, **live}


def _compared(set_before: frozenset[str], wanted: Fields) -> frozenset[str]:
    """Paths whose dropping means something: a disk's size or storage only where the whole disk is dropped."""
    kept = {part_of(p) for p in wanted}
    return frozenset(p for p in set_before if not p.endswith(_STAYS) or (part_of(p) not in kept and p.count(".") == 2))


def part_of(path: str) -> str:
    """The device or group a path belongs to: `nets.net0`, `disks.scsi1`, `mounts.mp0`; else its first word."""
    words = path.split(".")
    return ".".join(words[:2]) if words[0] in ("nets", "disks", "mounts", "cdroms") else words[0]


def _waiting(kind: str, desired: Desired, seen: Seen, said: set[str]) -> list[FieldChange]:
    """Pending values that are what is wanted, or the end of what was dropped."""
    ours = seen.mark.fields if seen.mark else frozenset()
    found = []
    for path, after in sorted(seen.pending.items()):
        wanted: Value = desired.fields.get(path)
        asked = path in desired.fields and agrees(wanted, after if after is not None else options.default(kind, path))
        if path not in said and (asked or (after is None and path in ours)):
            found.append(FieldChange(path, seen.fields.get(path), after))
    return found


def _moved_references(desired: Desired, seen: Seen) -> list[FieldChange]:
    """Secrets that are filled from another reference than they were. Their values cannot be read back (§6), so a value
    that somebody else changed is not seen, and a value is never sent again only because it cannot be compared."""
    if seen.mark is None:
        return []
    before: Mapping[str, Value] = {p: v for p, v in seen.fields.items() if p.startswith("refs.")}
    found = []
    for path, ref in steps.refs(desired.fields).items():
        old = before.get(f"refs.{path}")
        if old != ref:
            found.append(FieldChange(path, old, ref, sensitive=True))
    return found
