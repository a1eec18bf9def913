"""Wanted and seen objects → one Effect each. Pure: what a change does to users is decided here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.blueprint.entry import Disruption, OnDelete, Probe, ProbeKind, UpdateOrder
from controller.blueprint.value import Value
from controller.plan.diff import agrees, covers, holds_secret, three_way
from controller.plan.resource import Desired, Fields, MarkLifecycle, ObjectKey, Part, Seen, Snapshot
from controller.plan.step import Action, Effect, FieldChange, Phase, Step
from engines.simulation import steps
from engines.simulation.kinds import stands_alone
from engines.simulation.model import disruption, is_active, is_manifest, takes_reboot, type_of
from engines.simulation.record import exclusive, resource_of

STOP_START_S = 2
_PLATFORM = Probe(ProbeKind.PLATFORM)
_REMOVED_AFTER = {"network": 1, "storage": 2, "volume": 2, "image": 3}


def effects(wanted: Sequence[Desired], seen: Snapshot, scope: str, install: str) -> tuple[Effect, ...]:
    """One Effect per wanted object, then one per object of this scope that nobody wants."""
    live = _Live(seen, scope, install)
    keys = {d.key for d in wanted}
    moved: set[ObjectKey] = set()
    found = []
    for desired in wanted:
        old = live.under.get(desired.key) or live.former(desired, keys, moved)
        if old is not None and old.key != desired.key:
            moved.add(old.key)
        found.append(_effect(desired, old, live))
    gone = (s for s in live.under.values() if live.owns(s) and s.key not in keys and s.key not in moved)
    return (*found, *(_gone(s) for s in gone))


class _Live:
    """The current objects of a snapshot by key, and which of them this scope owns."""

    def __init__(self, seen: Snapshot, scope: str, install: str) -> None:
        self._owner = (install, scope)
        self.under = {s.key: s for s in seen.objects if s.part is Part.CURRENT}
        self._by_resource: dict[tuple[str, str], Seen] = {}
        for one in self.under.values():
            if one.mark and self.owns(one):
                self._by_resource[one.mark.resource, one.key.kind] = one

    def owns(self, seen: Seen) -> bool:
        return seen.mark is not None and (seen.mark.install, seen.mark.scope) == self._owner

    def former(self, wanted: Desired, *taken: set[ObjectKey]) -> Seen | None:
        """The object whose mark `formerly` takes over, if nobody else wants its name."""
        found = (self._by_resource.get((old, wanted.key.kind)) for old in wanted.formerly)
        return next((s for s in found if s is not None and not any(s.key in t for t in taken)), None)


def _effect(wanted: Desired, old: Seen | None, live: _Live) -> Effect:
    if wanted.external:
        return _in_sync(wanted, old, "" if old else f"{wanted.key} is external and not there")
    if old is None:
        return _creation(wanted)
    if not live.owns(old):
        # Without the uid that a person named, the name is somebody else's: the create below collides with it (I16).
        named = wanted.adopt is not None and wanted.adopt == old.uid and old.mark is None
        return _adoption(wanted, old) if named else _creation(wanted)
    if old.task:
        return _in_sync(wanted, old, f"task {old.task} is at work on it")
    return _Comparison(wanted, old).effect()


def _in_sync(wanted: Desired, old: Seen | None, reason: str = "") -> Effect:
    return Effect(
        resource=wanted.resource,
        key=wanted.key,
        action=Action.UPDATE,
        disruption=Disruption.NONE,
        reason=reason,
        claims=wanted.claims,
        uid=old.uid if old else None,
        probe=_probe(wanted),
    )


def _probe(wanted: Desired) -> Probe | None:
    return wanted.probe or (_PLATFORM if is_active(wanted.key.kind) else None)


def _creation(wanted: Desired) -> Effect:
    return Effect(
        resource=wanted.resource,
        key=wanted.key,
        action=Action.CREATE,
        disruption=Disruption.NONE,
        fields=tuple(FieldChange(p, None, v, holds_secret(v)) for p, v in sorted(wanted.fields.items())),
        reason="not there",
        claims=wanted.claims,
        steps=steps.creation(wanted, wanted.fields),
        probe=_probe(wanted),
    )


def _gone(old: Seen) -> Effect:
    """Nobody wants it any more."""
    assert old.mark is not None
    resource = resource_of(old.mark)
    if old.mark.lifecycle.on_delete is OnDelete.RETAIN:
        return Effect(
            resource,
            old.key,
            Action.FORGET,
            Disruption.NONE,
            reason="not in the blueprint any more; on_delete is retain",
            steps=(steps.forgetting(old),),
            uid=old.uid,
        )
    kind = type_of(old.key.kind)
    keeps_data = kind in ("storage", "volume", "database", "vm", "lxc") or "storage" in old.fields
    return Effect(
        resource,
        old.key,
        Action.DESTROY,
        Disruption.DATA_LOSS if keeps_data else Disruption.RECREATE,
        reason="not in the blueprint any more",
        lost=(f"{old.key} and what is in it",) if keeps_data else (),
        steps=steps.removal(old),
        uid=old.uid,
        frees=exclusive(old.claims) if is_active(old.key.kind) else frozenset(),
        order=_REMOVED_AFTER.get(kind, 0),
    )


def _adoption(wanted: Desired, old: Seen) -> Effect:
    """The mark first, then what differs, as for an object that was ours all along."""
    compared = _Comparison(wanted, old).effect()
    secrets = [p for p, v in wanted.fields.items() if holds_secret(v)]
    mark = steps.marking(wanted, old.uid, list(wanted.fields), secrets)
    stage = tuple(s for s in compared.steps if s.phase is Phase.STAGE)
    return Effect(
        resource=wanted.resource,
        key=wanted.key,
        action=Action.ADOPT,
        disruption=compared.disruption,
        fields=tuple(c for c in compared.fields if not c.path.startswith("lifecycle.")),
        reason=f"adopts {old.uid}",
        claims=wanted.claims,
        lost=compared.lost,
        steps=(*stage, mark, *(s for s in compared.steps if s not in stage and s.request["call"] != "mark")),
        uid=old.uid,
        probe=_probe(wanted),
        down_s=compared.down_s,
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One wanted object and the one that stands for it."""

    wanted: Desired
    old: Seen

    def effect(self) -> Effect:
        """What takes the old object to the wanted fields, mark and power state."""
        old, wanted = self.old, self.wanted
        coming: Fields = {**old.fields, **old.pending}
        changes = three_way(wanted.fields, coming, steps.mark_paths(old.mark), wanted.lifecycle.ignore)
        worst = self._worst(changes)
        if worst.rank >= Disruption.RESTART.rank and worst is not Disruption.REBOOT:
            return self._replaced(changes, worst)
        return self._in_place(changes)

    def _worst(self, changes: Sequence[FieldChange]) -> Disruption:
        found = (disruption(self.old.key.kind, c.path, c.before, c.after) for c in changes)
        return max(found, key=lambda d: d.rank, default=Disruption.NONE)

    def _in_place(self, changes: Sequence[FieldChange]) -> Effect:
        """Writes, then a reboot where a value waits for one and the ceiling allows it."""
        boot = self._reboot_due(changes)
        ceiling = self.wanted.lifecycle.max_disruption
        held_back = boot and ceiling is not None and ceiling.rank < Disruption.REBOOT.rank
        planned = tuple(self._steps_in_place(changes, boot and not held_back))
        if not planned:
            return _in_sync(self.wanted, self.old, "restart pending" if held_back else "")
        marks = self._mark_changes()
        shown = (*marks, *changes, *(self._pending_changes() if boot and not held_back else ()), *self._power_change())
        down = Disruption.IN_PLACE if changes or self._power_change() else Disruption.NONE
        reason = "takes effect at the next reboot" if held_back and changes else "differs from the blueprint"
        return self._update(shown, Disruption.REBOOT if boot and not held_back else down, reason, planned)

    def _steps_in_place(self, changes: Sequence[FieldChange], boot: bool) -> Iterator[Step]:
        old, wanted = self.old, self.wanted
        if old.key != wanted.key:
            yield steps.moving(old, wanted)
        if changes:
            yield self._write(changes)
        if any(c.path.startswith("lifecycle.") or c.path == "id" for c in self._mark_changes()) and self._must_mark():
            paths = (steps.mark_paths(old.mark) | {c.path for c in changes}) - {c.path for c in changes if _unset(c)}
            secrets = [p for p in paths if holds_secret(wanted.fields.get(p, old.fields.get(p)))]
            yield steps.marking(wanted, old.uid, sorted(paths), secrets)
        if self._power_change():
            yield self._at_new_name(steps.starting(old))
        elif boot:
            yield self._at_new_name(steps.rebooting(old))

    def _write(self, changes: Sequence[FieldChange]) -> Step:
        changed = {c.path: c.after for c in changes if not _unset(c)}
        unset = [c.path for c in changes if _unset(c)]
        expected = {c.path: c.before for c in changes}
        reversible = self.wanted.fields.get("simulate.irreversible") is not True
        return steps.writing(self.wanted.key, self.old.uid, changed, unset, expected, reversible)

    def _at_new_name(self, step: Step) -> Step:
        return steps.under(step, self.wanted.key)

    def _must_mark(self) -> bool:
        """A move writes the resource by itself."""
        mark = self.old.mark
        same = mark is not None and mark.lifecycle == MarkLifecycle.of(self.wanted.lifecycle)
        return not same or self.old.key == self.wanted.key

    def _mark_changes(self) -> tuple[FieldChange, ...]:
        """What the mark says otherwise than the blueprint: whose it is, and how it may go."""
        mark, wanted = self.old.mark, self.wanted
        if mark is None:
            return ()
        after = MarkLifecycle.of(wanted.lifecycle)
        pairs: tuple[tuple[str, Value, Value], ...] = (
            ("id", mark.resource, str(wanted.resource)),
            ("lifecycle.on_delete", mark.lifecycle.on_delete.value, after.on_delete.value),
            ("lifecycle.protect", mark.lifecycle.protect, after.protect),
        )
        return tuple(FieldChange(path, a, b) for path, a, b in pairs if a != b)

    def _power_change(self) -> tuple[FieldChange, ...]:
        down = self.old.fields.get("running") is False
        return (FieldChange("running", False, True),) if down and not self._ignored("running") else ()

    def _reboot_due(self, changes: Sequence[FieldChange]) -> bool:
        if self._power_change():
            return False  # its start takes everything that waits
        kind = self.old.key.kind
        writes = any(takes_reboot(kind, c.path) and self._differs_in_effect(c.path, c.after) for c in changes)
        return writes or bool(self._pending_changes())

    def _differs_in_effect(self, path: str, after: Value) -> bool:
        return path not in self.old.fields or not agrees(after, self.old.fields[path])

    def _pending_changes(self) -> tuple[FieldChange, ...]:
        """Wanted values that are written already and wait for the next boot."""
        old, wanted = self.old, self.wanted
        return tuple(
            FieldChange(path, old.fields.get(path), value, holds_secret(value))
            for path, value in sorted(old.pending.items())
            if path in wanted.fields and agrees(wanted.fields[path], value) and not self._ignored(path)
        )

    def _ignored(self, path: str) -> bool:
        return any(covers(p, path) for p in self.wanted.lifecycle.ignore)

    def _replaced(self, changes: Sequence[FieldChange], worst: Disruption) -> Effect:
        wanted, old = self.wanted, self.old
        fields = {p: old.fields.get(p, v) if self._ignored(p) else v for p, v in wanted.fields.items()}
        expected = {c.path: c.before for c in changes}
        start_first = self._start_first()
        planned = steps.replacement(wanted, old, fields, expected, start_first, _probe(wanted))
        shown = (*self._mark_changes(), *changes)
        down_s = None if not is_active(old.key.kind) else 0 if start_first else STOP_START_S
        action = Action.UPDATE if worst is Disruption.RESTART else Action.RECREATE
        return self._update(shown, worst, "differs from the blueprint", planned, action, down_s)

    def _start_first(self) -> bool:
        order = self.wanted.lifecycle.update
        if order is not None:
            return order is UpdateOrder.START_FIRST
        return not (type_of(self.old.key.kind) == "database" or stands_alone(self.wanted.fields))

    def _lost(self, worst: Disruption) -> tuple[str, ...]:
        if worst is Disruption.DATA_LOSS:
            return (f"the data of {self.old.key}: the new one starts empty",)
        if worst.rank >= Disruption.RECREATE.rank and is_manifest(self.old.key.kind):
            return (f"the uid and status of {self.old.key}",)
        volumes = self.wanted.fields.get("volumes")
        if worst is Disruption.RESTART and isinstance(volumes, list | tuple):
            return tuple(f"what the new version writes to {v} stays after undo" for v in volumes)
        return ()

    def _update(
        self,
        shown: tuple[FieldChange, ...],
        worst: Disruption,
        reason: str,
        planned: tuple[Step, ...],
        action: Action = Action.UPDATE,
        down_s: int | None = None,
    ) -> Effect:
        return Effect(
            resource=self.wanted.resource,
            key=self.wanted.key,
            action=action,
            disruption=worst,
            fields=shown,
            reason=reason,
            claims=self.wanted.claims,
            lost=self._lost(worst),
            steps=planned,
            uid=self.old.uid,
            probe=_probe(self.wanted),
            down_s=down_s,
        )


def _unset(change: FieldChange) -> bool:
    return change.after is None
