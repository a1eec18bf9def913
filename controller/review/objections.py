"""Does a commit of ours make a pull request worse? What it must not bring in (I30)."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Finding
from controller.review.report import Review, ScopeReview


def objections(before: Review, after: Review) -> tuple[str, ...]:
    """Why `after`, the review with the commit, may not take the place of `before`; empty where nothing speaks against
    it. A finding counts when policy fails on it and it was not there before."""
    known = {_key(f) for s in before.scopes for f in _found(s)}
    told = [text for s in after.scopes for text in _of_scope(s)]
    if after.fail_on is not None:
        worse = [f for s in after.scopes for f in _found(s) if f.severity.rank >= after.fail_on.rank]
        told += [f"{f.rule} at {f.resource}: {f.message}" for f in worse if _key(f) not in known]
    if after.over_budget and not before.over_budget and after.budget:
        told.append(after.budget.text)
    return tuple(told)


def _of_scope(scope: ScopeReview) -> Iterator[str]:
    yield from (f"{scope.name}: {p}" for p in scope.problems)
    if scope.refused:
        yield f"{scope.name}: {scope.refused}"
    if scope.unreadable:
        yield f"{scope.name} cannot be planned now: {scope.unreadable}"


def _found(scope: ScopeReview) -> tuple[Finding, ...]:
    return scope.audit.findings if scope.audit else ()


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.rule, finding.resource, finding.path
