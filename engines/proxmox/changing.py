"""The steps that take a guest that is there to what is wanted, and how disruptive they are. Pure.

What PVE keeps pending on a running guest is written between a shutdown and a start, where the lifecycle allows a
reboot. Where it does not, it is written without the power step and takes effect whenever the guest is next started.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.blueprint.entry import Disruption
from controller.blueprint.units import shown_size
from controller.blueprint.value import Value
from controller.plan.resource import Desired, Seen
from controller.plan.step import FieldChange, Phase, Step
from engines.engine import Refused
from engines.proxmox import guest, options, rules, steps
from engines.proxmox.differences import Differences, coming, part_of
from engines.proxmox.options import LXC
from engines.proxmox.settings import Settings
from engines.proxmox.steps import Call, Target

REBOOT_S = 60  # announced gap: a shutdown and a start
_SIZE = re.compile(r"(?:disks\.|mounts\.)?(\w+)\.size")
_FIXED = re.compile(r"(.+\.storage|unprivileged|efi\..+|tpm\..+)")
_COLD = re.compile(r"(ide|sata)\d+|efidisk0|tpmstate0")


@dataclass(frozen=True, slots=True)
class Changing:
    """Part of an Effect."""

    steps: tuple[Step, ...] = ()
    disruption: Disruption = Disruption.NONE
    reason: str = ""
    lost: tuple[str, ...] = ()
    down_s: int | None = None


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Changes by the call that makes them."""

    config: tuple[FieldChange, ...]
    sizes: Mapping[str, FieldChange]
    running: FieldChange | None
    template: bool
    pool: FieldChange | None
    ha: bool
    firewall: bool
    removed: tuple[str, ...]  # config keys that go as a whole


def changing(kind: str, desired: Desired, seen: Seen, diff: Differences, settings: Settings) -> Changing:
    """Raises Refused for what PVE cannot change on a guest that is there."""
    if not diff.changes and not diff.waiting:
        return Changing(reason=_worth_saying(seen))
    live = coming(seen)
    _possible(desired, live, diff.changes)
    runs = seen.fields.get("running") is True
    parts = _sorted(kind, desired, live, diff.changes)
    cold = runs and (bool(diff.waiting) or any(_needs_reboot(kind, c, live) for c in parts.config))
    ceiling = desired.lifecycle.max_disruption
    held = cold and ceiling is not None and ceiling.rank < Disruption.REBOOT.rank
    if held and not diff.changes:
        return Changing(reason=f"restart pending: {', '.join(c.path for c in diff.waiting)}")
    sent = _steps(kind, desired, seen, parts, diff, settings, reboots=cold and not held)
    lost = tuple(f"{d} stays at {shown_size(int(str(c.after)))}: volumes only grow" for d, c in parts.sizes.items())
    lost += ("a template cannot be turned back into a guest",) if parts.template else ()
    return Changing(
        tuple(sent),
        _disruption(kind, diff, parts, runs, cold and not held),
        _reason(parts, held, desired),
        lost,
        REBOOT_S if cold and not held else None,
    )


def _sorted(kind: str, desired: Desired, live: Mapping[str, Value], changes: Sequence[FieldChange]) -> _Sorted:
    by_path = {c.path: c for c in changes}
    sizes = {m[1]: c for p, c in by_path.items() if (m := _SIZE.fullmatch(p)) and isinstance(c.before, int) and c.after}
    config = tuple(
        c for c in changes if not guest.elsewhere(c.path) and not (c.path.endswith(".size") and c.before and c.after)
    )
    return _Sorted(
        config=config,
        sizes=sizes,
        running=by_path.get("running"),
        template="template" in by_path,
        pool=by_path.get("pool"),
        ha=any(p.startswith("ha.") for p in by_path),
        firewall=any(p.startswith("firewall.") for p in by_path),
        removed=_removed(kind, desired, live, config),
    )


def _removed(kind: str, desired: Desired, live: Mapping[str, Value], changes: Sequence[FieldChange]) -> tuple[str, ...]:
    """Config keys of devices that nothing is wanted of any more."""
    kept = {part_of(p) for p in desired.fields}
    gone = {part_of(c.path) for c in changes if c.after is None} - kept
    keys = {part.partition(".")[2] for part in gone if "." in part}
    if "cloudinit" in gone and isinstance(drive := live.get("cloudinit.drive"), str):
        keys.add(drive)
    return tuple(sorted(keys))


def _possible(desired: Desired, live: Mapping[str, Value], changes: Sequence[FieldChange]) -> None:
    for change in changes:
        fixed = _FIXED.fullmatch(change.path) and change.before is not None and change.after is not None
        if fixed or (change.path == "template" and change.before):
            raise Refused(
                f"{desired.place}: {change.path} of {desired.key.name} cannot change from {change.before} to"
                f" {change.after} without making the guest anew, which would lose its data; take it back, or add"
                " lifecycle.ignore for that field"
            )
        smaller = isinstance(change.before, int) and isinstance(change.after, int) and change.after < change.before
        if change.path.endswith(".size") and smaller:
            raise Refused(
                f"{desired.place}: {change.path} of {desired.key.name} is {shown_size(int(str(change.before)))} and"
                f" cannot shrink to {shown_size(int(str(change.after)))}; volumes only grow"
            )


def _needs_reboot(kind: str, change: FieldChange, live: Mapping[str, Value]) -> bool:
    key = part_of(change.path).partition(".")[2] or {"efi": "efidisk0", "tpm": "tpmstate0"}.get(
        part_of(change.path), ""
    )
    if kind == LXC and change.path.startswith("mounts."):
        return not _is_new(change.path, live)
    if change.path == "cloudinit.drive":
        return True
    if _is_new(change.path, live) or change.after is None:
        return bool(_COLD.fullmatch(key)) or (not key and _cost(kind, change) is Disruption.REBOOT)
    return _cost(kind, change) is Disruption.REBOOT


def _is_new(path: str, live: Mapping[str, Value]) -> bool:
    """True for a field of a device that is not there yet."""
    part = part_of(path)
    return "." in part and not any(p.startswith(part + ".") or p == part for p in live)


def _cost(kind: str, change: FieldChange) -> Disruption:
    return options.cost(kind, change.path)


def _disruption(kind: str, diff: Differences, parts: _Sorted, runs: bool, reboots: bool) -> Disruption:
    found = [Disruption.IN_PLACE]
    if reboots:
        found.append(Disruption.REBOOT)
    if parts.running or parts.template:
        found.append(Disruption.REBOOT if runs else Disruption.RESTART)
    changed_mac = any(c.path.endswith(".mac") and c.before and c.after for c in parts.config)
    found += [Disruption.RECREATE] if changed_mac else []
    if runs:
        costs = (_cost(kind, c) for c in parts.config if c.before is not None and c.after is not None)
        found += [c for c in costs if c is Disruption.RESTART]
    return max(found, key=lambda d: d.rank)


def _steps(
    kind: str, desired: Desired, seen: Seen, parts: _Sorted, diff: Differences, settings: Settings, *, reboots: bool
) -> list[Step]:
    target = Target(desired.key, str(desired.resource), seen)
    runs, stop = seen.fields.get("running") is True, _stop(desired)
    down = runs and (reboots or (parts.running is not None and parts.running.after is False) or parts.template)
    up = desired.fields.get("running") is True and (down or not runs)
    sent: list[Step] = []
    shots = steps.snapshot(target) if down and desired.private.get("snapshot") and not parts.template else []
    sent += shots[:1]
    if down:
        rollback = bool(shots) and bool((_shot(desired) or {}).get("rollback"))
        sent.append(steps.power(target, Call.SHUTDOWN, {**stop, "rollback": steps.SNAPSHOT_NAME if rollback else None}))
    sent += _config(kind, desired, seen, target, parts, settings)
    sent += [
        steps.resize(target, Phase.CUT, disk, int(str(c.after)), {c.path: c.before}) for disk, c in parts.sizes.items()
    ]
    if parts.pool is not None:
        sent.append(steps.member(target, Phase.CUT, parts.pool.after, parts.pool.before))
    sent += walls(target, Phase.CUT, desired.fields, coming(seen)) if parts.firewall else []
    if parts.template:
        sent.append(target.step(Phase.CUT, Call.TEMPLATE, {}, reversible=False))
    if up:
        sent.append(steps.power(target, Call.START, stop))
    if parts.ha:
        sent.append(steps.ha(target, below(desired.fields, "ha"), below(coming(seen), "ha")))
    return [*sent, *shots[1:]]


def _config(kind: str, desired: Desired, seen: Seen, target: Target, parts: _Sorted, settings: Settings) -> list[Step]:
    """One call for all options; the marker says from then on what is set."""
    live = coming(seen)
    changed = {c.path: desired.fields[c.path] for c in parts.config if c.path in desired.fields}
    changed |= {p: v for p, v in filled(kind, desired, changed, settings).items() if p not in live}
    unset = [c.path for c in parts.config if c.path not in desired.fields]
    if not changed and not unset and seen.mark and seen.mark.fields == frozenset(desired.fields):
        return []
    before = {c.path: live.get(c.path) for c in parts.config if not c.sensitive}
    born = _given(desired)
    mark = steps.mark_request(desired)
    if not parts.config and not parts.sizes and not parts.pool and not parts.ha and not parts.firewall:
        return []
    return [steps.config(target, Phase.CUT, changed, unset, parts.removed, mark, before, born)]


def _given(desired: Desired) -> dict[str, Value]:
    born = desired.private.get("birth")
    assert isinstance(born, Mapping)
    return {k: v for k, v in born.items() if k.startswith("import.")}


def _stop(desired: Desired) -> Mapping[str, Value]:
    stop = desired.private["stop"]
    assert isinstance(stop, Mapping)
    return stop


def _shot(desired: Desired) -> Mapping[str, Value] | None:
    shot = desired.private.get("snapshot")
    return shot if isinstance(shot, Mapping) else None


def filled(kind: str, desired: Desired, fields: Mapping[str, Value], settings: Settings) -> dict[str, Value]:
    """Storages and bridges of the target's configuration, for disks and cards that name none. Raises Refused where it
    has none either."""
    found: dict[str, Value] = {}
    for part in {part_of(p) for p in fields}:
        if part.startswith("nets.") and f"{part}.bridge" not in fields:
            found[f"{part}.bridge"] = settings.bridge
        stored = part.startswith(("disks.", "mounts.")) or part in ("rootfs", "efi", "tpm", "cloudinit")
        if part == "cloudinit" and "cloudinit.drive" not in fields:
            continue
        if stored and f"{part}.storage" not in fields:
            if settings.storage is None:
                text = f"{desired.place}: {part} of {desired.key.name} names no storage, and the target has no default"
                raise Refused(f"{text}; write `storage`, or set it for the target")
            found[f"{part}.storage"] = settings.storage
    return found


def below(fields: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Fields below a prefix, without it."""
    return {p.removeprefix(f"{prefix}."): v for p, v in fields.items() if p.startswith(f"{prefix}.")}


def walls(target: Target, phase: Phase, wanted: Mapping[str, Value], live: Mapping[str, Value]) -> list[Step]:
    """Rules first, then options: what is to be let in is so before the rest is shut out."""
    asked, there = below(wanted, "firewall"), below(live, "firewall")
    now, then = there.pop("rules", ()), asked.pop("rules", None)
    assert isinstance(now, tuple)
    sent: list[Step] = []
    if isinstance(then, tuple):
        sent += [steps.rule(target, phase, edit) for edit in rules.edits(now, then)]
    changed = {p: v for p, v in asked.items() if there.get(p) != v}
    if changed:
        sent.append(steps.firewall(target, phase, changed, {p: there.get(p) for p in changed}))
    return sent


def _reason(parts: _Sorted, held: bool, desired: Desired) -> str:
    told = []
    if held:
        told.append("takes effect at the next reboot")
    if any(c.path.startswith("cloudinit.") for c in parts.config) and not held:
        told.append("cloud-init reads it at the next start")
    kept = [k for k in parts.removed if options.DRIVE.fullmatch(k) or k.startswith("mp")]
    if kept:
        told.append(f"{', '.join(kept)} detached; its volume is kept as unused")
    stop = desired.private.get("stop")
    if isinstance(stop, Mapping) and stop.get("force") and (parts.running or not held):
        told.append(f"cut off if it does not end within {stop['timeout_s']} s")
    return "; ".join(told)


def _worth_saying(seen: Seen) -> str:
    unused = [f"{p.removeprefix('unused.')} ({v})" for p, v in sorted(seen.fields.items()) if p.startswith("unused.")]
    return f"volumes nobody uses: {', '.join(unused)}" if unused else ""
