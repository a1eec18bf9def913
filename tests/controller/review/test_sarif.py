"""SARIF and JUnit: valid by the published schema, the same findings as the comment, nothing secret, nothing forged."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from controller.blueprint.entry import Waived
from controller.errors import Place
from controller.plan.graph import DesiredGraph
from controller.review.audit import audit
from controller.review.finding import Severity
from controller.review.junit import junit
from controller.review.report import Review, ScopeReview
from controller.review.rules import RULES
from controller.review.rules.rule import ScopeView
from controller.review.sarif import sarif
from tests.controller.review.cases import cases
from tests.controller.review.hostile import PAYLOADS, review_with
from tests.controller.review.making import TODAY, entry, plan
from tests.servers.published import folder

CASES = cases()
Json = Any


def log(review: Review) -> Json:
    return json.loads(json.dumps(sarif(review, "0.1.0")))


@pytest.fixture(scope="module")
def schema() -> Json:
    return json.loads((folder() / "compose-lint" / "tests" / "fixtures" / "sarif-schema-2.1.0.json").read_text())


@pytest.mark.published
def test_every_log_is_valid_by_the_schema_of_oasis(schema: Json, report_n: Callable[..., None]) -> None:
    reviews = [*(c.review for c in CASES.values()), *(review_with(p) for p in PAYLOADS)]
    wrong = [e.message for r in reviews for e in jsonschema.Draft7Validator(schema).iter_errors(log(r))]
    report_n("M19 SARIF schema", len(reviews), len(wrong))
    assert wrong == []


def test_every_rule_and_every_finding_is_in_the_log() -> None:
    review = CASES["shop-update"].review
    run = log(review)["runs"][0]
    assert [r["id"] for r in run["tool"]["driver"]["rules"]] == [r.id for r in RULES]
    (found,) = [s.audit for s in review.scopes if s.audit]
    said = [(r["ruleId"], "suppressions" in r) for r in run["results"]]
    expected = [(f.rule, False) for f in found.findings] + [(w.finding.rule, True) for w in found.waived]
    assert said == expected
    assert all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])


def test_a_result_says_where_it_is_and_keeps_its_fingerprint_when_lines_move() -> None:
    first, moved = _results(0), _results(40)
    regions = [[r["locations"][0]["physicalLocation"]["region"]["startLine"] for r in each] for each in (first, moved)]
    assert regions[0] != regions[1]
    assert first[0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "shop.yaml"}
    assert [r["partialFingerprints"] for r in first] == [r["partialFingerprints"] for r in moved]
    assert len({r["partialFingerprints"]["alma/v1"] for r in first}) == len(first)


def _results(lines: int) -> list[Json]:
    places = {"specs.image": Place("shop.yaml", 5 + lines, 9), "specs.privileged": Place("shop.yaml", 6 + lines, 9)}
    one = entry(specs={"image": "web", "privileged": True}, places=places)
    made = audit(ScopeView(DesiredGraph("prod", (one,), {}), plan()), TODAY)
    results: list[Json] = log(Review((ScopeReview("prod", plan(), made),)))["runs"][0]["results"]
    return results


def test_what_could_not_be_judged_is_told_and_the_run_did_not_succeed() -> None:
    invocation = log(CASES["blocked"].review)["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    told = [n["message"]["text"] for n in invocation["toolExecutionNotifications"]]
    assert told == [
        "invalid format",
        "home: prod/shop/web needs reboot, its max_disruption is restart",
        "pve: pve: connection refused",
    ]


def suites(review: Review) -> ET.Element:
    return ET.fromstring(junit(review))


def test_a_case_fails_from_the_severity_on_at_which_the_audit_fails() -> None:
    review = CASES["shop-update"].review
    assert review.fail_on is Severity.HIGH
    cases_ = {c.get("name"): c for c in suites(review).iter("testcase")}
    failed = {name for name, c in cases_.items() if c.find("failure") is not None}
    (found,) = [s.audit for s in review.scopes if s.audit]
    assert failed == {f.rule for f in found.findings if f.severity.rank >= Severity.HIGH.rank}
    assert "image web:latest" in str(cases_["image-unpinned"].findtext("system-out"))
    assert set(cases_) == set(found.checked)


def test_counts_of_a_suite_are_those_of_its_cases() -> None:
    for case in CASES.values():
        for suite in suites(case.review).iter("testsuite"):
            for word, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
                assert suite.get(word) == str(len(list(suite.iter(kind))))
            assert suite.get("tests") == str(len(list(suite.iter("testcase"))))


def test_what_is_waived_everywhere_is_skipped_with_the_reason() -> None:
    waiver = Waived("privileged", "no other way yet", "ann", TODAY, Place("shop.yaml", 9, 7))
    one = entry(specs={"image": "web:1", "privileged": True}, waivers=(waiver,))
    made = audit(ScopeView(DesiredGraph("prod", (one,), {}), plan()), TODAY)
    found = [
        (case.get("name"), skipped.get("message"))
        for case in suites(Review((ScopeReview("prod", plan(), made),))).iter("testcase")
        for skipped in case.iter("skipped")
    ]
    assert found == [("privileged", "1 waived: no other way yet (ann, until 2026-11-21)")]


@pytest.mark.parametrize("payload", [p for p in PAYLOADS if p.strip()])
def test_no_text_ends_an_element_or_forges_one(payload: str) -> None:
    review, plain = review_with(payload), review_with("x")
    assert [e.tag for e in suites(review).iter()] == [e.tag for e in suites(plain).iter()]
    assert all(c.isprintable() or c == "\n" for c in junit(review))


def test_neither_repeats_a_secret() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    made = audit(ScopeView(DesiredGraph("prod", (entry(specs={"env": {"X": secret}}),), {}), plan()), TODAY)
    review = Review((ScopeReview("prod", plan(), made),), fail_on=Severity.HIGH)
    assert "plain-secret" in junit(review)
    assert secret not in junit(review) + json.dumps(log(review))
