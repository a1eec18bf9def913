"""What each object needs on a cluster: local comparison first, and a server-side dry run of exactly those objects whose
own fields differ, so that defaulting, admission and other managers' fields neither hide a change nor make one up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controller.blueprint.entry import Disruption, OnDelete, Probe, ProbeKind
from controller.blueprint.value import Value
from controller.plan.diff import covers, holds_secret, three_way, without
from controller.plan.resource import Desired, MarkLifecycle, ObjectKey, ResourceId, Seen, Snapshot
from controller.plan.step import Action, Effect, Expect, FieldChange, Phase
from engines.engine import Refused, Transient
from engines.kubernetes import disruptions, hooks, inventory, steps
from engines.kubernetes.client import Invalid
from engines.kubernetes.objects import kind_of, place_of
from engines.kubernetes.trial import Trial, Tried

_PLATFORM = Probe(ProbeKind.PLATFORM)
_TOGETHER = 16
_IMMUTABLE = re.compile(
    r"(?i)field is immutable|is immutable after creation|may not (be changed|change once set)"
    r"|updates to .* (are )?forbidden|cannot change (type|roleRef)|forbidden: .*immutable"
)


@dataclass(frozen=True, slots=True)
class Match:
    """A wanted object and the live one that is it, if any; `held` is a live one that is not ours."""

    desired: Desired
    seen: Seen | None
    adopted: bool = False
    held: Seen | None = None


class Preview:
    """Plans one scope's part of a cluster."""

    def __init__(self, trial: Trial, home: str, install: str) -> None:
        self._trial = trial
        self._home = home
        self._install = install
        self._slots = asyncio.Semaphore(_TOGETHER)

    async def effects(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """One Effect per wanted object and per owned one nobody wants, and one for the scope's record if it moves."""
        record = inventory.key(self._home, self._install, scope)
        live = {s.key: s for s in seen.objects if s.key != record}
        matches = [_match(d, live, scope) for d in wanted]
        await self._trial.prepare(wanted)
        results = await asyncio.gather(*(self._effect(m, wanted) for m in matches), return_exceptions=True)
        effects = _raised(results)
        taken = {d.key for d in wanted}
        owned = [s for s in live.values() if s.mark and s.mark.scope == scope]
        effects += [_gone(s) for s in owned if s.key not in taken]
        old = next((s for s in seen.objects if s.key == record), None)
        said = inventory.of_keys(taken), inventory.of_keys(s.key for s in owned)
        kept = inventory.effect(scope, record, old, *said)
        return tuple(sorted([*effects, *([kept] if kept else [])], key=lambda e: (e.resource, e.key)))

    async def _effect(self, match: Match, wanted: Sequence[Desired]) -> Effect:
        async with self._slots:
            if match.seen is None:
                return await self._creation(match, wanted)
            if match.seen.task:
                return _in_sync(match.desired, match.seen, f"it {match.seen.health.reason}")
            return await self._comparison(match, match.seen)

    async def _creation(self, match: Match, wanted: Sequence[Desired]) -> Effect:
        desired = match.desired
        tried = Tried() if match.held else await self._tried(desired, None)
        after = {**desired.fields, **{p: v for p, v in tried.fields.items() if p in desired.fields}}
        phase = _phase(desired)
        probe = _probe(desired)
        return Effect(
            desired.resource,
            desired.key,
            Action.CREATE,
            Disruption.NONE,
            tuple(FieldChange(p, None, v, _hides(p, v, desired)) for p, v in sorted(after.items())),
            reason=_not_ours(match.held) if match.held else tried.told,
            claims=desired.claims,
            lost=_done_by(desired),
            steps=(steps.applied(desired, Expect(absent=True), phase, probe if phase is Phase.STAGE else None),),
            probe=probe,
        )

    async def _comparison(self, match: Match, seen: Seen) -> Effect:
        desired = match.desired
        marks = _mark_changes(match, seen)
        before = seen.mark.fields if seen.mark else frozenset()
        local = three_way(desired.fields, seen.fields, before, desired.lifecycle.ignore)
        if not local and not marks and not _finer(desired, seen):
            return _in_sync(desired, seen)
        try:
            tried = await self._tried(desired, seen)
        except Invalid as error:
            if match.adopted or not _IMMUTABLE.search(str(error)):
                raise
            return _recreation(match, seen, local, str(error))
        changes = local if tried.skipped else tried.changes
        changes = without(changes, desired.lifecycle.ignore)
        if not changes and not marks:
            return _in_sync(desired, seen)
        return self._update(match, seen, (*marks, *changes), changes, tried)

    def _update(
        self, match: Match, seen: Seen, shown: tuple[FieldChange, ...], changes: Sequence[FieldChange], tried: Tried
    ) -> Effect:
        desired = match.desired
        expected = {c.path: c.before for c in changes if c.path in desired.fields or _ours(c.path, seen)}
        step = steps.applied(desired, Expect(uid=seen.uid, fields=expected), _phase(desired))
        return Effect(
            desired.resource,
            desired.key,
            Action.ADOPT if match.adopted else Action.UPDATE,
            disruptions.of_update(desired.key, changes),
            shown,
            reason=tried.told or ("adopts it" if match.adopted else ""),
            claims=desired.claims,
            steps=(step,),
            uid=seen.uid,
            probe=_probe(desired) if changes else None,
        )

    async def _tried(self, desired: Desired, seen: Seen | None) -> Tried:
        try:
            return await self._trial.tried(desired, seen)
        except Invalid as error:
            raise Invalid(f"{desired.place}: {desired.key}: {error}", error.causes) from None
        except Refused as error:
            raise Refused(f"{desired.place}: {desired.key}: {error}") from None
        except Transient as error:
            raise Transient(f"{desired.key}: {error}", error.retry_after_s) from None


def _raised(results: Sequence[Effect | BaseException]) -> list[Effect]:
    """The effects. Raises what failed: all refusals in one, else the first that may pass."""
    failed = [r for r in results if isinstance(r, BaseException)]
    refused = [e for e in failed if isinstance(e, Refused)]
    if len(refused) > 1:
        raise Refused("\n".join(str(e) for e in refused))
    for error in (*refused, *failed):
        raise error
    return [r for r in results if isinstance(r, Effect)]


def _match(desired: Desired, live: Mapping[ObjectKey, Seen], scope: str) -> Match:
    held = live.get(desired.key)
    if held is None:
        return _former(desired, live, scope)
    if held.mark and held.mark.scope == scope:
        return Match(desired, held)
    adopted = held.mark is None and desired.adopt is not None and desired.adopt == held.uid
    return Match(desired, held if adopted else None, adopted, None if adopted else held)


def _former(desired: Desired, live: Mapping[ObjectKey, Seen], scope: str) -> Match:
    """Raises Refused for a rename: the platform has none."""
    for old in live.values():
        mark = old.mark
        if mark and mark.scope == scope and mark.resource in desired.formerly and old.key.kind == desired.key.kind:
            name = place_of(old.key)[1]
            text = f"Kubernetes cannot rename {old.key}; keep it with specs.name (or metadata.name): {name}"
            raise Refused(f"{desired.place}: {text}")
    return Match(desired, None)


def _not_ours(held: Seen) -> str:
    whose = f"belongs to {held.mark.resource}" if held.mark else "is not ours"
    return f"{held.key} is taken: it {whose} (uid {held.uid}); write `adopt: UID` to take it over, or another name"


def _in_sync(desired: Desired, seen: Seen, reason: str = "") -> Effect:
    return Effect(
        desired.resource,
        desired.key,
        Action.UPDATE,
        Disruption.NONE,
        reason=reason,
        claims=desired.claims,
        uid=seen.uid,
        probe=_probe(desired),
    )


def _phase(desired: Desired) -> Phase:
    """Nothing else of the run can stand without a namespace, a definition or a hook that comes before."""
    return Phase.STAGE if kind_of(desired.key) in steps.FIRST or _is_hook(desired) else Phase.CUT


def _is_hook(desired: Desired) -> bool:
    body = desired.private["body"]
    return isinstance(body, Mapping) and hooks.comes_before(body)


def _done_by(desired: Desired) -> tuple[str, ...]:
    return (f"what hook {desired.key} did stays after undo",) if _is_hook(desired) else ()


def _probe(desired: Desired) -> Probe:
    return desired.probe or _PLATFORM


def _mark_changes(match: Match, seen: Seen) -> tuple[FieldChange, ...]:
    """What the mark says otherwise than the blueprint: whose it is, and how it may go."""
    desired, mark = match.desired, seen.mark
    if mark is None:
        return (FieldChange("id", None, str(desired.resource)),)
    after = MarkLifecycle.of(desired.lifecycle)
    pairs: tuple[tuple[str, Value, Value], ...] = (
        ("id", mark.resource, str(desired.resource)),
        ("lifecycle.on_delete", mark.lifecycle.on_delete.value, after.on_delete.value),
        ("lifecycle.protect", mark.lifecycle.protect, after.protect),
    )
    return tuple(FieldChange(path, a, b) for path, a, b in pairs if a != b)


def _finer(desired: Desired, seen: Seen) -> bool:
    """True if we own something inside a list that is one value here, and the blueprint says nothing about it any more:
    only the server can tell what that means."""
    if seen.mark is None:
        return False
    unknown = [p for p in seen.mark.fields if p not in desired.fields and p not in seen.fields]
    related = (p for p in unknown if not any(covers(w, p) or covers(p, w) for w in desired.fields))
    return any(any(covers(w, p) for w in seen.fields) for p in related)


def _ours(path: str, seen: Seen) -> bool:
    return seen.mark is not None and path in seen.mark.fields


def _hides(path: str, value: Value, desired: Desired) -> bool:
    return holds_secret(value) or (kind_of(desired.key) == "Secret" and path.startswith("data."))


def _recreation(match: Match, seen: Seen, changes: tuple[FieldChange, ...], why: str) -> Effect:
    """What the server will not change in place: deleted and made again under its name, both in the CUT."""
    desired = match.desired
    worst = disruptions.of_loss(desired.key)
    expected = {c.path: c.before for c in changes}
    gone = steps.deletion(desired.key, str(desired.resource), Expect(uid=seen.uid), Phase.CUT, fields=expected)
    gone = replace(gone, reversible=worst is not Disruption.DATA_LOSS)
    lost = f"the uid and status of {desired.key}, and what others had set on it"
    more = (f"the data of {desired.key}",) if worst is Disruption.DATA_LOSS else ()
    return Effect(
        desired.resource,
        desired.key,
        Action.RECREATE,
        worst,
        (*_mark_changes(match, seen), *changes),
        reason=_immutable(why),
        claims=desired.claims,
        lost=(lost, *more, *_done_by(desired)),
        steps=(gone, steps.applied(desired, Expect(absent=True), probe=_probe(desired) if _is_hook(desired) else None)),
        uid=seen.uid,
        probe=_probe(desired),
    )


def _immutable(why: str) -> str:
    return f"cannot be changed in place: {why[:400]}"


def _gone(seen: Seen) -> Effect:
    """Nobody wants it any more."""
    assert seen.mark is not None
    resource = ResourceId.parse(seen.mark.resource)
    base = Effect(resource, seen.key, Action.DESTROY, Disruption.NONE, uid=seen.uid)
    if seen.task:
        return replace(base, action=Action.UPDATE, reason=f"{seen.key} {seen.health.reason}")
    if seen.mark.lifecycle.on_delete is OnDelete.RETAIN:
        reason = "not in the blueprint any more; on_delete is retain"
        step = steps.unmarking(seen.key, str(resource), seen.uid)
        return replace(base, action=Action.FORGET, reason=reason, steps=(step,))
    worst = disruptions.of_loss(seen.key)
    step = steps.deletion(seen.key, str(resource), Expect(uid=seen.uid), Phase.RETIRE)
    return replace(
        base,
        disruption=worst,
        reason="not in the blueprint any more",
        lost=(f"{seen.key} and everything in it",) if worst is Disruption.DATA_LOSS else (),
        steps=(step,),
        order=disruptions.order_of_deletion(seen.key),
        asks=disruptions.holds_others(seen.key),
    )
