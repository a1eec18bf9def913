"""What a scope wants, as objects on targets with edges and waves."""

from __future__ import annotations

import hashlib
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from controller.blueprint.cycles import cycles, shown_cycle
from controller.blueprint.entry import Entry
from controller.errors import InvalidInput, Problem
from controller.plan.codec import public_json
from controller.plan.resource import Allow, Desired, Expanding, Kind, ObjectKey


@dataclass(frozen=True, slots=True)
class DesiredGraph:
    """`entries` in (blueprint, name) order; `desired` per target name; `edges` from a resource id to those it depends
    on; `waves` from a resource id to its number (0 first), never lower than any it depends on."""

    scope: str
    entries: tuple[Entry, ...]
    desired: Mapping[str, tuple[Desired, ...]]
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waves: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""  # SHA-256 over what is wanted, without places: what quarantine holds


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a scope may put things: engine name → its targets, the first being the default."""

    targets: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, Mapping[str, Kind]]  # engine name → blueprint type → kind
    allow: Allow = Allow()


@dataclass(frozen=True, slots=True)
class _Placed:
    entry: Entry
    target: str
    kind: Kind


def desired_graph(
    scope: str, entries: Sequence[Entry], placement: Placement, pins: Mapping[str, str] | None = None
) -> DesiredGraph:
    """Expand every entry into objects on its target. Raises InvalidInput with every mistake at its place."""
    problems: list[Problem] = []
    placed = [p for e in entries if (p := _place(e, placement, problems)) is not None]
    names = _names(scope, placed)
    desired: dict[str, list[Desired]] = {t: [] for targets in placement.targets.values() for t in targets}
    for item in placed:
        about = Expanding(scope, item.target, placement.allow, names[item.target, item.entry.blueprint], pins or {})
        objects, wrong = item.kind.expand(item.entry, about)
        desired[item.target].extend(objects)
        problems.extend(wrong)
    by_id = {e.id: e for e in entries}
    edges = _edges(entries, desired)
    problems.extend(_twins(desired, by_id))
    problems.extend(_rings(edges, by_id))
    if problems:
        raise InvalidInput(problems, hint="nothing was changed; mend the lines above")
    ordered = {t: tuple(sorted(d, key=lambda o: (o.resource, o.key))) for t, d in desired.items()}
    return DesiredGraph(
        scope=scope,
        entries=tuple(sorted(entries, key=lambda e: (e.blueprint, e.name))),
        desired=ordered,
        edges=edges,
        waves=waves({e.id: e.wave for e in entries}, edges),
        fingerprint=fingerprint(ordered),
    )


def waves(floors: Mapping[str, int], edges: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Each id's wave: at least its floor (`wave: N`), and above every id it depends on. No recursion: chains may be
    thousands long. `edges` has no cycle."""
    result: dict[str, int] = {}
    for start in floors:
        stack = [start]
        while stack:
            current = stack[-1]
            waiting = [d for d in edges.get(current, ()) if d in floors and d not in result]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            above = (result[d] + 1 for d in edges.get(current, ()) if d in result)
            result[current] = max(floors[current], *above, 0)
    return result


def _edges(entries: Sequence[Entry], desired: Mapping[str, Sequence[Desired]]) -> dict[str, tuple[str, ...]]:
    """Written dependencies, and what `specs` name: a network or volume is there before what uses it."""
    edges = {e.id: e.dependencies for e in entries}
    for objects in desired.values():
        for one in objects:
            if one.needs:
                who = str(one.resource)
                edges[who] = tuple(dict.fromkeys((*edges[who], *one.needs)))
    return edges


def _rings(edges: Mapping[str, tuple[str, ...]], entries: Mapping[str, Entry]) -> list[Problem]:
    """The loader refused cycles of written dependencies; what `specs` name can close one too."""
    return [
        entries[ring[0]].problem("dependencies", f"resources wait for each other: {shown_cycle(ring)}")
        for ring in cycles(edges)
    ]


def fingerprint(desired: Mapping[str, Sequence[Desired]]) -> str:
    """SHA-256 over everything wanted, as references, without the places and pins (they are not content)."""
    content = {target: [_content(d) for d in objects] for target, objects in desired.items() if objects}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _content(desired: Desired) -> object:
    data = public_json(desired)
    return {k: v for k, v in data.items() if k not in ("place", "pins")}


def _place(entry: Entry, placement: Placement, problems: list[Problem]) -> _Placed | None:
    provider = entry.provider or _only(placement.targets)
    if provider is None:
        problems.append(entry.problem("", f"say which provider: one of {_listed(placement.targets)}"))
        return None
    if provider not in placement.targets:
        known = _listed(placement.targets) or "none"
        problems.append(
            entry.problem("provider", f"scope {entry.scope} has no {provider} target; its engines: {known}")
        )
        return None
    kind = placement.kinds[provider].get(entry.type)
    if kind is None:
        known = _listed(placement.kinds[provider])
        problems.append(entry.problem("type", f"{provider} has no type {entry.type}; it has {known}"))
        return None
    targets = placement.targets[provider]
    if entry.target is not None and entry.target not in targets:
        problems.append(entry.problem("target", f"{entry.target} is no {provider} target of this scope: {targets}"))
        return None
    return _Placed(entry, entry.target or targets[0], kind)


def _only(targets: Mapping[str, object]) -> str | None:
    return next(iter(targets)) if len(targets) == 1 else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _names(scope: str, placed: Sequence[_Placed]) -> dict[tuple[str, str], Mapping[str, ObjectKey]]:
    """What `Expanding.names` holds: own blueprint's names bare, all of the scope as `blueprint/name`."""
    own: dict[tuple[str, str], dict[str, ObjectKey]] = {}
    everyones: dict[str, dict[str, ObjectKey]] = {}
    for p in placed:
        key = p.kind.key(p.entry, scope)
        own.setdefault((p.target, p.entry.blueprint), {})[p.entry.name] = key
        everyones.setdefault(p.target, {})[f"{p.entry.blueprint}/{p.entry.name}"] = key
    # Chained, not copied: each blueprint would hold a copy of the whole scope's names.
    return {(target, blueprint): ChainMap(names, everyones[target]) for (target, blueprint), names in own.items()}


def _twins(desired: Mapping[str, Sequence[Desired]], entries: Mapping[str, Entry]) -> list[Problem]:
    """Two resources of the scope that would be one object."""
    problems = []
    for target, objects in desired.items():
        first: dict[ObjectKey, Desired] = {}
        for one in objects:
            other = first.setdefault(one.key, one)
            if other is not one:
                text = f"{one.key} on {target} is also claimed by {other.resource} ({other.place})"
                problems.append(entries[str(one.resource)].problem("", text))
    return problems
