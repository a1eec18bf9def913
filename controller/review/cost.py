"""What a scope costs per month before and after a change, and whether that fits the budget.

The sums hold what could be priced; what could not is listed by name and never counted as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from controller.blueprint.entry import Entry
from controller.review.price_book import PriceBook
from controller.review.sizing import Sizing, sizing
from controller.review.wording import money_text

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CostLine:
    """One resource, per month. None: not there on that side, or (then it is in `unpriced`) without a price."""

    resource: str
    before: Decimal | None
    after: Decimal | None
    basis: str = ""  # `4 vCPU, 8 GiB, 100 GB ssd`

    @property
    def delta(self) -> Decimal:
        return (self.after or ZERO) - (self.before or ZERO)


@dataclass(frozen=True, slots=True)
class Cost:
    """Monthly cost of one scope. `unpriced`: wanted resources without a price, each with the reason."""

    lines: tuple[CostLine, ...]
    total_before: Decimal
    total_after: Decimal
    currency: str
    assumptions: tuple[str, ...] = ()
    unpriced: tuple[tuple[str, str], ...] = ()
    low: Decimal | None = None  # of `total_after`, in a quiet and in a busy month
    high: Decimal | None = None
    co2_kg: Decimal | None = None  # of a month after the change, by the electricity alone

    @property
    def delta(self) -> Decimal:
        return self.total_after - self.total_before


@dataclass(frozen=True, slots=True)
class Budget:
    """`policy.budget`: the most the scopes of a repository may cost per month together."""

    monthly_max: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """Whether the sum after the change fits. Staying above a budget without costing more passes: it is no reason to
    refuse the change that makes it cheaper."""

    fits: bool
    text: str


def cost(book: PriceBook, base: Iterable[Entry] | None, head: Iterable[Entry]) -> Cost:
    """Cost of `head` against `base` (None or empty: nothing was there). Pure and exact; equal inputs, equal result."""
    before = {e.id: sizing(e) for e in base or ()}
    after = {e.id: sizing(e) for e in head}
    lines = tuple(_line(book, i, before.get(i), after.get(i)) for i in sorted({*before, *after}))
    unpriced = tuple((i, why) for i, s in sorted(after.items()) for why in _without_price(book, s))
    watts = sum((_watts(book, s) for s in after.values()), ZERO)
    shown = tuple(line for line in lines if line.before is not None or line.after is not None)
    return Cost(
        lines=shown,
        total_before=sum((line.before or ZERO for line in shown), ZERO),
        total_after=sum((line.after or ZERO for line in shown), ZERO),
        currency=book.currency,
        assumptions=book.assumptions(),
        unpriced=unpriced,
        low=_at_usage(book, after.values(), book.usage.low),
        high=_at_usage(book, after.values(), book.usage.high),
        co2_kg=_co2_kg(book, watts),
    )


def _at_usage(book: PriceBook, sizes: Iterable[Sizing], share: Decimal) -> Decimal:
    """The sum of a month that draws this share of the average power."""
    return sum((_price(book, s, share) or ZERO for s in sizes), ZERO)


def _co2_kg(book: PriceBook, watts: Decimal) -> Decimal | None:
    if book.grams_per_kwh is None:
        return None
    return (book.power.kwh(watts * book.usage.expected) * book.grams_per_kwh / 1000).quantize(Decimal("0.1"))


def _without_price(book: PriceBook, size: Sizing) -> Iterator[str]:
    """Why the whole, or which parts, have no price in this book."""
    if size.unknown:
        yield size.unknown
        return
    yield from (f"in part: no price for a GPU of class {k}" for k, _ in size.gpus if k not in book.gpu)
    if size.public_ips and book.public_ip is None:
        yield "in part: no price for a public IP"
    if size.backed_up and size.disks and book.backup_gb is None:
        yield "in part: no price for backup storage"
    if size.licence and size.licence not in book.licences:
        yield f"in part: no price for the licence {size.licence}"
    if size.item and size.item not in book.items:
        yield f"no price for {size.item}"


def _watts(book: PriceBook, size: Sizing) -> Decimal:
    """What its share of a machine draws on average, all copies together."""
    if size.unknown or size.free:
        return ZERO
    power = book.power
    one = (
        size.cpu_millicores * power.watt_per_vcpu / 1000
        + size.memory_bytes * power.watt_per_memory_gib / 2**30
        + sum((n * power.watt_per_disk_gb.get(book.disk_class(k), ZERO) / 10**9 for k, n in size.disks), ZERO)
        + sum((n * power.watt_per_gpu for _, n in size.gpus), ZERO)
    )
    return one * size.copies


def monthly(book: PriceBook, entry: Entry) -> Decimal:
    """What one resource costs in an ordinary month; 0 where it has no price."""
    return _price(book, sizing(entry)) or ZERO


def _line(book: PriceBook, resource: str, before: Sizing | None, after: Sizing | None) -> CostLine:
    basis = (after or before or Sizing()).text()
    return CostLine(resource, _price(book, before), _price(book, after), basis)


def _price(book: PriceBook, size: Sizing | None, share: Decimal | None = None) -> Decimal | None:
    """One resource per month, exact to the cent, at this share of the average power (None: the expected one)."""
    if size is None or size.unknown or size.free or (size.item and size.item not in book.items):
        return None
    gib, gb = Decimal(2**30), Decimal(10**9)
    kept = sum((n for _, n in size.disks), 0) if size.backed_up else 0
    bought = (
        size.cpu_millicores * book.vcpu / 1000
        + size.memory_bytes * book.memory_gib / gib
        + sum((n * book.disk_gb[book.disk_class(kind)] / gb for kind, n in size.disks), ZERO)
        + sum((n * book.gpu.get(kind, ZERO) for kind, n in size.gpus), ZERO)
        + size.public_ips * (book.public_ip or ZERO)
        + kept * book.usage.backup_copies * (book.backup_gb or ZERO) / gb
        + book.licences.get(size.licence or size.product, ZERO)
        + book.items.get(size.item, ZERO)
    )
    drawn = book.power.monthly(_watts(book, size) * (book.usage.expected if share is None else share))
    return (bought * size.copies + drawn).quantize(Decimal("0.01"))


def within_budget(costs: Sequence[Cost], budget: Budget | None) -> BudgetResult:
    """The sum over all scopes against the budget. Another currency than the prices' is a miss that says so."""
    if budget is None:
        return BudgetResult(True, "no budget set")
    if any(c.currency != budget.currency for c in costs):
        return BudgetResult(False, f"the budget is in {budget.currency}, the prices are not")
    before = sum((c.total_before for c in costs), ZERO)
    after = sum((c.total_after for c in costs), ZERO)
    top = money_text(budget.monthly_max, budget.currency)
    if after <= budget.monthly_max:
        return BudgetResult(True, f"{money_text(after, budget.currency)} of {top} per month")
    over = money_text(after - budget.monthly_max, budget.currency)
    if after <= before:
        return BudgetResult(True, f"{over} above {top} per month, as before")
    return BudgetResult(False, f"{over} above the budget of {top} per month")


def unpriced_note(unpriced: Mapping[str, str] | Sequence[tuple[str, str]]) -> str:
    """`2 resources have no price and are not in the sum`, or nothing."""
    count = len(unpriced)
    if not count:
        return ""
    whys = unpriced.values() if isinstance(unpriced, Mapping) else [why for _, why in unpriced]
    if any(why.startswith("in part") for why in whys):
        have = "thing has" if count == 1 else "things have"
        return f"{count} {have} no price and {'is' if count == 1 else 'are'} not in the sums"
    verb = "resource has" if count == 1 else "resources have"
    return f"{count} {verb} no price and {'is' if count == 1 else 'are'} not in the sums"


def range_text(told: Cost) -> str:
    """`12.40 to 15.10 EUR by usage, 8.2 kg CO2`, or nothing where neither is known or differs."""
    said = []
    if told.low is not None and told.high is not None and told.low != told.high:
        said.append(f"{money_text(told.low, told.currency)} to {money_text(told.high, told.currency)} by usage")
    if told.co2_kg:
        said.append(f"{told.co2_kg} kg of CO2 by its electricity")
    return ", ".join(said)
