"""Desired against live: expand, observe, preview, plan. Used by every door: the loop, reviews and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from controller.blueprint.entry import Entry
from controller.blueprint.sops import SopsFile
from controller.blueprint.value import Output, Secret, Value, markers, secrets_in
from controller.blueprint.value import replace as substitute
from controller.errors import InvalidInput, Problem, RefusedByPolicy, Unreachable
from controller.plan.change import Plan
from controller.plan.graph import DesiredGraph, Placement, desired_graph
from controller.plan.planner import make_plan
from controller.plan.resource import Allow, Desired, Kind, Part, Seen, Snapshot
from controller.plan.step import Effect
from controller.runtime.observe import Observer, TargetUnreadable
from engines.engine import Ask, Engine, EngineError, Refused


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one scope wants at one revision, loaded and checked, with the policy it is judged by."""

    scope: str
    revision: str
    entries: tuple[Entry, ...]
    targets: Mapping[str, tuple[str, ...]]  # engine → targets, the first is the default
    allow: Allow = Allow()
    tree: str = ""  # id of the content: equal trees want equal things
    exports: Mapping[str, Output] = field(default_factory=dict)  # what other scopes may use of this one
    sops: Mapping[str, SopsFile] = field(default_factory=dict)  # by path: what `sops:` secrets are read from
    also: tuple[str, ...] = ()  # targets it does not name any more: what it owns there is seen, nothing is put there


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it was made from."""

    graph: DesiredGraph
    snapshots: Mapping[str, Snapshot]
    effects: Mapping[str, tuple[Effect, ...]]
    plan: Plan
    exports: Mapping[str, Output] = field(default_factory=dict)  # what other scopes may use of this one
    left: Plan | None = None  # the sweep of what earlier runs left, where it was asked for

    def owned(self) -> Iterator[Seen]:
        """The scope's current live objects."""
        for snapshot in self.snapshots.values():
            for seen in snapshot.objects:
                if seen.mark and seen.mark.scope == self.graph.scope and seen.part is Part.CURRENT:
                    yield seen

    def outputs(self) -> dict[str, Mapping[str, object]]:
        """Resource id → what its live objects tell now."""
        told: dict[str, dict[str, object]] = {}
        for seen in self.owned():
            if seen.mark:
                told.setdefault(seen.mark.resource, {}).update(seen.outputs)
        return dict(told)


class Secrets(Protocol):
    """What planning may know of secrets: whether a reference is allowed, and a keyed hash to compare by."""

    def refuse(self, ref: str, allow: Allow, sops: Mapping[str, SopsFile]) -> str | None:
        """Why `ref` may not be used here, or None. What stands in the repository is looked at, so that a file that does
        not open is told before anything runs."""
        ...

    def keyed_hash(self, ref: str, allow: Allow, sops: Mapping[str, SopsFile]) -> str | None:
        """HMAC of its present value, None where it is not to be had (then it is not compared)."""
        ...


@dataclass(frozen=True, slots=True)
class Planning:
    """All targets of an install, ready to be planned against."""

    install: str
    engines: Mapping[str, Engine]
    engine_of: Mapping[str, str]  # target → engine name
    kinds: Mapping[str, Mapping[str, Kind]]  # engine name → type → kind
    observer: Observer
    secrets: Secrets
    today: Callable[[], date]

    def graph(self, wanted: Wanted, pins: Mapping[str, str] | None = None) -> DesiredGraph:
        """Expand without asking anyone. Raises InvalidInput with all mistakes."""
        entries = tuple(tolerant(e, self.today()) for e in self._with_hashes(wanted))
        graph = desired_graph(wanted.scope, entries, Placement(wanted.targets, self.kinds, wanted.allow), pins)
        left = {t: () for t in wanted.also if t in self.engines and t not in graph.desired}
        return replace(graph, desired={**graph.desired, **left}) if left else graph

    async def plan(
        self,
        wanted: Wanted,
        *,
        pins: Mapping[str, str] | None = None,
        former_edges: Mapping[str, Sequence[str]] | None = None,
        leaving: Mapping[str, Collection[str]] | None = None,
    ) -> Planned:
        """The whole way from entries to a plan. `leaving`: target → uids of objects that will be gone before it runs.
        Raises InvalidInput, RefusedByPolicy, Unreachable."""
        graph = self.graph(wanted, pins)
        snapshots = _without(await self.read(graph), leaving or {})
        planned = await self.plan_against(graph, snapshots, wanted.revision, former_edges)
        return replace(planned, exports=wanted.exports)

    async def read(self, graph: DesiredGraph) -> Mapping[str, Snapshot]:
        """Snapshots of every target of the scope. Raises Unreachable naming the target."""
        asks = {target: self._ask(graph, target) for target in graph.desired}
        try:
            return await self.observer.read(asks)
        except TargetUnreadable as e:
            raise Unreachable(str(e), hint=f"nothing was changed; look at target {e.target}") from e

    async def plan_against(
        self,
        graph: DesiredGraph,
        snapshots: Mapping[str, Snapshot],
        revision: str,
        former_edges: Mapping[str, Sequence[str]] | None = None,
    ) -> Planned:
        """Preview on every target at once, then the pure planner."""
        effects = await self._preview(graph.desired, snapshots, graph.scope)
        known = _known_outputs(snapshots, effects)
        resolved = {t: _resolved(objects, known) for t, objects in graph.desired.items()}
        if resolved != graph.desired:
            effects = await self._preview(resolved, snapshots, graph.scope)
        return Planned(graph, snapshots, effects, make_plan(graph, snapshots, effects, revision, former_edges))

    async def _preview(
        self, desired: Mapping[str, tuple[Desired, ...]], snapshots: Mapping[str, Snapshot], scope: str
    ) -> dict[str, tuple[Effect, ...]]:
        try:
            previews = await asyncio.gather(
                *(self.engines[t].preview(objects, snapshots[t], scope) for t, objects in desired.items())
            )
        except Refused as e:
            raise RefusedByPolicy(str(e), hint="nothing was changed") from e
        except EngineError as e:
            raise Unreachable(f"a target could not be asked: {e}", hint="it is tried again") from e
        return dict(zip(desired, previews, strict=True))

    def _ask(self, graph: DesiredGraph, target: str) -> Ask:
        objects = graph.desired[target]
        return Ask(
            install=self.install,
            scopes=frozenset({graph.scope}),
            keys=frozenset(d.key for d in objects),
            claims=frozenset(c for d in objects for c in d.claims),
        )

    def _with_hashes(self, wanted: Wanted) -> tuple[Entry, ...]:
        """Entries whose secrets carry the hash live values are compared by; a reference that is not allowed is an
        error at its place."""
        problems: list[Problem] = []
        entries = []
        for entry in wanted.entries:
            found = list(secrets_in(entry.specs, "specs"))
            problems += [
                entry.problem(path, f"secret {secret.ref}: {why}")
                for path, secret in found
                if (why := self.secrets.refuse(secret.ref, wanted.allow, wanted.sops))
            ]
            entries.append(self._hashed(entry, wanted) if found else entry)
        if problems:
            raise InvalidInput(problems, hint="the server's `allow` says which references a repository may use")
        return tuple(entries)

    def _hashed(self, entry: Entry, wanted: Wanted) -> Entry:
        def fill(leaf: object) -> object:
            if isinstance(leaf, Secret):
                known = self.secrets.keyed_hash(leaf.ref, wanted.allow, wanted.sops)
                return replace(leaf, keyed_hash=known)
            return leaf

        specs = substitute(entry.specs, fill)
        assert isinstance(specs, dict), "a map stays a map"
        return replace(entry, specs=specs)


def _without(snapshots: Mapping[str, Snapshot], leaving: Mapping[str, Collection[str]]) -> Mapping[str, Snapshot]:
    return {
        target: replace(snapshot, objects=tuple(s for s in snapshot.objects if s.uid not in leaving.get(target, ())))
        if leaving.get(target)
        else snapshot
        for target, snapshot in snapshots.items()
    }


def _known_outputs(
    snapshots: Mapping[str, Snapshot], effects: Mapping[str, tuple[Effect, ...]]
) -> dict[tuple[str, str], Value]:
    """Outputs that this plan leaves as they are: those of resources in sync. The others stay `${…}` (engine.md)."""
    moving = {str(e.resource) for per_target in effects.values() for e in per_target if e.steps}
    return {
        (seen.mark.resource, key): value
        for snapshot in snapshots.values()
        for seen in snapshot.objects
        if seen.mark and seen.part is Part.CURRENT and seen.mark.resource not in moving
        for key, value in seen.outputs.items()
    }


def _resolved(objects: tuple[Desired, ...], known: Mapping[tuple[str, str], Value]) -> tuple[Desired, ...]:
    """What is wanted, with every known output in its place: a changed reference or address is then a change."""

    def fill(leaf: object) -> object:
        return known.get((leaf.resource, leaf.key), leaf) if isinstance(leaf, Output) else leaf

    def filled(one: Desired) -> Desired:
        if not any(isinstance(m, Output) and (m.resource, m.key) in known for m in markers(one.fields)):
            return one
        fields, private = substitute(one.fields, fill), substitute(one.private, fill)
        assert isinstance(fields, dict) and isinstance(private, dict), "maps stay maps"
        return replace(one, fields=fields, private=private)

    return tuple(filled(one) for one in objects)


def with_left_targets(wanted: Wanted, remembered: Sequence[str]) -> Wanted:
    """Look also where the scope had objects before, as far as it is still granted: what it left there is removed."""
    return replace(wanted, also=tuple(t for t in remembered if t in wanted.allow.targets))


def targets_held(remembered: Sequence[str], planned: Planned) -> tuple[str, ...]:
    """Where the scope has objects, as far as it was looked at; what could not be looked at stays remembered."""
    unseen = {t for t in remembered if t not in planned.snapshots}
    holding = {
        target
        for target, snapshot in planned.snapshots.items()
        if any(s.mark and s.mark.scope == planned.graph.scope for s in snapshot.objects)
    }
    return tuple(sorted(unseen | holding))


def where_named(
    targets: Mapping[str, tuple[str, ...]], offered: frozenset[str], entries: Sequence[Entry]
) -> Mapping[str, tuple[str, ...]]:
    """`targets` without those of `offered` whose engine no entry names."""
    named = {e.provider for e in entries}
    kept = {engine: tuple(n for n in names if n not in offered or engine in named) for engine, names in targets.items()}
    return {engine: names for engine, names in kept.items() if names}


def tolerant(entry: Entry, today: date) -> Entry:
    """Fields tolerated until a date count as ignored through that day; afterwards they heal."""
    fields = tuple(t.field for t in entry.tolerate if t.until >= today)
    if not fields:
        return entry
    return replace(entry, lifecycle=replace(entry.lifecycle, ignore=(*entry.lifecycle.ignore, *fields)))
