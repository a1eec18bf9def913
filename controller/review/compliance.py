"""Findings seen through a framework: which of its controls they touch.

This says what the rules see in a blueprint and nothing more. `compliant` means that no rule that maps to the framework
is broken here, not that an auditor has been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.review.audit import Audit
from controller.review.finding import Severity
from controller.review.rules import RULES
from controller.review.rules.rule import Rule


class ComplianceState(StrEnum):
    COMPLIANT = "compliant"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Compliance:
    """One framework. `broken`: control → rules that are broken; `checked`: every control a rule maps to."""

    framework: str
    state: ComplianceState
    broken: Mapping[str, tuple[str, ...]]
    checked: tuple[str, ...]


def compliance(audit: Audit, frameworks: Iterable[str], rules: Sequence[Rule] = RULES) -> tuple[Compliance, ...]:
    """One answer per framework, in the order given. Raises ValueError naming a framework no rule maps to."""
    return tuple(_one(audit, framework, rules) for framework in frameworks)


def _one(audit: Audit, framework: str, rules: Sequence[Rule]) -> Compliance:
    mapped = {r.id: r.controls[framework] for r in rules if framework in r.controls}
    if not mapped:
        known = ", ".join(sorted({f for r in rules for f in r.controls}))
        raise ValueError(f"no rule maps to {framework}; known: {known}")
    open_ = {f.rule for f in audit.findings if f.rule in mapped and f.severity is not Severity.INFO}
    broken: dict[str, tuple[str, ...]] = {}
    for rule_id in sorted(open_):
        for control in mapped[rule_id]:
            broken[control] = (*broken.get(control, ()), rule_id)
    state = ComplianceState.PARTIAL if broken else ComplianceState.COMPLIANT
    checked = tuple(sorted({c for controls in mapped.values() for c in controls}))
    return Compliance(framework, state, broken, checked)
