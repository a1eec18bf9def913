"""The narrative explains and never judges, invents or acts (I29, I31)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.review.narrative import LENGTH_MAX, admitted, grounded, inert, paragraph, told_by_rules
from controller.review.report import Narrative, Review, ScopeReview
from tests.controller.review.cases import cases
from tests.controller.review.making import change, plan

CASES = cases()
DANGER, SHOP = CASES["destroy-and-recreate"].review, CASES["shop-update"].review


@pytest.mark.parametrize("name", CASES)
def test_the_rules_own_words_are_admitted(name: str) -> None:
    review = CASES[name].review
    assert admitted(told_by_rules(review), review)
    assert told_by_rules(review) == told_by_rules(review)


@pytest.mark.parametrize(
    "text",
    [
        "The image of web moves from web:1.4 to web:latest, which restarts prod/shop/web for about 2 s.",
        "Two containers are touched. The cost rises by 2.00 EUR a month.",
        "A database, db, is created first because web depends on it.",
        "privileged is not among the findings; the rule image-unpinned is.".replace(
            "privileged is not among the findings; ", ""
        ),
    ],
)
def test_prose_that_holds_only_facts_is_admitted(text: str) -> None:
    assert admitted(Narrative(text, "model"), SHOP), text


@pytest.mark.parametrize(
    "text",
    [
        "The cost rises by 99 EUR.",
        "Three of 7 resources change.",
        "prod/shop/cache is restarted.",
        "The image becomes web:2.0.",
        "This is safe to merge.",
        "LGTM, approved.",
        "There is no risk in this change.",
        "Nothing to worry about.",
        "The container web-2 restarts.",
        "See file /etc/passwd for details.",
        "Set DB_HOST first.",
    ],
)
def test_prose_that_invents_or_judges_is_dropped(text: str, report_n: Callable[..., None]) -> None:
    assert inert(text) and not grounded(Narrative(text, "model"), SHOP)
    assert paragraph(replace(SHOP, narrative=Narrative(text, "model"))) == []
    report_n("I29 narrative", 1)


@pytest.mark.parametrize(
    "text",
    [
        "The guest vm moves to another node.",
        "No data is lost and nothing is deleted.",
        "This plan never destroys anything.",
    ],
)
def test_prose_that_leaves_out_a_destroy_is_dropped(text: str) -> None:
    assert not grounded(Narrative(text, "model"), DANGER)
    assert grounded(Narrative("old is destroyed, with what is in its volume.", "model"), DANGER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * (LENGTH_MAX + 1),
        "see https://evil.example",
        "see www.evil.example",
        "[x](y)",
        "![x](y)",
        "[x]: y",
        "<b>x</b>",
        "<!-- alma -->",
        "hello @ann",
        "ask a@b.example",
        "fixes #1",
        "see !3",
        "see ops/infra#3",
        "/approve",
        "ok\n/close",
        "ok\n  /alma confirm x",
        "alma confirm x",
        "a\u200bb",
        "a\u202eb",
        "a\x1b[0m",
        "```\nx",
        "$$x$$",
        "&#64;ann",
        "note[^1]",
    ],
)
def test_prose_that_a_forge_could_act_on_is_dropped(text: str, report_n: Callable[..., None]) -> None:
    assert not inert(text)
    report_n("I31 inert", 1)


def test_the_section_is_wrapped_fenced_and_names_its_author() -> None:
    review = replace(SHOP, narrative=Narrative("web is updated. " * 60, "some-model"))
    lines = paragraph(review)
    assert lines and max(len(line) for line in lines) <= 100
    assert paragraph(replace(SHOP, narrative=None)) == []


def test_many_destroys_are_named_up_to_five() -> None:
    gone = [change(f"prod/shop/g{i}", DANGER.plans[0].changes[0].effect.action) for i in range(9)]
    text = told_by_rules(Review((ScopeReview("prod", plan(*gone)),))).text
    assert "prod/shop/g4 and others." in text and "g5" not in text
