"""What a run that nobody remembers left on a target, and the plan that ends it. Pure.

Parts belong to the run in their name. While that run is open nobody else touches them; once no run of the scope is
open, each part is one of three things (engine.md): a staged one, which goes; a kept one whose current object is
missing, which gets its place back; a kept one that somebody must look at first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from controller.blueprint.entry import Disruption
from controller.plan.change import Change, Notice, Plan
from controller.plan.planner import digest
from controller.plan.resource import Claim, ObjectKey, Part, ResourceId, Seen, Snapshot
from controller.plan.step import Action, Effect, FieldChange, Step

Clash = Callable[[Seen, Seen], str]  # what a kept object would take from a current one if it ran again, or ""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """The parts of one scope on one target, each told apart."""

    staged: tuple[Seen, ...] = ()
    stranded: tuple[Seen, ...] = ()  # kept, and nothing stands in their place
    doubtful: tuple[tuple[Seen, str], ...] = ()  # kept, and why nobody but a person may end them


def leftovers(
    objects: Sequence[Seen], install: str, scope: str, own_key: Callable[[ObjectKey], ObjectKey], clash: Clash
) -> Leftovers:
    """What `scope` of this install (I16) has of parts among `objects`. `own_key`: the key a part had before a run
    renamed it. What a task is at work on is left out: it is not left over yet."""
    parts = [s for s in objects if s.part is not Part.CURRENT and _is_ours(s, install, scope) and s.task is None]
    kept = [s for s in parts if s.part is Part.KEPT]
    if not parts:
        return Leftovers()
    current = [s for s in objects if s.part is Part.CURRENT]
    doubts = {s.key: _doubt(s, own_key, kept, current, clash) for s in kept}
    return Leftovers(
        staged=tuple(s for s in parts if s.part is Part.STAGED),
        stranded=tuple(s for s in kept if not doubts[s.key]),
        doubtful=tuple((s, doubts[s.key]) for s in kept if doubts[s.key]),
    )


def _is_ours(seen: Seen, install: str, scope: str) -> bool:
    return seen.mark is not None and (seen.mark.install, seen.mark.scope) == (install, scope)


def _doubt(
    one: Seen,
    own_key: Callable[[ObjectKey], ObjectKey],
    kept: Sequence[Seen],
    current: Sequence[Seen],
    clash: Clash,
) -> str:
    """Why `one` must not run again by itself: something else has its place, or may be what belongs there."""
    key = own_key(one.key)
    for other in current:
        if other.key == key or (other.key.kind == key.kind and _resource(other) == _resource(one)):
            return f"{other.key.name} stands in its place"
        if taken := clash(one, other):
            return f"{taken} is in use by {other.key.name}"
    rival = next((s for s in kept if s.key != one.key and own_key(s.key) == key), None)
    return f"{rival.key.name} was kept of the same object" if rival else ""


def _resource(seen: Seen) -> str | None:
    return seen.mark.resource if seen.mark else None


def removal(staged: Seen, steps: Sequence[Step], frees: frozenset[Claim]) -> Effect:
    """A staged part goes. Users never met it, so nothing is lost."""
    return Effect(
        resource_of(staged),
        staged.key,
        Action.DESTROY,
        Disruption.NONE,
        reason="staged by a run that nobody remembers",
        steps=tuple(steps),
        uid=staged.uid,
        frees=frees,
    )


def put_back(stranded: Seen, key: ObjectKey, steps: Sequence[Step], claims: frozenset[Claim]) -> Effect:
    """A kept part becomes the current object again, the same one (uid). Nothing waits for its health: it may have been
    ill before the run, and the plan that follows deals with it."""
    return Effect(
        resource_of(stranded),
        key,
        Action.CREATE,
        Disruption.RESTART,
        fields=(FieldChange("name", stranded.key.name, key.name),),
        reason="kept by a run that nobody remembers, and nothing stands in its place",
        claims=claims,
        steps=tuple(steps),
        uid=stranded.uid,
    )


def reported(kept: Seen, doubt: str) -> Effect:
    """No step: it may hold what is nowhere else, so a person ends it."""
    text = f"{kept.key} was kept by a run that nobody remembers, and {doubt}: remove {kept.key.name} by hand"
    return Effect(resource_of(kept), kept.key, Action.UPDATE, Disruption.NONE, reason=text, uid=kept.uid)


def resource_of(part: Seen) -> ResourceId:
    """The id a part's mark bears; `leftovers` has made sure that there is one."""
    assert part.mark is not None
    return ResourceId.parse(part.mark.resource)


def sweep_plan(
    scope: str, revision: str, snapshots: Mapping[str, Snapshot], effects: Mapping[str, Collection[Effect]]
) -> Plan:
    """The changes of a sweep, and as notices what is only reported. What a gap could hide the place of is left for
    another pass (I9). Its fingerprint is empty: it brings the scope to no content."""
    changes = [
        Change(effect, target, _wave(effect, per_target))
        for target, per_target in effects.items()
        for effect in per_target
        if effect.steps and not any(gap.hides(effect.key) for gap in snapshots[target].gaps)
    ]
    ordered = tuple(sorted(changes, key=lambda c: (c.wave, c.target, c.effect.resource, c.effect.key)))
    everything = [(t, e) for t, per_target in effects.items() for e in per_target]
    notices = tuple(Notice(e.resource, f"{t}: {e.reason}") for t, e in everything if not e.steps)
    return Plan(scope, revision, ordered, digest(ordered), "", notices=notices, total=len(everything))


def _wave(effect: Effect, others: Collection[Effect]) -> int:
    """What users miss comes back first; only what holds something it needs goes before."""
    if effect.action is not Action.DESTROY:
        return 1
    needed = any(c.collides(f) for o in others if o is not effect for c in o.claims for f in effect.frees)
    return 0 if needed else 2
