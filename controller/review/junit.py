"""A review as JUnit XML, which every CI shows: a suite per scope, a case per rule that had something to look at.

A case fails as `alma/audit` does: from `policy.audit.fail_on` on. Milder findings stand in the case's output, waived
ones make it skipped, and what kept a scope from being judged is an error.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from controller.review.audit import Audit
from controller.review.finding import Finding, Severity
from controller.review.inert import visible
from controller.review.report import Review, ScopeReview

_TEXT_MAX = 1_000


def junit(review: Review) -> str:
    """The XML document with a line end. Texts are one line each and hold no control character."""
    suites = [list(_suite(scope, review.fail_on)) for scope in review.scopes]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="alma review">']
    lines += [line for suite in suites for line in suite]
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _suite(scope: ScopeReview, fail_on: Severity | None) -> Iterator[str]:
    cases = list(_cases(scope, fail_on))
    counts = {kind: sum(1 for c in cases if f"<{kind} " in c) for kind in ("failure", "error", "skipped")}
    yield (
        f'  <testsuite name={_quoted(scope.name)} tests="{len(cases)}" failures="{counts["failure"]}" '
        f'errors="{counts["error"]}" skipped="{counts["skipped"]}">'
    )
    yield from cases
    yield "  </testsuite>"


def _cases(scope: ScopeReview, fail_on: Severity | None) -> Iterator[str]:
    for problem in scope.problems:
        yield _case(scope, "valid", f"      <error message={_quoted(str(problem))} />")
    for word, text in (("allowed", scope.refused), ("readable", scope.unreadable)):
        if text:
            yield _case(scope, word, f"      <error message={_quoted(text)} />")
    if scope.audit:
        yield from (_case(scope, rule, _body(scope.audit, rule, fail_on)) for rule in _rules(scope.audit))


def _rules(audit: Audit) -> Sequence[str]:
    """What was looked at, then what was said beyond it; each once."""
    said = (*(f.rule for f in audit.findings), *(w.finding.rule for w in audit.waived))
    return tuple(dict.fromkeys((*audit.checked, *said)))


def _case(scope: ScopeReview, name: str, body: str) -> str:
    head = f"    <testcase classname={_quoted(scope.name)} name={_quoted(name)}"
    return f"{head}>\n{body}\n    </testcase>" if body else f"{head} />"


def _body(audit: Audit, rule: str, fail_on: Severity | None) -> str:
    found = [f for f in audit.findings if f.rule == rule]
    failing = [f for f in found if fail_on is not None and f.severity.rank >= fail_on.rank]
    if failing:
        title = f"{len(failing)} × {failing[0].severity.value}: {failing[0].message}"
        return f'      <failure type="{failing[0].severity.value}" message={_quoted(title)}>{_list(failing)}</failure>'
    if found:
        return f"      <system-out>{_list(found)}</system-out>"
    waived = [w for w in audit.waived if w.finding.rule == rule]
    if waived:
        w = waived[0].waiver
        text = f"{len(waived)} waived: {w.reason} ({w.by}, until {w.until.isoformat()})"
        return f"      <skipped message={_quoted(text)} />"
    return ""


def _list(findings: Iterable[Finding]) -> str:
    lines = (f"{f.place or ''} {f.resource}: {f.message}. Mend: {f.fix}".strip() for f in findings)
    return "\n".join(html.escape(visible(line, _TEXT_MAX)) for line in lines)


def _quoted(text: str) -> str:
    return f'"{html.escape(visible(text, _TEXT_MAX), quote=True)}"'
