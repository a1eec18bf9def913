"""Desired against live: expand, observe, preview, plan. Used by every door: the loop, reviews and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from controller.blueprint.entry import Entry
from controller.blueprint.value import Secret, markers
from controller.blueprint.value import replace as substitute
from controller.errors import InvalidInput, Problem, Unreachable
from controller.plan.change import Plan
from controller.plan.graph import DesiredGraph, Placement, desired_graph
from controller.plan.planner import make_plan
from controller.plan.resource import Allow, Kind, Part, Seen, Snapshot
from controller.plan.step import Effect
from controller.runtime.observe import Observer, TargetUnreadable
from engines.engine import Ask, Engine, EngineError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one scope wants at one revision, loaded and checked, with the policy it is judged by."""

    scope: str
    revision: str
    entries: tuple[Entry, ...]
    targets: Mapping[str, tuple[str, ...]]  # engine → targets, the first is the default
    allow: Allow = Allow()
    tree: str = ""  # id of the content: equal trees want equal things


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it was made from."""

    graph: DesiredGraph
    snapshots: Mapping[str, Snapshot]
    effects: Mapping[str, tuple[Effect, ...]]
    plan: Plan

    def owned(self) -> Iterator[Seen]:
        """The scope's current live objects."""
        for snapshot in self.snapshots.values():
            for seen in snapshot.objects:
                if seen.mark and seen.mark.scope == self.graph.scope and seen.part is Part.CURRENT:
                    yield seen

    def outputs(self) -> dict[str, Mapping[str, object]]:
        """Resource id → what its live object tells now."""
        return {seen.mark.resource: dict(seen.outputs) for seen in self.owned() if seen.mark}


class Secrets(Protocol):
    """What planning may know of secrets: whether a reference is allowed, and a keyed hash to compare by."""

    def refuse(self, ref: str, allow: Allow) -> str | None:
        """Why `ref` may not be used here, or None."""
        ...

    def keyed_hash(self, ref: str, allow: Allow) -> str | None:
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

    def graph(self, wanted: Wanted, pins: Mapping[str, str] | None = None) -> DesiredGraph:
        """Expand without asking anyone. Raises InvalidInput with all mistakes."""
        entries = self._with_hashes(wanted)
        return desired_graph(wanted.scope, entries, Placement(wanted.targets, self.kinds, wanted.allow), pins)

    async def plan(
        self,
        wanted: Wanted,
        *,
        pins: Mapping[str, str] | None = None,
        former_edges: Mapping[str, Sequence[str]] | None = None,
    ) -> Planned:
        """The whole way from entries to a plan. Raises InvalidInput, RefusedByPolicy, Unreachable."""
        graph = self.graph(wanted, pins)
        snapshots = await self.read(graph)
        return await self.plan_against(graph, snapshots, wanted.revision, former_edges)

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
        targets = list(graph.desired)
        try:
            previews = await asyncio.gather(
                *(self.engines[t].preview(graph.desired[t], snapshots[t], graph.scope) for t in targets)
            )
        except EngineError as e:
            raise Unreachable(f"a target could not be asked: {e}", hint="it is tried again") from e
        effects = dict(zip(targets, previews, strict=True))
        return Planned(graph, snapshots, effects, make_plan(graph, snapshots, effects, revision, former_edges))

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
            refs = {m.ref for m in markers(entry.specs) if isinstance(m, Secret)}
            problems += [
                entry.problem("specs", f"secret {ref}: {why}")
                for ref in sorted(refs)
                if (why := self.secrets.refuse(ref, wanted.allow))
            ]
            entries.append(self._hashed(entry, wanted.allow) if refs else entry)
        if problems:
            raise InvalidInput(problems, hint="the server's `allow` says which references a repository may use")
        return tuple(entries)

    def _hashed(self, entry: Entry, allow: Allow) -> Entry:
        def fill(leaf: object) -> object:
            if isinstance(leaf, Secret):
                return Secret(leaf.ref, self.secrets.keyed_hash(leaf.ref, allow))
            return leaf

        specs = substitute(entry.specs, fill)
        assert isinstance(specs, dict), "a map stays a map"
        return replace(entry, specs=specs)
