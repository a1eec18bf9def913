"""optimize_costs: the mildest set of changes that saves what was asked for, as patches of the blueprint's own lines.

Each field that can shrink gives a few options; one of each is chosen so that the savings reach the target and what is
taken away is least (a knapsack over savings, in buckets rounded down: what is promised is reached).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.review.cost import ZERO, cost
from controller.review.price_book import PriceBook
from controller.review.sizing import cpu_of, memory_of
from controller.review.wording import money_text
from controller.tools.reading import FILE, OneBlueprint, loaded
from controller.tools.tool import Ground, Strict, Tool

_BUCKETS = 400
_SHARES = (Decimal("0.75"), Decimal("0.5"), Decimal("0.25"))
_ROOM = Decimal("1.3")  # over what was used at peak
_PAIN = {"cpu": 1.0, "memory": 1.0, "replicas": 1.5}
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("cpu", "cpus", "cores"),
    "memory": ("memory", "mem_limit"),
    "replicas": ("replicas",),
}


class Used(Strict):
    """What a resource used at its peak, as shares of what it has."""

    cpu: Annotated[float, Field(ge=0, le=1)] | None = None
    memory: Annotated[float, Field(ge=0, le=1)] | None = None


class OptimizeTakes(OneBlueprint):
    """With `preserve_performance` only what is known to be unused is taken: `used` names it, per resource."""

    target_reduction: Annotated[Decimal, Field(gt=0, lt=1)] = Decimal("0.25")
    preserve_performance: bool = False
    used: dict[str, Used] = Field(default_factory=dict)


class Recommendation(Strict):
    resource: str
    change: str
    savings: Decimal
    patch: str


class OptimizeGives(Strict):
    original_cost: Decimal
    optimized_cost: Decimal
    savings: Decimal
    savings_percentage: float
    currency: str
    reached: bool
    recommendations: tuple[Recommendation, ...]
    patch: str
    note: str


@dataclass(frozen=True, slots=True)
class _Option:
    """One field made smaller: what it saves, and how much it hurts (1.0: all of it gone)."""

    entry: Entry
    key: str
    before: str
    after: str
    savings: Decimal
    pain: float


def optimize_costs(given: OptimizeTakes, ground: Ground) -> OptimizeGives:
    entries = loaded(given.blueprint).entries
    original = cost(ground.book, None, entries).total_after
    groups = [g for e in entries for g in _groups(e, given, ground.book) if g]
    wanted = original * given.target_reduction
    chosen = _mildest(groups, wanted)
    saved = sum((o.savings for o in chosen), ZERO)
    lines = given.blueprint.splitlines(keepends=True)
    after = _edited(lines, chosen)
    return OptimizeGives(
        original_cost=original,
        optimized_cost=original - saved,
        savings=saved,
        savings_percentage=float((saved / original * 100).quantize(Decimal("0.01"))) if original else 0.0,
        currency=ground.book.currency,
        reached=saved >= wanted,
        recommendations=tuple(_recommended(o, lines, ground.book) for o in chosen),
        patch=_patch(lines, after),
        note=_note(given, saved >= wanted, bool(groups)),
    )


def _note(given: OptimizeTakes, reached: bool, any_: bool) -> str:
    if given.preserve_performance and not given.used:
        return "nothing is known of what is used; give `used` so that what is idle can be taken"
    if not any_:
        return "nothing here can be made smaller"
    return "" if reached else "this is all that can be saved; the target is not reached"


def _groups(entry: Entry, given: OptimizeTakes, book: PriceBook) -> Iterator[list[_Option]]:
    """Per field of an entry the ways to make it smaller."""
    before = cost(book, None, [entry]).total_after
    used = given.used.get(entry.name, Used())
    for field, keys in _FIELDS.items():
        key = next((k for k in keys if k in entry.specs), None)
        if key is None:
            continue
        least = _least(field, used, given.preserve_performance)
        options = []
        for share in _SHARES:
            smaller = _smaller(entry, field, key, share) if share >= least else None
            if smaller is not None:
                specs = {**entry.specs, key: smaller}
                savings = before - cost(book, None, [replace(entry, specs=specs)]).total_after
                pain = _PAIN[field] * float(1 - share)
                options.append(_Option(entry, key, str(entry.specs[key]), str(smaller), savings, pain))
        yield [o for o in options if o.savings > 0]


def _least(field: str, used: Used, careful: bool) -> Decimal:
    """The smallest share that may stay."""
    peak = {"cpu": used.cpu, "memory": used.memory}.get(field)
    if peak is not None:
        return Decimal(str(peak)) * _ROOM
    return Decimal(2) if careful else ZERO


def _smaller(entry: Entry, field: str, key: str, share: Decimal) -> Value:
    written = entry.specs[key]
    if field == "replicas":
        fewer = int(written * share) if isinstance(written, int) and not isinstance(written, bool) else 0
        return fewer if fewer >= 2 else None
    if field == "cpu":
        cores = Decimal(cpu_of(entry) or 0) / 1000 * share
        return (
            None
            if cores < Decimal("0.1")
            else int(cores)
            if cores == int(cores)
            else None
            if entry.type == "vm"
            else cores
        )
    number = re.fullmatch(r"(\d+)([A-Za-z]+)", str(written))
    if number is None or memory_of(entry) is None:
        return None
    less = int(number[1]) * share
    return f"{int(less)}{number[2]}" if less == int(less) and less >= 1 else None


def _mildest(groups: Sequence[Sequence[_Option]], wanted: Decimal) -> list[_Option]:
    """At most one of each group; the least pain that saves `wanted`, or all that can be saved."""
    most = [max(g, key=lambda o: o.savings) for g in groups]
    if sum((o.savings for o in most), ZERO) <= wanted:
        return most
    unit = wanted / _BUCKETS
    best: list[tuple[float, tuple[_Option, ...]] | None] = [(0.0, ()), *([None] * _BUCKETS)]
    for group in groups:
        after = list(best)
        for option in group:
            worth = int(option.savings / unit)  # rounded down
            for at, state in enumerate(best):
                if state is not None:
                    to = min(at + worth, _BUCKETS)
                    pain = state[0] + option.pain
                    old = after[to]
                    if old is None or pain < old[0]:
                        after[to] = (pain, (*state[1], option))
        best = after
    found = best[_BUCKETS]
    return list(found[1]) if found else most


def _recommended(option: _Option, lines: Sequence[str], book: PriceBook) -> Recommendation:
    less = money_text(option.savings, book.currency)
    return Recommendation(
        resource=option.entry.name,
        change=f"{option.key}: {option.before} → {option.after}, {less} a month less",
        savings=option.savings,
        patch=_patch(lines, _edited(lines, [option])),
    )


def _edited(lines: Sequence[str], options: Sequence[_Option]) -> list[str]:
    """The text with each value replaced where it stands; what came from a template has no line of its own."""
    after = list(lines)
    places = sorted(((o.entry.locate(f"specs.{o.key}"), o) for o in options), key=lambda p: (p[0].line, -p[0].col))
    for place, option in places:
        line = after[place.line - 1]
        head, tail = line[: place.col - 1], line[place.col - 1 :]
        found = re.match(rf"[\"']?{re.escape(option.before)}[\"']?", tail)
        if found:
            after[place.line - 1] = head + option.after + tail[found.end() :]
    return after


def _patch(before: Sequence[str], after: Sequence[str]) -> str:
    """A unified diff that `git apply` and `patch` take."""
    made = difflib.unified_diff(before, after, f"a/{FILE}", f"b/{FILE}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in made)


OPTIMIZE_COSTS = Tool(
    "optimize_costs",
    "The mildest changes that save a share of the cost, as patches.",
    OptimizeTakes,
    OptimizeGives,
    optimize_costs,
)
