"""Answers to commands: short, literal, and clear about what was not done."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from controller.plan.health import HealthState, SyncState
from controller.review import command_answer as answer
from controller.review.command_answer import ScopeStatus, Verb, VerbKind
from controller.review.report import Review
from controller.review.told import Told
from tests.controller.review.cases import cases
from tests.controller.review.hostile import ACTS, PAYLOADS, read, review_with

MARKER = "<!-- alma:answer:1 -->"
VERBS = (
    Verb("help", VerbKind.READ, "help", "this list"),
    Verb("plan", VerbKind.READ, "plan", "plan again, now"),
    Verb("confirm", VerbKind.ACT, "confirm DIGEST", "let a waiting run go on"),
)
SHOP = cases()["shop-update"].review


def test_help_lists_the_verbs_that_work_by_what_they_may_do() -> None:
    text = answer.help_answer(VERBS, MARKER)
    assert text.startswith(MARKER) and "- `/alma confirm DIGEST`: let a waiting run go on" in text
    assert text.index("/alma plan") < text.index("Acts; needs the role")
    assert "Changes this branch" not in text


def test_an_unknown_verb_gets_the_nearest_one() -> None:
    text = answer.unknown_answer("confrim", VERBS, MARKER)
    assert "does not know `confrim`" in text and "Did you mean `/alma confirm DIGEST`?" in text
    assert "Did you mean" not in answer.unknown_answer("zzzz", VERBS, MARKER)


def test_a_refusal_says_who_what_and_why_and_that_nothing_was_done() -> None:
    text = answer.refused_answer("confirm", "ann", "it needs the role operate", MARKER)
    assert "`/alma confirm` by `ann` was refused: it needs the role operate" in text and "Nothing was done." in text


def test_plan_audit_cost_and_order_answer_from_the_review() -> None:
    assert "prod/shop/web" in answer.plan_answer(SHOP, MARKER) and "1 to create" in answer.plan_answer(SHOP, MARKER)
    assert "database-port-public" in answer.audit_answer(SHOP, MARKER)
    assert "Cost per month" in answer.cost_answer(SHOP, MARKER)
    assert "```mermaid" in answer.order_answer(SHOP, MARKER)
    empty = Review()
    assert "Nothing was audited." in answer.audit_answer(empty, MARKER)
    assert "Nothing was priced." in answer.cost_answer(empty, MARKER)
    assert "no order to show" in answer.order_answer(empty, MARKER)


@pytest.mark.parametrize("name", ["prod/shop/web", "shop/web", "web"])
def test_explain_takes_a_resource_by_any_of_its_names(name: str) -> None:
    text = answer.explain_answer(SHOP, name, MARKER)
    assert "#### `prod/shop/web`" in text and "It runs after `prod/shop/db`." in text and "is put back" in text


def test_explain_of_an_unknown_resource_names_what_is_near() -> None:
    text = answer.explain_answer(SHOP, "prod/shop/wep", MARKER)
    assert "is about `prod/shop/wep`" in text and "Near it: `prod/shop/web`" in text


def test_status_shows_trouble_first() -> None:
    good = ScopeStatus("a", SyncState.SYNCED, HealthState.HEALTHY, "0123456789abcdef")
    bad = ScopeStatus("b", SyncState.OUT_OF_SYNC, HealthState.DEGRADED, drifted=2, run="run-1", paused="maintenance")
    text = answer.status_answer([good, bad], MARKER)
    assert text.index("| `b` |") < text.index("| `a` |") and "2 drifted" in text and "`0123456789ab`" in text
    many = answer.status_answer(
        [ScopeStatus(f"s{i}", SyncState.SYNCED, HealthState.HEALTHY) for i in range(5000)], MARKER
    )
    assert len(many) <= 60_000 and "more scopes" in many


def test_what_a_tool_found_always_fits_and_what_does_not_is_counted() -> None:
    long = tuple(f"prod/shop/web-{i} `x` | y" for i in range(5_000))
    text = answer.told_answer(Told("Found", long, ("a", "b"), tuple((n, n) for n in long), long), MARKER)
    assert len(text) <= 60_000 and re.search(r"… and [\d,]+ more\.", text) and re.search(r"- … and [\d,]+ more", text)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: ascii(p[:20]))
def test_no_answer_lets_a_text_act(payload: str, report_n: Callable[..., None]) -> None:
    review = review_with(payload)
    state = ScopeStatus(payload, SyncState.UNKNOWN, HealthState.UNKNOWN, payload, 1, payload, payload)
    texts = [
        answer.unknown_answer(payload, VERBS, MARKER),
        answer.refused_answer(payload, payload, payload, MARKER),
        answer.done_answer(payload, payload, MARKER),
        answer.plan_answer(review, MARKER),
        answer.audit_answer(review, MARKER),
        answer.cost_answer(review, MARKER),
        answer.order_answer(review, MARKER),
        answer.explain_answer(review, payload, MARKER),
        answer.explain_answer(review, payload + "?", MARKER),
        answer.status_answer([state], MARKER),
        answer.compliance_answer(review, MARKER),
        answer.capacity_answer(review, MARKER),
        answer.told_answer(Told("Found", (payload,), ("a", "b"), ((payload, payload),), (payload,)), MARKER),
    ]
    for text in texts:
        found = read(text)
        assert not ACTS.search(found.text) and not found.links and not found.images
        assert text.count("<!--") == 1 and len(text) <= 60_000
        assert not any(line.lstrip().startswith(("/", "alma ")) for line in text.splitlines())
    report_n("E25 answers", len(texts))
