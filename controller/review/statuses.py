"""A review and its run as commit statuses: aggregates first, then at most twenty of scopes (design.md 5).

States are the words every forge has: `pending`, `success`, `failure`, `error`. None blocks its own precondition: what
is decided only after the merge is never pending or failing before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controller.review.inert import visible
from controller.review.report import (
    UNREVIEWED,
    Review,
    RunProgress,
    RunState,
    ScopeReview,
    cost_text,
    counts_of,
    counts_text,
    disruption_text,
    findings_text,
)

DESCRIPTION_MAX = 140
SCOPES_MAX = 20
CONTEXT_MAX = 100
BEFORE_MERGE = ("alma/plan", "alma/audit", "alma/cost")  # what a protected branch may wait for
UNTOUCHED = "no scope touched"
_WORST_FIRST = ("failure", "error", "pending", "success")


class StatusLine(NamedTuple):
    """One commit status: context, state, description of at most 140 characters on one line."""

    context: str
    state: str
    description: str


def statuses(review: Review, runs: Sequence[RunProgress] = ()) -> tuple[StatusLine, ...]:
    """In the order they are to be written."""
    if not review.scopes:
        return tuple(_line(f"alma/{part}", "success", UNTOUCHED) for part in ("plan", "audit", "cost", "deploy"))
    if review.unreviewed:
        return (_line("alma/plan", "error", UNREVIEWED), _deploy(review, runs))
    each = sorted((_scope(s) for s in review.scopes), key=lambda line: (_WORST_FIRST.index(line.state), line.context))
    return (_plan(review), _audit(review), _cost(review), _deploy(review, runs), *each[:SCOPES_MAX])


def _line(context: str, state: str, description: str) -> StatusLine:
    return StatusLine(visible(context, CONTEXT_MAX), state, visible(description, DESCRIPTION_MAX))


def _plan(review: Review) -> StatusLine:
    bad = [s for s in review.scopes if s.failed]
    blind = [s for s in review.scopes if s.unreadable]
    if bad:
        return _line("alma/plan", "failure", f"{len(bad)} of {len(review.scopes)} scopes: {_outcome(bad[0])}")
    if blind:
        return _line("alma/plan", "error", f"{_outcome(blind[0])}; it is tried again")
    waits = " · waits for confirm" if any(s.waits for s in review.scopes) else ""
    text = f"{counts_text(counts_of(review.plans))} · {disruption_text(review)}{waits}"
    return _line("alma/plan", "success", text)


def _outcome(scope: ScopeReview) -> str:
    if scope.problems:
        return f"{scope.name}: {scope.problems[0]}"
    return f"{scope.name}: {scope.refused or scope.unreadable}"


def _audit(review: Review) -> StatusLine:
    if not any(s.audit for s in review.scopes):
        return _line("alma/audit", "success", "nothing to audit: see alma/plan")
    limit = f", fails at {review.fail_on.value}" if review.fail_on and review.audit_fails else ""
    return _line("alma/audit", "failure" if review.audit_fails else "success", f"{findings_text(review)}{limit}")


def _cost(review: Review) -> StatusLine:
    change = cost_text(review) or "nothing priced"
    budget = f" · {review.budget.text}" if review.budget else ""
    return _line("alma/cost", "failure" if review.over_budget else "success", f"{change}{budget}")


_DEPLOY = {
    RunState.DONE: "success",
    RunState.UNDONE: "failure",
    RunState.PARKED: "failure",
    RunState.SUPERSEDED: "success",
    RunState.CANCELLED: "failure",
}


def _deploy(review: Review, runs: Sequence[RunProgress]) -> StatusLine:
    if review.nothing_ran:
        return _line("alma/deploy", "success", "nothing had to run")
    if not runs and review.unreviewed:
        return _line("alma/deploy", "pending", "not started yet")
    if not runs:
        return _line("alma/deploy", "success", "runs when this is merged")
    states = [_DEPLOY.get(r.state, "pending") for r in runs]
    decisive = next(s for s in _WORST_FIRST if s in states)
    shown = runs[states.index(decisive)]
    return _line("alma/deploy", decisive, f"{shown.scope}: {run_words(shown)}" if len(runs) > 1 else run_words(shown))


def run_words(run: RunProgress) -> str:
    """`done: 3 of 3`, `waiting: /alma confirm 4f0c…`, `continues in #7`."""
    if run.state is RunState.SUPERSEDED:
        return f"superseded, continues in #{run.continues_in}" if run.continues_in else "superseded by a newer commit"
    if run.state is RunState.WAITING and run.confirm:
        return f"waiting: {run.confirm}"
    if run.state in (RunState.UNDONE, RunState.PARKED) and (run.diagnosis or run.next_step):
        return f"{run.state.value}: {run.next_step or run.diagnosis}"
    done = sum(1 for r in run.rows if r.result == "done")
    return f"{run.state.value}: {done} of {len(run.rows)}" if run.rows else run.state.value


def _scope(scope: ScopeReview) -> StatusLine:
    context = f"alma/plan: {scope.name}"
    if scope.failed:
        return _line(context, "failure", _outcome(scope).removeprefix(f"{scope.name}: "))
    if scope.unreadable:
        return _line(context, "error", f"{scope.unreadable}; it is tried again")
    if scope.plan is None:
        return _line(context, "pending", "not planned yet")
    waits = " · waits for confirm" if scope.waits else ""
    text = f"{counts_text(counts_of((scope.plan,)))} · {scope.plan.disruption.value}{waits}"
    return _line(context, "success", text)
