"""What a member of the council may speak of: facts of a review, each with its weight and what would settle it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controller.review.capacity import together
from controller.review.compliance import ComplianceState, compliance, frameworks_text
from controller.review.finding import Severity
from controller.review.report import Review, cost_text, counts_of, counts_text, disruption_text
from controller.review.rules.controls import FRAMEWORKS
from controller.review.wording import many, money_text

_NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Point:
    """One thing a member says, how much it weighs, and what would settle it."""

    text: str
    weight: Severity
    resource: str = ""
    settle: str = ""
    has_mend: bool = False


def _order(review: Review) -> Iterable[Point]:
    if any(p.changes for p in review.plans):
        yield Point(f"To do: {counts_text(counts_of(review.plans))}.", Severity.INFO)
    elif review.plans:
        yield Point(f"It wants {many(sum(p.wanted for p in review.plans), 'resource')}.", Severity.INFO)
    for scope in review.scopes:
        yield from (Point(f"{scope.name} is invalid: {p.message}.", Severity.CRITICAL) for p in scope.problems[:2])
        if scope.refused or scope.unreadable:
            yield Point(f"{scope.name} has no plan: {scope.refused or scope.unreadable}.", Severity.HIGH)
        yield from (Point(f"{scope.name} waits: {reason}.", Severity.MEDIUM, settle=reason) for reason in scope.waits)


def _disruption(review: Review) -> Iterable[Point]:
    if not any(p.changes for p in review.plans):
        return
    weight = {"recreate": Severity.MEDIUM, "data-loss": Severity.HIGH}.get(review.disruption.value, Severity.INFO)
    yield Point(f"The worst disruption is {disruption_text(review)}.", weight)


def _score(review: Review) -> Iterable[Point]:
    scores = ", ".join(f"{s.audit.score} of 10 in {s.name}" for s in review.scopes[:5] if s.audit)
    if scores:
        yield Point(f"The audit gives {scores}.", Severity.INFO)


def _cost(review: Review) -> Iterable[Point]:
    for scope in review.scopes[:5]:
        if scope.cost:
            after = money_text(scope.cost.total_after, scope.cost.currency)
            large = scope.cost.total_before and scope.cost.delta > scope.cost.total_before / 4
            yield Point(
                f"{scope.name} costs {after} a month with it.",
                Severity.MEDIUM if large else Severity.INFO,
                settle=f"{scope.name} costs a quarter more than before: say why, or let the verb optimize save it"
                if large
                else "",
            )
            if scope.cost.unpriced:
                yield Point(f"Without a price: {many(len(scope.cost.unpriced), 'resource')}.", Severity.LOW)
    if cost_text(review):
        yield Point(f"It changes by {cost_text(review)}.", Severity.INFO)


def _budget(review: Review) -> Iterable[Point]:
    if review.budget:
        weight = Severity.HIGH if review.over_budget else Severity.INFO
        yield Point(
            f"Budget: {review.budget.text}.", weight, settle="stay within the budget" if review.over_budget else ""
        )


def _room(review: Review) -> Iterable[Point]:
    for load in together(one for s in review.scopes for one in s.loads):
        if load.share is None or not load.change:
            continue
        weight = Severity.HIGH if load.share > 1 else Severity.MEDIUM if load.share > _NEARLY_FULL else Severity.INFO
        settle = f"free {load.measure.value} on {load.target}" if weight.rank >= Severity.MEDIUM.rank else ""
        yield Point(
            f"{load.target} has {load.share:.0%} of its {load.measure.value} taken with it.", weight, settle=settle
        )


def _frameworks(review: Review) -> Iterable[Point]:
    for scope in review.scopes[:5]:
        found = scope.compliance or (compliance(scope.audit, FRAMEWORKS) if scope.audit else ())
        texts = frameworks_text(found)
        for one in found:
            weight = _STATES[one.state]
            yield Point(f"{one.framework} in {scope.name} is {texts[one.framework]}.", weight)


_STATES: Mapping[ComplianceState, Severity] = {
    ComplianceState.FAILING: Severity.HIGH,
    ComplianceState.PARTIAL: Severity.LOW,
    ComplianceState.COMPLIANT: Severity.INFO,
    ComplianceState.NOT_ASSESSABLE: Severity.INFO,
}
FACTS: Mapping[str, Callable[[Review], Iterable[Point]]] = {
    "order": _order,
    "disruption": _disruption,
    "score": _score,
    "cost": _cost,
    "budget": _budget,
    "room": _room,
    "frameworks": _frameworks,
}
