"""Desired graph, snapshots and effects → the plan. Pure arithmetic; engines have already been asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import orjson

from controller.blueprint.entry import Disruption, Entry
from controller.errors import InvalidInput, Place, Problem, RefusedByPolicy, Unreachable
from controller.plan.change import Change, Notice, Plan
from controller.plan.codec import public_json
from controller.plan.graph import DesiredGraph, waves
from controller.plan.resource import Claim, Seen, Snapshot
from controller.plan.step import Action, Effect, Step

_REMOVES = (Action.DESTROY, Action.FORGET)
_BEFORE_ALL = -1  # the wave of records
Effects = Mapping[str, Sequence[Effect]]  # target name → one Effect per wanted and per owned object


def make_plan(
    desired: DesiredGraph,
    snapshots: Mapping[str, Snapshot],
    effects: Effects,
    revision: str,
    former_edges: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Every change that takes the scope to `desired`, in wave, resource and key order. `former_edges` are those of the
    last deployed revision; they order what is destroyed.

    Raises InvalidInput (two resources claim one thing, a protected entry is removed), RefusedByPolicy (a ceiling on
    disruption), Unreachable (a gap could hide what would be created or deleted, I9).
    """
    entries = {e.id: e for e in desired.entries}
    _no_gap_hides(snapshots, effects)
    _no_protected_is_lost(snapshots, effects, entries)
    _no_claim_twice(snapshots, effects, entries)
    _no_ceiling_is_broken(effects, entries)
    edges = {**(former_edges or {}), **desired.edges}
    numbered = _numbered(desired, effects, edges)
    changes = tuple(sorted(numbered, key=lambda c: (c.wave, c.effect.resource, c.effect.key)))
    changes = tuple(_with_place(c, entries) for c in changes)
    everything = [e for per_target in effects.values() for e in per_target]
    return Plan(
        scope=desired.scope,
        revision=revision,
        changes=changes,
        digest=digest(changes),
        fingerprint=desired.fingerprint,
        edges={k: tuple(v) for k, v in edges.items()},
        notices=tuple(Notice(e.resource, e.reason) for e in everything if not e.steps and e.reason),
        total=sum(1 for e in everything if not e.bookkeeping),
        wanted=sum(len(d) for d in desired.desired.values()),
    )


def digest(changes: Iterable[Change]) -> str:
    """SHA-256 over the changes in the order given: target, key, action, disruption and requests, with secrets as
    references and unknown outputs as `${…}`. Not in it: revision, op ids, times, uids, versions, others' fields."""
    seen = hashlib.sha256()
    for change in changes:
        e = change.effect
        text = [change.target, str(e.key), e.action, e.disruption, [_request(s) for s in e.steps]]
        seen.update(orjson.dumps(text, option=orjson.OPT_SORT_KEYS))
    return seen.hexdigest()


def _request(step: Step) -> object:
    """A request as the digest sees it: no uid and no version anywhere."""
    return _without_identity(public_json(step.request))


def _without_identity(data: object) -> object:
    if isinstance(data, dict):
        return {k: _without_identity(v) for k, v in data.items() if k not in ("uid", "version")}
    if isinstance(data, list):
        return [_without_identity(v) for v in data]
    return data


def _no_gap_hides(snapshots: Mapping[str, Snapshot], effects: Effects) -> None:
    for target, snapshot in snapshots.items():
        for gap in snapshot.gaps:
            hidden = [
                e
                for e in effects.get(target, ())
                if e.steps and gap.hides(e.key) and e.action in (Action.CREATE, Action.DESTROY, Action.RECREATE)
            ]
            if hidden or gap.kind == "*":
                raise Unreachable(
                    f"{target} could not be read in full ({gap.kind}: {gap.reason})",
                    hint="nothing is created or deleted on a partial reading; it is tried again",
                )


def _no_protected_is_lost(snapshots: Mapping[str, Snapshot], effects: Effects, entries: Mapping[str, Entry]) -> None:
    problems = []
    for target, per_target in effects.items():
        marks = {s.key: s.mark for s in snapshots[target].objects if s.mark}
        for effect in per_target:
            entry = entries.get(str(effect.resource))
            mark = marks.get(effect.key)
            protected = bool(mark and mark.lifecycle.protect) or bool(entry and entry.lifecycle.protect)
            lost = effect.action is Action.DESTROY or effect.disruption.rank >= Disruption.RECREATE.rank
            if protected and lost and effect.steps:
                word = effect.action if effect.action is not Action.UPDATE else effect.disruption
                text = f"{effect.resource} is protected and would see {word}; set protect: false in an earlier commit"
                problems.append(entry.problem("lifecycle.protect", text) if entry else Problem(None, text))
    if problems:
        raise InvalidInput(problems)


def _no_ceiling_is_broken(effects: Effects, entries: Mapping[str, Entry]) -> None:
    for per_target in effects.values():
        for effect in per_target:
            entry = entries.get(str(effect.resource))
            ceiling = entry.lifecycle.max_disruption if entry else None
            if entry and ceiling and effect.steps and effect.disruption.rank > ceiling.rank:
                place = entry.locate("lifecycle.max_disruption")
                raise RefusedByPolicy(
                    f"{place}: {effect.resource} needs {effect.disruption}, its max_disruption is {ceiling}",
                    hint="raise lifecycle.max_disruption or take the change back",
                )


def _no_claim_twice(snapshots: Mapping[str, Snapshot], effects: Effects, entries: Mapping[str, Entry]) -> None:
    """Wanted objects among each other, and against what stays on the target (foreign, or freed only by RETIRE)."""
    problems: list[Problem] = []
    for target, per_target in effects.items():
        wanted = [e for e in per_target if e.action not in _REMOVES]
        holders: dict[tuple[str, str], list[tuple[Claim, str]]] = {}
        for seen, stays in _staying(snapshots[target].objects, per_target):
            for claim in _exclusive(stays):
                holders.setdefault((claim.kind, claim.value), []).append((claim, _holder(seen)))
        for effect in sorted(wanted, key=lambda e: (e.resource, e.key)):
            entry = entries.get(str(effect.resource))
            for claim in _exclusive(effect.claims):
                others = holders.setdefault((claim.kind, claim.value), [])
                clash = next((who for held, who in others if claim.collides(held)), None)
                if clash and entry:
                    problems.append(entry.problem("", f"{claim} of {target} is already held by {clash}"))
                others.append((claim, str(effect.resource)))
    if problems:
        raise InvalidInput(problems, hint="free it in one commit, take it in the next, or choose another")


def _exclusive(claims: Iterable[Claim]) -> list[Claim]:
    """Without shares of something counted: those are all of one name, and never collide."""
    return sorted(c for c in claims if not c.amount)


def _staying(objects: Sequence[Seen], effects: Sequence[Effect]) -> Iterable[tuple[Seen, frozenset[Claim]]]:
    """What each live object still holds when the cuts are done."""
    about = {e.key: e for e in effects}
    owned = {e.uid for e in effects if e.uid}
    for seen in objects:
        effect = about.get(seen.key)
        if effect is None and seen.uid in owned:
            continue
        if effect is None:
            yield seen, seen.claims
        elif effect.action is Action.DESTROY:
            yield seen, seen.claims - effect.frees
        elif effect.action is Action.FORGET or _is_another(effect, seen):
            yield seen, seen.claims


def _is_another(effect: Effect, seen: Seen) -> bool:
    """What is to be created finds its name held by someone else's object."""
    return effect.action is Action.CREATE and bool(effect.steps) and seen.uid != effect.uid


def _holder(seen: Seen) -> str:
    return f"{seen.key} of {seen.mark.resource}" if seen.mark else f"{seen.key}, which is not ours"


def _numbered(desired: DesiredGraph, effects: Effects, edges: Mapping[str, Sequence[str]]) -> list[Change]:
    """Kept objects in their waves, then destroys, dependents first; a destroy that frees a claim someone takes goes
    before the taker. Records come before everything; their RETIRE is therefore the last."""
    listed = [(t, e) for t, per in effects.items() for e in per if e.steps]
    records = [Change(e, t, _BEFORE_ALL) for t, e in listed if e.bookkeeping]
    kept = [(t, e) for t, e in listed if e.action not in _REMOVES and not e.bookkeeping]
    gone = [(t, e) for t, e in listed if e.action in _REMOVES]
    changes = [Change(e, t, desired.waves.get(str(e.resource), 0)) for t, e in kept]
    last = max((c.wave for c in changes), default=-1)
    level = _dependents_first([e for _, e in gone], edges)
    numbered = {id(e): last + 1 + level[id(e)] for _, e in gone}
    wanting = _wanting(changes)
    for target, effect in gone:
        takers = [
            wave
            for freed in effect.frees
            for claim, wave in wanting.get((target, freed.kind, freed.value), ())
            if claim.collides(freed)
        ]
        if takers:
            earliest = min(takers) - 1
            for _, other in gone:
                if level[id(other)] <= level[id(effect)]:
                    limit = earliest - (level[id(effect)] - level[id(other)])
                    numbered[id(other)] = min(numbered[id(other)], limit)
    changes += [Change(e, t, numbered[id(e)]) for t, e in gone]
    shift = min((c.wave for c in changes), default=0)
    shifted = changes if shift >= 0 else [Change(c.effect, c.target, c.wave - shift) for c in changes]
    return [*records, *shifted]


def _wanting(changes: Iterable[Change]) -> dict[tuple[str, str, str], list[tuple[Claim, int]]]:
    """(target, kind, value) → what is claimed of it, and in which wave."""
    found: dict[tuple[str, str, str], list[tuple[Claim, int]]] = {}
    for change in changes:
        for claim in _exclusive(change.effect.claims):
            found.setdefault((change.target, claim.kind, claim.value), []).append((claim, change.wave))
    return found


def _dependents_first(gone: Sequence[Effect], edges: Mapping[str, Sequence[str]]) -> dict[int, int]:
    """Level of each destroy: what others depend on comes later; where no edge is known, by the engine's order."""
    ids = {str(e.resource) for e in gone}
    dependents: dict[str, list[str]] = {i: [] for i in ids}
    for who, needs in edges.items():
        for needed in needs:
            if who in ids and needed in ids:
                dependents[needed].append(who)
    levels = waves(dict.fromkeys(ids, 0), dependents)
    ranks = sorted({(levels[str(e.resource)], e.order) for e in gone})
    return {id(e): ranks.index((levels[str(e.resource)], e.order)) for e in gone}


def _with_place(change: Change, entries: Mapping[str, Entry]) -> Change:
    entry = entries.get(str(change.effect.resource))
    place: Place | None = entry.place if entry else None
    return Change(change.effect, change.target, change.wave, change.cleared_by, place)
