"""A word of judgement may stand in prose only where the review judges so itself (I29)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.blueprint.entry import Disruption
from controller.plan.step import Action
from controller.review.claims import CLAIMS, claims_hold
from controller.review.report import Review, ScopeReview
from tests.controller.review.cases import cases
from tests.controller.review.making import change, plan

CASES = cases()
SHOP, DANGER = CASES["shop-update"].review, CASES["destroy-and-recreate"].review
BLOCKED, NOTHING = CASES["blocked"].review, CASES["nothing-to-do"].review
CALM = Review((ScopeReview("prod", plan(change(action=Action.CREATE, disruption=Disruption.NONE))),))
CHEAPER = replace(
    SHOP,
    scopes=tuple(
        replace(s, cost=replace(s.cost, total_before=s.cost.total_after, total_after=s.cost.total_before))
        for s in SHOP.scopes
        if s.cost
    ),
)
# What is claimed, a review it is true of, and one it is not.
TOLD: tuple[tuple[str, Review, Review], ...] = (
    ("prod is blocked by a finding", SHOP, CALM),
    ("the rule blocks it", SHOP, CALM),
    ("prod is ready", CALM, SHOP),
    ("home is refused", BLOCKED, SHOP),
    ("edge is invalid", BLOCKED, SHOP),
    ("pve is unreachable", BLOCKED, SHOP),
    ("a finding is waived until then", SHOP, CALM),
    ("nothing changes in prod", NOTHING, SHOP),
    ("no resource is changed", NOTHING, CALM),
    ("web comes without any downtime", CALM, SHOP),
    ("there is no interruption", CALM, DANGER),
    ("prod has no findings", CALM, SHOP),
    ("there is no extra cost", CALM, SHOP),
    ("web is free", CALM, SHOP),
    ("prod gets cheaper", CHEAPER, SHOP),
    ("web is more expensive", SHOP, CHEAPER),
    ("the cost rises", SHOP, CALM),
    ("the cost drops", CHEAPER, SHOP),
)


@pytest.mark.parametrize(("text", "true_of", "false_of"), TOLD, ids=[t for t, _, _ in TOLD])
def test_a_claim_stands_only_where_it_is_so(
    text: str, true_of: Review, false_of: Review, report_n: Callable[..., None]
) -> None:
    assert claims_hold(text, true_of) and not claims_hold(text, false_of)
    report_n("I29 claims", 2)


def test_every_claim_is_made_by_some_text_above() -> None:
    unused = [c.words.pattern for c in CLAIMS if not any(c.words.search(text) for text, _, _ in TOLD)]
    assert unused == []


def test_plain_words_claim_nothing() -> None:
    assert claims_hold("In prod, web is updated and then restarted; db is created before it.", SHOP)
