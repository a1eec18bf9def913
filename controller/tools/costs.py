"""estimate_resources: what a blueprint takes, and what that costs a month."""

from __future__ import annotations

from decimal import Decimal

from controller.review.cost import Cost, cost
from controller.review.sizing import sizing
from controller.tools.reading import OneBlueprint, loaded, short
from controller.tools.tool import Ground, Strict, Tool


class MonthlyCost(Strict):
    low: Decimal
    expected: Decimal
    high: Decimal
    currency: str


class Line(Strict):
    resource: str
    takes: str
    monthly_cost: Decimal


class Unpriced(Strict):
    resource: str
    why: str


class EstimateGives(Strict):
    """`cpu` in cores, `memory` in GiB, `storage` in GB (10⁹ bytes); what has no size is in `unpriced` only."""

    cpu: Decimal
    memory: Decimal
    storage: Decimal
    monthly_cost: MonthlyCost
    resources: tuple[Line, ...]
    unpriced: tuple[Unpriced, ...]
    price_source: str


def estimate_resources(given: OneBlueprint, ground: Ground) -> EstimateGives:
    entries = loaded(given.blueprint).entries
    sizes = [sizing(e) for e in entries]
    told = cost(ground.book, None, entries)
    cents = Decimal("0.01")
    return EstimateGives(
        cpu=Decimal(sum(s.cpu_millicores * s.copies for s in sizes)) / 1000,
        memory=(Decimal(sum(s.memory_bytes * s.copies for s in sizes)) / 2**30).quantize(cents),
        storage=(Decimal(sum(n * s.copies for s in sizes for _, n in s.disks)) / 10**9).quantize(cents),
        monthly_cost=monthly(told),
        resources=tuple(
            Line(resource=short(line.resource), takes=line.basis, monthly_cost=line.after)
            for line in told.lines
            if line.after is not None
        ),
        unpriced=tuple(Unpriced(resource=short(r), why=why) for r, why in told.unpriced),
        price_source=f"{ground.book.source}, {ground.book.dated.isoformat()}",
    )


def monthly(told: Cost) -> MonthlyCost:
    """The sums of one month after the change."""
    return MonthlyCost(
        low=told.low if told.low is not None else told.total_after,
        expected=told.total_after,
        high=told.high if told.high is not None else told.total_after,
        currency=told.currency,
    )


ESTIMATE_RESOURCES = Tool(
    "estimate_resources",
    "Cores, memory, storage and monthly cost of a blueprint.",
    OneBlueprint,
    EstimateGives,
    estimate_resources,
)
