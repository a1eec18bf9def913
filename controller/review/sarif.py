"""Findings as SARIF 2.1.0, the format in which code hosts and editors take what scanners find.

OASIS, Static Analysis Results Interchange Format 2.1.0. Waived findings are results with a suppression; mistakes that
kept a scope from being judged are notifications of the invocation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from controller.errors import Place, Problem
from controller.review.finding import Finding, Severity, WaivedFinding
from controller.review.inert import visible
from controller.review.report import Review
from controller.review.rule_text import example, kinds_of
from controller.review.rules import RULES
from controller.review.rules.rule import Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Mapping[Severity, str] = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
# What GitHub sorts by; the middle of each band of CVSS 3.1.
_SCORES: Mapping[Severity, str] = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.INFO: "0.0",
}
_TEXT_MAX = 1_000
Json = Mapping[str, object]


def sarif(review: Review, version: str, rules: Sequence[Rule] = RULES) -> Json:
    """The log of one review; `version` is that of this program. JSON-safe, without secrets, equal for equal reviews."""
    index = {rule.id: n for n, rule in enumerate(rules)}
    audits = [s.audit for s in review.scopes if s.audit]
    results = [_result(f, index) for a in audits for f in a.findings]
    results += [_suppressed(w, index) for a in audits for w in a.waived]
    problems = [_notification(p) for s in review.scopes for p in s.problems]
    problems += [_said(f"{s.name}: {s.refused or s.unreadable}") for s in review.scopes if s.refused or s.unreadable]
    driver = {"name": "alma", "version": version, "rules": [_rule(r) for r in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not problems, "toolExecutionNotifications": problems}],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> Json:
    controls = [f"{framework} {c}" for framework, found in sorted(rule.controls.items()) for c in found]
    return {
        "id": rule.id,
        "name": "".join(part.title() for part in rule.id.split("-")),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{example(rule)['fix']}. Source: {rule.source}. See: alma rules show {rule.id}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "security-severity": _SCORES[rule.severity],
            "tags": [rule.reason.value, *kinds_of(rule), *controls],
        },
    }


def _result(finding: Finding, index: Mapping[str, int]) -> dict[str, object]:
    return {
        "ruleId": finding.rule,
        **({"ruleIndex": index[finding.rule]} if finding.rule in index else {}),
        "level": _LEVELS[finding.severity],
        "message": {"text": visible(f"{finding.resource}: {finding.message}. Mend: {finding.fix}", _TEXT_MAX)},
        "locations": [_location(finding)],
        "partialFingerprints": {"alma/v1": _fingerprint(finding)},
    }


def _location(finding: Finding) -> Json:
    name = visible(f"{finding.resource}{'.' if finding.path else ''}{finding.path}", _TEXT_MAX)
    logical = {"logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]}
    return {**logical, "physicalLocation": _physical(finding.place)} if finding.place else logical


def _physical(place: Place) -> Json:
    where: dict[str, object] = {"artifactLocation": {"uri": quote(place.file)}}
    if place.line >= 1:
        where["region"] = {"startLine": place.line, "startColumn": max(place.col, 1)}
    return where


def _fingerprint(finding: Finding) -> str:
    """The same for the same finding when lines above it move."""
    return hashlib.sha256("\0".join((finding.rule, finding.resource, finding.path)).encode()).hexdigest()


def _suppressed(waived: WaivedFinding, index: Mapping[str, int]) -> dict[str, object]:
    w = waived.waiver
    text = visible(f"{w.reason} ({w.by}, until {w.until.isoformat()})", _TEXT_MAX)
    suppression = {"kind": "inSource", "status": "accepted", "justification": text}
    return {**_result(waived.finding, index), "suppressions": [suppression]}


def _notification(problem: Problem) -> Json:
    told = {"level": "error", "message": {"text": visible(problem.message, _TEXT_MAX)}}
    return {**told, "locations": [{"physicalLocation": _physical(problem.place)}]} if problem.place else told


def _said(text: str) -> Json:
    return {"level": "error", "message": {"text": visible(text, _TEXT_MAX)}}
