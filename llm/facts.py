"""Review → what a model is told of it: named fields only, redacted, bounded, each with an id (I30).

No title, body, comment, commit message, branch, log, engine error or file of the pull request is among them. What
others can still write (names, values of fields) is shortened, made visible and stands in JSON, where it cannot end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from controller.plan.change import Change
from controller.review.finding import Finding
from controller.review.inert import visible
from controller.review.report import Review, ScopeReview, cost_text, counts_of, counts_text, disruption_text
from controller.review.wording import field_sides, money_text, seconds_text

FACTS_CHARS_MAX = 8_000
_TEXT_MAX = 100
_CHANGES_MAX, _FIELDS_MAX, _FINDINGS_MAX, _COSTS_MAX, _SCOPES_MAX = 24, 4, 8, 6, 10
FIELDS: Mapping[str, frozenset[str]] = {
    "pull_request": frozenset({"verdict", "counts", "disruption", "cost_change", "findings"}),
    "scope": frozenset({"name", "outcome", "waits", "score"}),
    "change": frozenset({"resource", "action", "kind", "target", "wave", "disruption", "gap", "fields", "cannot_undo"}),
    "finding": frozenset({"rule", "severity", "resource"}),
    "cost": frozenset({"resource", "before", "after"}),
}
Redact = Callable[[str], str]
Fact = dict[str, object]


def facts(review: Review, redact: Redact) -> str:
    """JSON lines, one fact each: `{"id": "f1", "about": "change", …}`; at most `FACTS_CHARS_MAX` characters."""
    lines: list[str] = []
    room = FACTS_CHARS_MAX
    for number, (about, fact) in enumerate(_all(review), 1):
        told = {"id": f"f{number}", "about": about, **{k: _safe(v, redact) for k, v in fact.items()}}
        line = redact(json.dumps(told, ensure_ascii=False))
        if len(line) + 1 > room:
            break
        lines.append(line)
        room -= len(line) + 1
    return "\n".join(lines)


def _all(review: Review) -> Iterable[tuple[str, Fact]]:
    """What matters most first: what does not fit is left out from the end."""
    yield "pull_request", _summary(review)
    for scope in review.scopes[:_SCOPES_MAX]:
        yield "scope", _scope(scope)
    changes = sorted((c for p in review.plans for c in p.changes), key=lambda c: (not c.destructive, c.wave))
    for change in changes[:_CHANGES_MAX]:
        yield "change", _change(change)
    found = sorted((f for s in review.scopes if s.audit for f in s.audit.notable), key=lambda f: -f.severity.rank)
    for finding in found[:_FINDINGS_MAX]:
        yield "finding", _finding(finding)
    yield from (("cost", c) for s in review.scopes for c in _costs(s))


def _summary(review: Review) -> Fact:
    return {
        "verdict": review.verdict.value,
        "counts": counts_text(counts_of(review.plans)),
        "disruption": disruption_text(review),
        "cost_change": cost_text(review),
        "findings": review.findings,
    }


def _scope(scope: ScopeReview) -> Fact:
    """Why a scope is invalid, refused or unreadable is told by errors, and those hold anything: only that it is."""
    words = (("invalid", scope.problems), ("refused", scope.refused), ("unreadable", scope.unreadable))
    outcome = next((word for word, why in words if why), "planned" if scope.plan else "not reviewed")
    score = str(scope.audit.score) if scope.audit else None
    return {"name": scope.name, "outcome": outcome, "waits": bool(scope.waits), "score": score}


def _change(change: Change) -> Fact:
    e = change.effect
    sides = [(f.path, *field_sides(f, _TEXT_MAX)) for f in e.fields[:_FIELDS_MAX]]
    return {
        "resource": str(e.resource),
        "action": e.action.value,
        "kind": e.key.kind,
        "target": change.target,
        "wave": change.wave,
        "disruption": e.disruption.value,
        "gap": seconds_text(e.down_s) if e.down_s else None,
        "fields": [f"{path}: {before} -> {after}" for path, before, after in sides],
        "cannot_undo": bool(e.lost),
    }


def _finding(finding: Finding) -> Fact:
    return {"rule": finding.rule, "severity": finding.severity.value, "resource": finding.resource}


def _costs(scope: ScopeReview) -> Iterable[Fact]:
    if scope.cost is None:
        return
    lines = sorted((line for line in scope.cost.lines if line.delta), key=lambda line: -abs(line.delta))
    for line in lines[:_COSTS_MAX]:
        sides = (money_text(side or Decimal(0), scope.cost.currency) for side in (line.before, line.after))
        yield {"resource": line.resource, **dict(zip(("before", "after"), sides, strict=True))}


def _safe(value: object, redact: Redact) -> object:
    if isinstance(value, str):
        return visible(redact(value), _TEXT_MAX * 3)
    if isinstance(value, list):
        return [_safe(v, redact) for v in value]
    return value
