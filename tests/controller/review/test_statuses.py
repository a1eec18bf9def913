"""Commit statuses of design.md 5."""

from __future__ import annotations

import pytest

from controller.blueprint.entry import Disruption
from controller.review.report import Review, RunProgress, RunState, ScopeReview
from controller.review.statuses import DESCRIPTION_MAX, statuses
from tests.controller.review.cases import cases
from tests.controller.review.hostile import PAYLOADS, review_with
from tests.controller.review.making import change, plan

AGGREGATES = ["alma/plan", "alma/audit", "alma/cost", "alma/deploy"]
READY = Review((ScopeReview("prod", plan(change())),))


def test_no_scope_touched_is_success_everywhere() -> None:
    assert [(s.context, s.state, s.description) for s in statuses(Review())] == [
        (context, "success", "no scope touched") for context in AGGREGATES
    ]


def test_aggregates_come_first_then_at_most_twenty_scopes_worst_first() -> None:
    scopes = [ScopeReview(f"s{i:02}", plan(scope=f"s{i:02}")) for i in range(40)]
    scopes += [ScopeReview("z-bad", refused="no"), ScopeReview("z-blind", unreadable="down")]
    lines = statuses(Review(tuple(scopes)))
    assert [s.context for s in lines[:4]] == AGGREGATES and len(lines) == 24
    assert [s.context for s in lines[4:7]] == ["alma/plan: z-bad", "alma/plan: z-blind", "alma/plan: s00"]


def test_an_unreadable_target_is_an_error_not_a_failure() -> None:
    lines = statuses(Review((ScopeReview("prod", unreadable="pve: refused"),)))
    assert (lines[0].state, lines[4].state) == ("error", "error")
    assert "tried again" in lines[0].description


def test_nothing_blocks_its_own_precondition() -> None:
    """Before the merge `alma/deploy` is a success, and a plan that will wait for confirm is no failure."""
    waiting = Review((ScopeReview("prod", plan(change(disruption=Disruption.RECREATE)), waits=("confirm",)),))
    assert {s.context: s.state for s in statuses(waiting)} == {
        **dict.fromkeys(AGGREGATES, "success"),
        "alma/plan: prod": "success",
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RunState.QUEUED, "pending"),
        (RunState.WAITING, "pending"),
        (RunState.RUNNING, "pending"),
        (RunState.UNDOING, "pending"),
        (RunState.DONE, "success"),
        (RunState.SUPERSEDED, "success"),
        (RunState.UNDONE, "failure"),
        (RunState.PARKED, "failure"),
        (RunState.CANCELLED, "failure"),
    ],
)
def test_the_deploy_status_follows_the_run(state: RunState, expected: str) -> None:
    assert statuses(READY, [RunProgress("r", "prod", state)])[3].state == expected


def test_of_several_runs_the_worst_decides() -> None:
    runs = [RunProgress("a", "x", RunState.DONE), RunProgress("b", "y", RunState.PARKED, next_step="free the port")]
    deploy = statuses(READY, runs)[3]
    assert (deploy.state, deploy.description) == ("failure", "y: parked: free the port")


def test_a_superseded_run_says_where_it_continues() -> None:
    run = RunProgress("a", "x", RunState.SUPERSEDED, continues_in=8)
    assert statuses(READY, [run])[3].description == "superseded, continues in #8"


def test_findings_and_budget_fail_their_own_status_only() -> None:
    states = {s.context: s.state for s in statuses(cases()["shop-update"].review)}
    assert (states["alma/plan"], states["alma/audit"], states["alma/cost"]) == ("success", "failure", "success")


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: ascii(p[:20]))
def test_a_description_is_one_short_line_whatever_is_in_it(payload: str) -> None:
    for line in statuses(review_with(payload)):
        assert len(line.description) <= DESCRIPTION_MAX and line.description.isprintable()
        assert len(line.context) <= 100 and line.context.isprintable()
