"""What a scope costs per month before and after a change, and whether that fits the budget.

The sums hold what could be priced; what could not is listed by name and never counted as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    unpriced = tuple((i, s.unknown) for i, s in sorted(after.items()) if s.unknown)
    shown = tuple(line for line in lines if line.before is not None or line.after is not None)
    return Cost(
        lines=shown,
        total_before=sum((line.before or ZERO for line in shown), ZERO),
        total_after=sum((line.after or ZERO for line in shown), ZERO),
        currency=book.currency,
        assumptions=book.assumptions(),
        unpriced=unpriced,
    )


def _line(book: PriceBook, resource: str, before: Sizing | None, after: Sizing | None) -> CostLine:
    basis = (after or before or Sizing()).text()
    return CostLine(resource, _price(book, before), _price(book, after), basis)


def _price(book: PriceBook, size: Sizing | None) -> Decimal | None:
    if size is None or size.unknown or size.free:
        return None
    one = (
        size.cpu_millicores * book.per_vcpu / 1000
        + size.memory_bytes * book.per_memory_gib / 2**30
        + sum((n * book.disk_rate(kind) / 10**9 for kind, n in size.disks), ZERO)
    )
    return (one * size.copies).quantize(Decimal("0.01"))


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
    verb = "resource has" if count == 1 else "resources have"
    return f"{count} {verb} no price and {'is' if count == 1 else 'are'} not in the sums"
