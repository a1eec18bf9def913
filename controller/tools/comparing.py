"""compare_blueprints and generate_deployment_plan: two versions, what lies between them, and in which order it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.plan.graph import waves
from controller.plan.step import FieldChange
from controller.review.cost import cost
from controller.review.price_book import PriceBook
from controller.review.rules.specs import holds_data
from controller.review.wording import field_sides
from controller.tools.reading import OneBlueprint, Text, loaded, short
from controller.tools.tool import TEXT_MAX, Ground, Strict, Tool


class CompareTakes(Strict):
    base: Text
    head: Text


class FieldGives(Strict):
    path: str
    before: str
    after: str


class Changed(Strict):
    resource: str
    fields: tuple[FieldGives, ...]


class CompareGives(Strict):
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Changed, ...]
    cost_delta: Decimal
    currency: str


def compare_blueprints(given: CompareTakes, ground: Ground) -> CompareGives:
    base, head = (_by_name(loaded(text).entries) for text in (given.base, given.head))
    return compared(base, head, ground.book)


def compared(base: Mapping[str, Entry], head: Mapping[str, Entry], book: PriceBook) -> CompareGives:
    """What lies between two sets of resources, each under its name."""
    told = cost(book, base.values(), head.values())
    changed = ((n, _fields(base[n], head[n])) for n in sorted(base.keys() & head.keys()))
    return CompareGives(
        added=tuple(sorted(head.keys() - base.keys())),
        removed=tuple(sorted(base.keys() - head.keys())),
        changed=tuple(Changed(resource=n, fields=fields) for n, fields in changed if fields),
        cost_delta=told.delta,
        currency=told.currency,
    )


def _by_name(entries: tuple[Entry, ...]) -> dict[str, Entry]:
    return {e.name: e for e in entries}


def _fields(base: Entry, head: Entry) -> tuple[FieldGives, ...]:
    before, after = (dict(_leaves(_parts(e), "")) for e in (base, head))
    found = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            sides = field_sides(FieldChange(path, before.get(path), after.get(path)))
            found.append(FieldGives(path=path, before=sides[0], after=sides[1]))
    return tuple(found)


def _parts(entry: Entry) -> Mapping[str, Value]:
    return {
        "type": entry.type,
        "provider": entry.provider,
        "engine": entry.product,
        "version": entry.version,
        "specs": entry.specs,
        "network": entry.network,
        "backup": entry.backup,
        "dependencies": tuple(short(d) for d in entry.dependencies),
    }


def _leaves(value: Value, path: str) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif value not in (None, (), {}):
        yield path, value


class PlanTakes(OneBlueprint):
    """`base`: the version that runs now; without one everything is made."""

    base: Annotated[str, Field(max_length=TEXT_MAX)] | None = None


class StepGives(Strict):
    number: int
    wave: int
    action: str
    resource: str
    risk: str
    rollback: str


class PlanGives(Strict):
    steps: tuple[StepGives, ...]
    summary: str


_ROLLBACK = {
    "create": "it is taken away again",
    "update": "the values before are put back",
    "destroy": "it is stopped first and started again; it is removed only once all else is verified",
}


def generate_deployment_plan(given: PlanTakes, ground: Ground) -> PlanGives:
    head = _by_name(loaded(given.blueprint).entries)
    base = _by_name(loaded(given.base).entries) if given.base else {}
    order = waves({e.id: e.wave for e in head.values()}, {e.id: e.dependencies for e in head.values()})
    steps = [
        (order[e.id], "update" if n in base else "create", e)
        for n, e in head.items()
        if n not in base or _fields(base[n], e)
    ]
    last = max((wave for wave, _, _ in steps), default=-1) + 1
    steps += [(last, "destroy", e) for n, e in base.items() if n not in head]
    steps.sort(key=lambda s: (s[0], s[2].name))
    made = tuple(
        StepGives(number=i, wave=w, action=a, resource=e.name, risk=_risk(a, e), rollback=_ROLLBACK[a])
        for i, (w, a, e) in enumerate(steps, 1)
    )
    counts = ", ".join(f"{sum(s.action == a for s in made)} to {a}" for a in _ROLLBACK)
    return PlanGives(steps=made, summary=f"{counts}, in {last} waves")


def _risk(action: str, entry: Entry) -> str:
    data = holds_data(entry) or entry.type in ("volume", "storage")
    if action == "destroy":
        return "high: data go" if data else "medium: it is gone"
    if action == "update":
        return "medium: a data store restarts" if data else "low: it may restart"
    return "low: nothing depends on it yet"


COMPARE_BLUEPRINTS = Tool(
    "compare_blueprints",
    "What lies between two versions of a blueprint.",
    CompareTakes,
    CompareGives,
    compare_blueprints,
)
GENERATE_DEPLOYMENT_PLAN = Tool(
    "generate_deployment_plan",
    "The steps of a deployment in order, each with its risk and its way back.",
    PlanTakes,
    PlanGives,
    generate_deployment_plan,
)
