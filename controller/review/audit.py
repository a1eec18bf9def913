"""Run the rules over a scope, apply the waivers, and give it a mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from controller.blueprint.entry import Entry, Waived
from controller.review.finding import Finding, Severity, WaivedFinding, covers
from controller.review.rules import RULES
from controller.review.rules.rule import Reason, Rule, ScopeView

FORMULA = (
    "10 minus 4 per critical, 2 per high, 1 per medium and 0.25 per low rule that is broken, each rule counted once, "
    "not below 0; waived findings do not count"
)
_COST = {
    Severity.CRITICAL: Decimal(4),
    Severity.HIGH: Decimal(2),
    Severity.MEDIUM: Decimal(1),
    Severity.LOW: Decimal("0.25"),
    Severity.INFO: Decimal(0),
}


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings, worst first, then by place. `score` is 0 to 10 with one decimal, by `FORMULA`; `checked` are the rules
    that had something to look at: only their silence says something."""

    findings: tuple[Finding, ...] = ()
    waived: tuple[WaivedFinding, ...] = ()
    score: Decimal = Decimal("10.0")
    checked: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        return max((f.severity for f in self.findings), key=lambda s: s.rank, default=None)

    @property
    def notable(self) -> tuple[Finding, ...]:
        """All but notes (`info`): what a reviewer is shown and counts."""
        return tuple(f for f in self.findings if f.severity is not Severity.INFO)

    def count(self, severity: Severity) -> int:
        return sum(1 for f in self.findings if f.severity is severity)

    def fails(self, fail_on: Severity | None) -> bool:
        """True if a finding is as severe as `policy.audit.fail_on`; None never fails."""
        return fail_on is not None and self.worst is not None and self.worst.rank >= fail_on.rank


def audit(view: ScopeView, today: date, rules: Sequence[Rule] = RULES) -> Audit:
    """Every finding of every rule, each either open or waived."""
    view = replace(view, today=today, rules=frozenset(r.id for r in rules))
    entries = {e.id: e for e in view.graph.entries}
    open_, waived = [], []
    for rule in rules:
        for finding in rule.findings(view):
            waiver = None if rule.reason is Reason.WAIVER else _waiver(entries.get(finding.resource), finding, today)
            if waiver is None:
                open_.append(finding)
            else:
                waived.append(WaivedFinding(finding, waiver))
    checked = tuple(rule.id for rule in rules if rule.touches(view))
    return Audit(tuple(sorted(open_, key=_order)), tuple(waived), score(open_), checked)


def _waiver(entry: Entry | None, finding: Finding, today: date) -> Waived | None:
    return next((w for w in entry.waivers if covers(w, finding, today)), None) if entry else None


def score(findings: Iterable[Finding]) -> Decimal:
    """0 to 10 with one decimal, by `FORMULA`."""
    worst: dict[str, Severity] = {}
    for f in findings:
        worst[f.rule] = max(worst.get(f.rule, f.severity), f.severity, key=lambda s: s.rank)
    left = Decimal(10) - sum((_COST[s] for s in worst.values()), Decimal(0))
    return max(left, Decimal(0)).quantize(Decimal("0.1"))


def _order(finding: Finding) -> tuple[int, str, int, str, str]:
    place = finding.place
    return (
        -finding.severity.rank,
        place.file if place else "",
        place.line if place else 0,
        finding.resource,
        finding.rule,
    )
