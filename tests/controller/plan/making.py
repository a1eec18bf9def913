"""Small plans for tests: entries, effects and snapshots without an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.blueprint.entry import Disruption, Entry
from controller.errors import Place
from controller.plan.change import Plan
from controller.plan.graph import DesiredGraph, fingerprint, waves
from controller.plan.planner import make_plan
from controller.plan.resource import Desired, Mark, MarkLifecycle, ObjectKey, Part, ResourceId, Seen, Snapshot
from controller.plan.step import Action, Effect, Expect, Phase, Step


def entry(name: str, **more: Any) -> Entry:
    return Entry("prod", "shop", name, "thing", Place("shop.yaml", 3, 5), **more)


def key(name: str) -> ObjectKey:
    return ObjectKey("t/thing", f"prod-shop-{name}")


def effect(name: str, action: Action = Action.CREATE, disruption: Disruption = Disruption.NONE, **more: Any) -> Effect:
    request = more.pop("request", {"call": "x"})
    steps = more.pop("steps", (Step(Phase.CUT, key(name), Expect(), request),))
    return Effect(ResourceId("prod", "shop", name), key(name), action, disruption, steps=steps, **more)


def seen(name: str, *claims: Any, mine: bool = True, protect: bool = False) -> Seen:
    mark = Mark("home", "prod", f"prod/shop/{name}", "op", MarkLifecycle(protect)) if mine else None
    return Seen(key(name), f"uid-{name}", "1", mark, Part.CURRENT, frozenset(claims), {})


def graph(*entries: Entry) -> DesiredGraph:
    desired = {"one": tuple(Desired(ResourceId("prod", "shop", e.name), key(e.name), {}, e.place) for e in entries)}
    edges = {e.id: e.dependencies for e in entries}
    levels = waves({e.id: e.wave for e in entries}, edges)
    return DesiredGraph("prod", entries, desired, edges, levels, fingerprint(desired))


def planned(
    entries: Sequence[Entry],
    effects: Sequence[Effect],
    objects: Sequence[Seen] = (),
    former: Mapping[str, Sequence[str]] | None = None,
    gaps: Sequence[Any] = (),
) -> Plan:
    snapshot = Snapshot(tuple(objects), tuple(gaps))
    return make_plan(graph(*entries), {"one": snapshot}, {"one": tuple(effects)}, "rev", former)


def order(plan: Plan) -> list[tuple[int, str]]:
    """(wave, resource name) of every change."""
    return [(c.wave, c.effect.resource.name) for c in plan.changes]
