"""Small plans and reviews for the tests of this room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from controller.blueprint.entry import Disruption, Entry, Lifecycle, Probe, Waived
from controller.errors import Place
from controller.plan.change import Change, Plan
from controller.plan.resource import ObjectKey, ResourceId
from controller.plan.step import Action, Effect, Expect, FieldChange, Phase, Step
from controller.review.rules import RULES
from controller.review.rules.rule import ScopeView

TODAY = date(2026, 11, 21)
DIGEST = "4f0c12ab34cd" + "e" * 52


def change(
    name: str = "prod/shop/web",
    action: Action = Action.UPDATE,
    disruption: Disruption = Disruption.RESTART,
    fields: tuple[FieldChange, ...] = (),
    *,
    kind: str = "docker/container",
    target: str = "edge-1",
    wave: int = 0,
    reason: str = "",
    lost: tuple[str, ...] = (),
    down_s: int | None = None,
    reversible: bool = True,
    object_name: str = "",
) -> Change:
    resource = ResourceId.parse(name)
    key = ObjectKey(kind, object_name or name.replace("/", "-"))
    step = Step(Phase.CUT, key, Expect(), {"call": "change"}, reversible=reversible)
    effect = Effect(resource, key, action, disruption, fields, reason, lost=lost, steps=(step,), down_s=down_s)
    return Change(effect, target, wave, place=Place("shop.yaml", 3, 5))


def plan(*changes: Change, scope: str = "prod", edges: Mapping[str, tuple[str, ...]] | None = None) -> Plan:
    return Plan(scope, "a" * 40, changes, DIGEST, "f" * 64, edges or {}, total=len(changes), wanted=len(changes))


def entry(
    name: str = "web",
    type: str = "container",  # noqa: A002 - the key's own name
    specs: Mapping[str, Any] | None = None,
    *,
    scope: str = "prod",
    blueprint: str = "shop",
    waivers: tuple[Waived, ...] = (),
    places: Mapping[str, Place] | None = None,
    health: Probe | None = None,
    lifecycle: Lifecycle | None = None,
) -> Entry:
    return Entry(
        scope,
        blueprint,
        name,
        type,
        Place("shop.yaml", 3, 5),
        specs=specs or {},
        waivers=waivers,
        places=places or {},
        health=health,
        lifecycle=lifecycle or Lifecycle(),
    )


def twice_told(view: ScopeView) -> list[tuple[str, ...]]:
    """Every field that two rules name for one reason: (resource, path, reason, rule, other rule)."""
    view = replace(view, today=TODAY, rules=frozenset(r.id for r in RULES))
    first: dict[tuple[str, str, str], str] = {}
    found: list[tuple[str, ...]] = []
    for rule in RULES:
        for f in rule.findings(view):
            if f.path:
                key = (f.resource, f.path, rule.reason.value)
                other = first.setdefault(key, rule.id)
                if other != rule.id:
                    found.append((*key, other, rule.id))
    return found


WEB = change(fields=(FieldChange("image", "web:1.4", "web:1.5"),), wave=2, down_s=2)
DB = change("prod/shop/db", Action.CREATE, Disruption.NONE, (FieldChange("image", None, "postgres:16"),))
