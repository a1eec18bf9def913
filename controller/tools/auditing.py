"""security_audit and check_compliance: the rules of a review, asked for one blueprint."""

from __future__ import annotations

from controller.errors import InvalidInput
from controller.review.audit import FORMULA, Audit
from controller.review.compliance import Compliance, compliance
from controller.tools.reading import OneBlueprint, audited, short
from controller.tools.tool import Ground, Strict, Tool


class AuditTakes(OneBlueprint):
    check_compliance: tuple[str, ...] = ()


class Vulnerability(Strict):
    severity: str
    issue: str
    recommendation: str
    rule_id: str
    resource: str
    line: int | None


class AuditGives(Strict):
    security_score: float
    score_formula: str
    vulnerabilities: tuple[Vulnerability, ...]
    compliance: dict[str, str]


def security_audit(given: AuditTakes, ground: Ground) -> AuditGives:
    found = audited(given.blueprint, ground)
    vulnerabilities = tuple(
        Vulnerability(
            severity=f.severity.value,
            issue=f.message,
            recommendation=f.fix,
            rule_id=f.rule,
            resource=short(f.resource),
            line=f.place.line if f.place else None,
        )
        for f in found.findings
    )
    states = {c.framework: c.state.value for c in _frameworks(found, given.check_compliance)}
    return AuditGives(
        security_score=float(found.score), score_formula=FORMULA, vulnerabilities=vulnerabilities, compliance=states
    )


def _frameworks(found: Audit, names: tuple[str, ...]) -> tuple[Compliance, ...]:
    try:
        return compliance(found, names)
    except ValueError as error:
        raise InvalidInput(str(error), hint="name one of these") from None


class ComplianceTakes(OneBlueprint):
    frameworks: tuple[str, ...] = ("GDPR", "SOC2", "PCI-DSS")


class ControlGives(Strict):
    control: str
    asks: str
    status: str
    evidence: str


class FrameworkGives(Strict):
    status: str
    controls: tuple[ControlGives, ...]


class ComplianceGives(Strict):
    frameworks: dict[str, FrameworkGives]


def check_compliance(given: ComplianceTakes, ground: Ground) -> ComplianceGives:
    found = _frameworks(audited(given.blueprint, ground), given.frameworks)
    return ComplianceGives(frameworks={c.framework: _framework(c) for c in found})


def _framework(found: Compliance) -> FrameworkGives:
    controls = (
        ControlGives(control=c.id, asks=c.title, status=c.state.value, evidence=c.evidence) for c in found.controls
    )
    return FrameworkGives(status=found.state.value, controls=tuple(controls))


SECURITY_AUDIT = Tool(
    "security_audit", "What is unsafe in a blueprint, and a mark.", AuditTakes, AuditGives, security_audit
)
CHECK_COMPLIANCE = Tool(
    "check_compliance",
    "Controls of GDPR, SOC2 and PCI-DSS with their evidence.",
    ComplianceTakes,
    ComplianceGives,
    check_compliance,
)
