"""Findings seen through a framework: per control one of four verdicts, with the evidence for it.

This says what the rules see in a blueprint and nothing more. `compliant` means that rules which bear on the control
looked at something here and found nothing, not that an auditor has been; what no rule can see is `not assessable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.review.audit import Audit
from controller.review.finding import Finding, Severity, WaivedFinding
from controller.review.rules import RULES
from controller.review.rules.controls import FRAMEWORKS
from controller.review.rules.rule import Rule
from controller.review.wording import many


class ComplianceState(StrEnum):
    """Of a control: failing from a high finding on, partial by milder or accepted ones. Of a framework: the worst of
    its controls, `not assessable` if none could be assessed."""

    FAILING = "failing"
    PARTIAL = "partial"
    COMPLIANT = "compliant"
    NOT_ASSESSABLE = "not assessable"


@dataclass(frozen=True, slots=True)
class Control:
    """One control. `checked`: the rules that bear on it and had something to look at."""

    id: str
    title: str
    state: ComplianceState
    checked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    accepted: tuple[WaivedFinding, ...] = ()

    @property
    def evidence(self) -> str:
        """`3 rules looked, 1 finding: privileged at prod/shop/web (shop.yaml:3)`."""
        if self.state is ComplianceState.NOT_ASSESSABLE:
            return "no rule can see it" if not self.checked else "nothing here to look at"
        said = [many(len(self.checked), "rule") + " looked"]
        said += [_told("finding", self.findings)] if self.findings else []
        said += [_told("waived finding", [w.finding for w in self.accepted])] if self.accepted else []
        return ", ".join(said)


def _told(word: str, findings: Sequence[Finding]) -> str:
    first = findings[0]
    where = f" ({first.place.file}:{first.place.line})" if first.place else ""
    return f"{many(len(findings), word)}: {first.rule} at {first.resource}{where}"


@dataclass(frozen=True, slots=True)
class Compliance:
    """One framework, every control of it that is known here in the framework's order."""

    framework: str
    state: ComplianceState
    controls: tuple[Control, ...]

    def count(self, state: ComplianceState) -> int:
        return sum(1 for c in self.controls if c.state is state)


def compliance(audit: Audit, frameworks: Iterable[str], rules: Sequence[Rule] = RULES) -> tuple[Compliance, ...]:
    """One answer per framework, in the order given. Raises ValueError naming a framework that is not known."""
    return tuple(_one(audit, framework, rules) for framework in frameworks)


def _one(audit: Audit, framework: str, rules: Sequence[Rule]) -> Compliance:
    if framework not in FRAMEWORKS:
        raise ValueError(f"{framework} is no framework here; known: {', '.join(sorted(FRAMEWORKS))}")
    bearing: dict[str, list[str]] = {}
    looked = set(audit.checked)
    for rule in rules:
        for control in rule.controls.get(framework, ()):
            if rule.id in looked:
                bearing.setdefault(control, []).append(rule.id)
    controls = tuple(_control(audit, i, title, bearing.get(i, ())) for i, title in FRAMEWORKS[framework].items())
    return Compliance(framework, _whole([c.state for c in controls]), controls)


def _control(audit: Audit, control: str, title: str, rules: Sequence[str]) -> Control:
    found = tuple(f for f in audit.notable if f.rule in rules)
    accepted = tuple(w for w in audit.waived if w.finding.rule in rules and w.finding.severity is not Severity.INFO)
    if not rules:
        state = ComplianceState.NOT_ASSESSABLE
    elif any(f.severity.rank >= Severity.HIGH.rank for f in found):
        state = ComplianceState.FAILING
    else:
        state = ComplianceState.PARTIAL if found or accepted else ComplianceState.COMPLIANT
    return Control(control, title, state, tuple(rules), found, accepted)


def _whole(states: Sequence[ComplianceState]) -> ComplianceState:
    return next((s for s in ComplianceState if s in states), ComplianceState.NOT_ASSESSABLE)


def frameworks_text(found: Iterable[Compliance]) -> Mapping[str, str]:
    """Framework → `failing: 2 failing, 1 partial, 9 compliant, 8 not assessable`."""
    return {c.framework: f"{c.state.value}: {_counts(c)}" for c in found}


def _counts(found: Compliance) -> str:
    return ", ".join(f"{found.count(s)} {s.value}" for s in ComplianceState if found.count(s))
