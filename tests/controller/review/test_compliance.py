"""Control maps: four verdicts, each with its evidence, and no verdict without someone who looked."""

from __future__ import annotations

import pytest

from controller.blueprint.entry import Entry, Waived
from controller.errors import Place
from controller.plan.graph import DesiredGraph
from controller.review.audit import audit
from controller.review.compliance import Compliance, ComplianceState, Control, compliance, frameworks_text
from controller.review.rules import RULES
from controller.review.rules.controls import FRAMEWORKS
from controller.review.rules.rule import ScopeView
from tests.controller.review.making import TODAY, entry, plan

WALLED = {"image": "app:1", "memory": "64MB", "cpu": 1, "restart": "always"}


def seen(*entries: Entry, framework: str = "SOC2") -> Compliance:
    found = audit(ScopeView(DesiredGraph("prod", entries, {}), plan()), TODAY)
    return compliance(found, [framework])[0]


def control(found: Compliance, name: str) -> Control:
    return next(c for c in found.controls if c.id == name)


def test_a_high_finding_fails_its_controls_and_is_the_evidence() -> None:
    found = control(seen(entry(specs={**WALLED, "privileged": True})), "CC6.1")
    assert found.state is ComplianceState.FAILING
    assert "1 finding: privileged at prod/shop/web (shop.yaml:3)" in found.evidence


def test_a_milder_finding_makes_a_control_partial() -> None:
    found = seen(entry(specs={**WALLED, "memory": None}))
    assert control(found, "A1.1").state is ComplianceState.PARTIAL
    assert found.state is ComplianceState.PARTIAL


def test_an_accepted_finding_is_partial_and_names_what_was_accepted() -> None:
    waiver = Waived("privileged", "no other way yet", "ann", TODAY, Place("shop.yaml", 9, 7))
    found = control(seen(entry(specs={**WALLED, "privileged": True}, waivers=(waiver,))), "CC6.8")
    assert found.state is ComplianceState.PARTIAL
    assert "1 waived finding: privileged" in found.evidence


def test_a_control_is_compliant_only_where_a_rule_looked() -> None:
    found = seen(entry(specs=WALLED))
    assert control(found, "CC6.8").state is ComplianceState.COMPLIANT
    assert found.state is ComplianceState.COMPLIANT
    assert control(found, "CC6.8").evidence.endswith("rules looked")


def test_what_no_rule_sees_is_not_assessable() -> None:
    found = seen(entry(specs=WALLED), framework="GDPR")
    assert control(found, "Art. 33").state is ComplianceState.NOT_ASSESSABLE
    assert control(found, "Art. 33").evidence == "no rule can see it"
    nothing = seen(framework="GDPR")
    assert {c.state for c in nothing.controls} == {ComplianceState.NOT_ASSESSABLE} == {nothing.state}


def test_every_control_that_a_rule_names_is_known_with_what_it_asks_for() -> None:
    for rule in RULES:
        for framework, controls in rule.controls.items():
            assert set(controls) <= set(FRAMEWORKS[framework]), rule.id


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_has_controls_that_rules_see_and_some_that_none_can(framework: str) -> None:
    borne = {c for r in RULES for c in r.controls.get(framework, ())}
    assert len(borne) >= 5
    assert set(FRAMEWORKS[framework]) - borne


def test_a_framework_in_one_line() -> None:
    told = frameworks_text([seen(entry(specs={**WALLED, "privileged": True}))])["SOC2"]
    assert told.startswith("failing: ")
    assert "not assessable" in told


def test_an_unknown_framework_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="ISO is no framework here; known: GDPR, PCI-DSS, SOC2"):
        compliance(audit(ScopeView(DesiredGraph("prod", (), {}), plan()), TODAY), ["ISO"])
