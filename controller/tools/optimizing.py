"""optimize_costs: the mildest set of changes that saves what was asked for, as patches of the blueprint's own lines.

Each field that can shrink gives a few options; one of each is chosen so that the savings reach the target and what is
taken away is least (a knapsack over savings, in buckets rounded down: what is promised is reached).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.errors import InvalidInput
from controller.review.cost import ZERO, cost, monthly
from controller.review.price_book import PriceBook
from controller.review.sizing import copies_of, cpu_of, memory_of
from controller.review.wording import money_text
from controller.tools.reading import FILE, OneBlueprint, loaded
from controller.tools.tool import Ground, Strict, Tool

_BUCKETS = 400
_STEPS_MAX = 200_000
_SHARES = (Decimal("0.75"), Decimal("0.5"), Decimal("0.25"))
_ROOM = Decimal("1.3")  # over what was used at peak
_PAIN = {"cpu": 1.0, "memory": 1.0, "replicas": 1.5}
Texts = Mapping[str, Sequence[str]]  # file → its lines, ends kept
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
class Option:
    """One field made smaller: what it saves, and how much it hurts (1.0: all of it gone)."""

    entry: Entry
    key: str
    before: str
    value: Value
    savings: Decimal
    pain: float

    @property
    def after(self) -> str:
        return str(self.value)


def optimize_costs(given: OptimizeTakes, ground: Ground) -> OptimizeGives:
    entries = loaded(given.blueprint).entries
    unknown = sorted(set(given.used) - {e.name for e in entries})
    if unknown:
        raise InvalidInput(
            f"used names {unknown[0]}, which is no resource of it", hint="name resources of the blueprint"
        )
    lines = given.blueprint.splitlines(keepends=True)
    wish = Wish(given.target_reduction, given.preserve_performance, given.used)
    found = smaller(entries, {FILE: lines}, wish, ground.book)
    return OptimizeGives(
        original_cost=found.original,
        optimized_cost=found.original - found.saved,
        savings=found.saved,
        savings_percentage=float(found.share * 100),
        currency=ground.book.currency,
        reached=found.reached,
        recommendations=tuple(_recommended(o, lines, ground.book) for o in found.options),
        patch=_patch(lines, _edited(lines, found.options)),
        note="" if found.reached else found.note,
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """The share of the cost to save. `careful`: only what is known to be unused may go; `used`: resource → peaks."""

    share: Decimal
    careful: bool = False
    used: Mapping[str, Used] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Smaller:
    """The mildest options that save `wanted` a month, or all there are."""

    options: tuple[Option, ...]
    original: Decimal
    saved: Decimal
    wanted: Decimal
    note: str

    @property
    def reached(self) -> bool:
        return self.saved >= self.wanted

    @property
    def share(self) -> Decimal:
        """Saved of the original, to four places."""
        return (self.saved / self.original).quantize(Decimal("0.0001")) if self.original else ZERO


def smaller(entries: Sequence[Entry], texts: Texts, wish: Wish, book: PriceBook) -> Smaller:
    """The options with least pain that meet the wish, of those whose value stands in a line of `texts` of its own."""
    original = cost(book, None, entries).total_after
    groups = [g for e in entries for g in _groups(e, wish, book, texts) if g]
    wanted = original * wish.share
    chosen = tuple(_mildest(groups, wanted))
    saved = original - cost(book, None, [_with(e, chosen) for e in entries]).total_after
    return Smaller(chosen, original, saved, wanted, _note(wish, any_=bool(groups)))


def _note(wish: Wish, *, any_: bool) -> str:
    """What to say where the wish is not met."""
    if wish.careful and not wish.used:
        return "nothing is known of what is used; give `used` so that what is idle can be taken"
    return "this is all that can be saved; the target is not reached" if any_ else "nothing here can be made smaller"


def _with(entry: Entry, chosen: Sequence[Option]) -> Entry:
    """The entry as the chosen options leave it."""
    mine = {o.key: o.value for o in chosen if o.entry is entry}
    return replace(entry, specs={**entry.specs, **mine}) if mine else entry


def _groups(entry: Entry, wish: Wish, book: PriceBook, texts: Texts) -> Iterator[list[Option]]:
    """Ways to make an entry smaller, one of each group to be taken. Copies and their size multiply, so of an entry with
    copies it is either the one or the other; what stands in no line of its own cannot be patched and is left out."""
    lines = texts.get(entry.place.file, ())
    options = [o for o in _options(entry, wish, book) if o.savings > 0 and _span(lines, o)]
    if copies_of(entry) > 1:
        yield options
        return
    for key in dict.fromkeys(o.key for o in options):
        yield [o for o in options if o.key == key]


def _options(entry: Entry, wish: Wish, book: PriceBook) -> Iterator[Option]:
    before = monthly(book, entry)
    used = wish.used.get(entry.name, Used())
    for name, keys in _FIELDS.items():
        key = next((k for k in keys if k in entry.specs), None)
        if key is None:
            continue
        least = _least(name, used, wish.careful)
        for share in _SHARES:
            smaller = _smaller(entry, name, key, share) if share >= least else None
            if smaller is not None:
                specs = {**entry.specs, key: smaller}
                savings = before - monthly(book, replace(entry, specs=specs))
                pain = _PAIN[name] * float(1 - share) ** 2  # half of two things hurts less than most of one
                yield Option(entry, key, str(entry.specs[key]), smaller, savings, pain)


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
        return _fewer_cores(entry, Decimal(cpu_of(entry) or 0) / 1000 * share)
    number = re.fullmatch(r"(\d+)([A-Za-z]+)", str(written))
    if number is None or memory_of(entry) is None:
        return None
    less = int(number[1]) * share
    return f"{int(less)}{number[2]}" if less == int(less) and less >= 1 else None


def _fewer_cores(entry: Entry, cores: Decimal) -> Value:
    """Whole cores where it is whole; a part of one only for what runs on a shared kernel."""
    if cores == int(cores) and cores >= 1:
        return int(cores)
    return cores if cores >= Decimal("0.1") and entry.type not in ("vm", "lxc") else None


def _mildest(groups: Sequence[Sequence[Option]], wanted: Decimal) -> list[Option]:
    """At most one of each group; the least pain that saves `wanted`, or all that can be saved."""
    most = [max(g, key=lambda o: o.savings) for g in groups]
    if sum((o.savings for o in most), ZERO) <= wanted:
        return most
    # Fewer and wider buckets for many options: the time stays bounded (I34).
    buckets = max(20, min(_BUCKETS, _STEPS_MAX // max(sum(len(g) for g in groups), 1)))
    unit = wanted / buckets
    best: list[tuple[float, tuple[Option, ...]] | None] = [(0.0, ()), *([None] * buckets)]
    for group in groups:
        after = list(best)
        for option in group:
            worth = int(option.savings / unit)  # rounded down
            for at, state in enumerate(best):
                if state is not None:
                    to = min(at + worth, buckets)
                    pain = state[0] + option.pain
                    old = after[to]
                    if old is None or pain < old[0]:
                        after[to] = (pain, (*state[1], option))
        best = after
    found = best[buckets]
    return list(found[1]) if found else most


def _recommended(option: Option, lines: Sequence[str], book: PriceBook) -> Recommendation:
    less = money_text(option.savings, book.currency)
    return Recommendation(
        resource=option.entry.name,
        change=f"{option.key}: {option.before} → {option.after}, {less} a month less",
        savings=option.savings,
        patch=_patch(lines, _edited(lines, [option])),
    )


def _edited(lines: Sequence[str], options: Sequence[Option]) -> list[str]:
    """The text with each value replaced where it stands."""
    after = list(lines)
    spans = sorted(((span, o) for o in options if (span := _span(lines, o))), key=lambda s: s[0], reverse=True)
    for (row, start, end), option in spans:  # from the right, so that what is left of it stays where it is
        after[row] = after[row][:start] + option.after + after[row][end:]
    return after


def _span(lines: Sequence[str], option: Option) -> tuple[int, int, int] | None:
    """Row, start and end of the value in the text, from 0; None where the text there is another."""
    place = option.entry.locate(f"specs.{option.key}")
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    found = re.compile(rf"[\"']?{re.escape(option.before)}[\"']?(?![\w.])").match(line, place.col - 1)
    return (place.line - 1, found.start(), found.end()) if found else None


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
