"""The comment: golden texts, the order of its sections, one final state, and that it always fits (C5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.blueprint.entry import Disruption
from controller.plan.step import Action, FieldChange
from controller.review.markdown import comment, rendered
from controller.review.plan_text import plan_text, plans_json
from controller.review.report import Narrative, Review, RunProgress, RunRow, RunState, ScopeReview, Verdict
from controller.review.statuses import statuses
from tests.controller.review.cases import cases
from tests.controller.review.hostile import read, review_with
from tests.controller.review.making import change, plan

MARKER = "<!-- alma:ipr:7 -->"
CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_the_texts_are_those_kept_in_golden(
    name: str, golden: Callable[[str, str, str], None], report_n: Callable[..., None]
) -> None:
    case = CASES[name]
    golden(name, "review.md", comment(case.review, case.runs, MARKER))
    golden(name, "plan.txt", "".join(plan_text(p) for p in case.review.plans))
    golden(name, "plan.json", json.dumps(plans_json(case.review.plans), indent=1, ensure_ascii=False) + "\n")
    lines = (f"{s.context} {s.state} {s.description}\n" for s in statuses(case.review, case.runs))
    golden(name, "statuses.txt", "".join(lines))
    report_n("golden texts", 4)


@pytest.mark.parametrize("name", CASES)
def test_a_comment_is_well_formed_and_the_same_every_time(name: str) -> None:
    case = CASES[name]
    body = comment(case.review, case.runs, MARKER)
    assert body == comment(case.review, case.runs, MARKER)
    assert body.startswith(f"{MARKER}\n\n### ") and "\n\n\n" not in body and body.endswith("\n")
    assert body.count("<details>") == body.count("</details>")
    assert "Undefined" not in body and "None" not in body


def test_sections_stand_in_the_order_of_the_design() -> None:
    body = comment(CASES["shop-update"].review, None, MARKER)
    parts = [
        "### ",
        "| Scope |",
        "#### Plan",
        "#### Findings",
        "#### Cost",
        "Order of the run",
        "#### If it fails",
        "In words",
        "#### Commands",
        "Digest:",
    ]
    places = [body.index(part) for part in parts]
    assert places == sorted(places)


def test_the_first_line_says_it_all() -> None:
    first = comment(CASES["shop-update"].review, None, MARKER).splitlines()[2]
    assert first.startswith(
        "### ❌ ALMA: 1 to create, 1 to update · worst disruption restart (about 2 s) · +2.00 EUR/month · "
    )


@pytest.mark.parametrize("state", list(RunState))
def test_a_run_has_exactly_one_state(state: RunState) -> None:
    run = RunProgress("r", "prod", state, (RunRow("prod/shop/web", Action.UPDATE, "done", 1.0),))
    body = comment(CASES["shop-update"].review, run, MARKER)
    assert body.count("Final state: ") == int(state.final)
    assert body.count("State: ") == int(not state.final)


def test_of_two_runs_the_more_urgent_one_names_the_state() -> None:
    done = RunProgress("a", "prod", RunState.DONE)
    parked = RunProgress("b", "edge", RunState.PARKED)
    review = CASES["shop-update"].review
    assert "Final state: parked" in comment(review, (done, parked), MARKER)
    assert "State: running" in comment(review, (parked, replace(done, state=RunState.RUNNING)), MARKER)


def test_without_the_model_every_other_byte_is_the_same() -> None:
    """I29: the narrative is one section; dropped, refused or there, the rest does not move."""
    review = CASES["shop-update"].review
    without = comment(replace(review, narrative=None), None, MARKER)
    lying = comment(replace(review, narrative=Narrative("It costs 99 EUR.", "model")), None, MARKER)
    assert lying == without
    whole = comment(review, None, MARKER)
    start = whole.index("<details><summary>In words")
    end = whole.index("</details>", start) + len("</details>\n\n")
    assert whole[:start] + whole[end:] == without


@pytest.mark.parametrize("count", [100, 250, 400, 600])
@pytest.mark.parametrize("limit", [8_000, 60_000])
def test_how_much_fits_does_not_depend_on_the_narrative(count: int, limit: int, report_n: Callable[..., None]) -> None:
    """What the comment lists is what a merge clears (I2): prose must not push a change out of it, or into it."""
    review = many(count)
    told = replace(review, narrative=Narrative("In prod much is destroyed. " * 70, "model"))
    without, whole = rendered(review, None, MARKER, limit), rendered(told, None, MARKER, limit)
    assert (whole.listed, whole.hidden) == (without.listed, without.hidden)
    assert len(whole.body) <= limit
    start = whole.body.find("<details><summary>In words")
    assert start >= 0 or limit < 60_000
    end = whole.body.index("</details>", start) + len("</details>\n\n") if start >= 0 else 0
    assert (whole.body[:start] + whole.body[end:] if start >= 0 else whole.body) == without.body
    report_n("I29 room", 1)


def many(count: int, action: Action | None = None, fields: int = 3) -> Review:
    actions = [Action.CREATE, Action.UPDATE, Action.DESTROY, Action.RECREATE]
    each = tuple(FieldChange(f"env.K{i}", "before" * 5, "after" * 5) for i in range(fields))
    changes = [
        change(f"prod/bp{i % 60}/resource-{i}", action or actions[i % 4], Disruption.RESTART, each)
        for i in range(count)
    ]
    return Review((ScopeReview("prod", plan(*changes)),))


@pytest.mark.parametrize("action", [None, Action.DESTROY, Action.CREATE])
def test_a_plan_of_10_000_changes_is_one_comment(action: Action | None, report_n: Callable[..., None]) -> None:
    """C5: it fits, destroys come first, and what is not shown is counted and said in the verdict."""
    made = rendered(many(10_000, action), None, MARKER)
    assert len(made.body) <= 60_000
    assert len(made.listed) + len(made.hidden) == 10_000 and made.hidden
    assert f"{len(made.hidden):,} of 10,000 changes are not shown here" in made.body.split("\n\n")[2]
    assert all(str(c.effect.resource) in made.body for c in made.listed)
    assert f"Not shown: {len(made.hidden):,} changes" in made.body
    if action is None:
        assert all(c.effect.action in (Action.DESTROY, Action.RECREATE) for c in made.listed)
    report_n("C5", 10_000)


@pytest.mark.parametrize("count", [0, 1, 2, 50, 200, 400, 1000])
def test_a_plan_of_any_size_fits_and_loses_nothing_silently(count: int) -> None:
    made = rendered(many(count), None, MARKER)
    assert len(made.body) <= 60_000 and len(made.listed) + len(made.hidden) == count
    assert ("not shown" in made.body) is bool(made.hidden)


@pytest.mark.parametrize("limit", [2_000, 5_000, 10_000, 30_000])
def test_a_smaller_limit_is_kept_too(limit: int) -> None:
    assert len(rendered(many(500), None, MARKER, limit).body) <= limit
    assert len(rendered(review_with("x" * 5000), None, MARKER, limit).body) <= limit


def test_fields_are_dropped_before_changes_are() -> None:
    made = rendered(many(150, Action.UPDATE, fields=10), None, MARKER)
    assert not made.hidden and "changes are shown without their fields" in made.body


def test_a_thousand_scopes_and_runs_fit() -> None:
    scopes = tuple(ScopeReview(f"scope-{i}", plan(scope=f"scope-{i}")) for i in range(1000))
    runs = [RunProgress(f"r{i}", f"scope-{i}", RunState.DONE, diagnosis="x" * 4000) for i in range(1000)]
    body = comment(Review(scopes), runs, MARKER)
    assert len(body) <= 60_000 and body.count("Final state: ") == 1


def test_a_scope_row_tells_new_invalid_and_unreadable_apart() -> None:
    body = comment(CASES["blocked"].review, None, MARKER)
    assert "| `edge` | invalid" in body and "| `home` | refused" in body and "| `pve` | not readable" in body
    assert "(new scope)" in comment(CASES["new-scope"].review, None, MARKER)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("shop-update", Verdict.BLOCKED),
        ("destroy-and-recreate", Verdict.BLOCKED),
        ("no-scope", Verdict.UNTOUCHED),
        ("nothing-to-do", Verdict.NOTHING),
    ],
)
def test_the_verdict_follows_from_the_facts(name: str, verdict: Verdict) -> None:
    assert CASES[name].review.verdict is verdict


def test_a_review_may_wait_be_unreadable_or_be_ready() -> None:
    one = plan(change())
    assert Review((ScopeReview("prod", one),)).verdict is Verdict.READY
    assert Review((ScopeReview("prod", one, waits=("x",)),)).verdict is Verdict.WAITS
    assert Review((ScopeReview("a", one), ScopeReview("b", unreadable="x"))).verdict is Verdict.UNREADABLE


def test_the_order_is_a_bounded_graph() -> None:
    body = comment(many(300), None, MARKER)
    graph = body[body.index("```mermaid") :]
    graph = graph[: graph.index("\n```")]
    assert graph.count(":::") <= 40 and '"and 20 more"' in graph
    assert read(body).images == 0
