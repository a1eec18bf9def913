"""The council: five views on one review, a rebuttal and a vote, all from the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.review.command_answer import told_answer
from controller.review.finding import Severity
from controller.review.report import Review, Verdict
from controller.tools.council import Minutes, Vote, convene, council_told, members
from tests.controller.review.cases import cases
from tests.controller.review.hostile import ACTS, PAYLOADS, read, review_with

CASES = {name: case.review for name, case in cases().items()}
SHOP = CASES["shop-update"]
MARKER = "<!-- alma:answer:1 -->"


def votes(minutes: Minutes) -> dict[str, Vote]:
    return {s.member.name: s.vote for s in minutes.statements}


def test_five_members_sit_there_each_with_views_of_its_own() -> None:
    assert {m.name for m in members()} == {"architect", "security", "cost", "performance", "compliance"}
    seen = [reason for m in members() for reason in m.reasons]
    assert len(seen) == len(set(seen)), "no reason is two members'"


def test_an_open_database_port_is_objected_to_and_who_speaks_of_it_joins() -> None:
    minutes = convene(SHOP, "")
    assert votes(minutes)["security"] is Vote.AGAINST
    [architect] = [s for s in minutes.statements if s.member.name == "architect"]
    assert architect.vote is Vote.UNLESS and architect.rebuttal
    assert any("127.0.0.1:5432:5432" in c for c in minutes.conditions)
    assert minutes.decision.startswith("Not as it is: the rules block it.")
    assert minutes.dissent and all("votes" in d for d in minutes.dissent)


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_the_rules_block_no_vote_lets_pass_and_no_vote_is_lost(name: str, report_n: Callable[..., None]) -> None:
    review = CASES[name]
    minutes = convene(review, "go?")
    assert minutes == convene(review, "go?"), "the same review gives the same minutes"
    if review.verdict is Verdict.BLOCKED:
        assert not minutes.decision.startswith("Yes")
    told = minutes.decision.partition("Votes: ")[2]
    assert sum(int(part.split()[0]) for part in told.rstrip(".").split(", ")) == len(members())
    against = {n for n, v in votes(minutes).items() if v is Vote.AGAINST}
    if minutes.decision.startswith("Yes"):
        assert against == {d.split()[0] for d in minutes.dissent}
    report_n("M32 sessions", 1)


def test_who_is_asked_speaks_first() -> None:
    first = {
        q: convene(SHOP, q).statements[0].member.name for q in ("Is it too expensive?", "and GDPR?", "fast?", "hm")
    }
    assert list(first.values()) == ["cost", "compliance", "performance", "architect"]


def test_nobody_votes_on_nothing() -> None:
    assert set(votes(convene(Review(), "")).values()) == {Vote.ABSTAINS}


def test_a_mild_review_is_let_pass() -> None:
    scopes = tuple(
        replace(s, audit=s.audit and replace(s.audit, findings=()), waits=(), compliance=()) for s in SHOP.scopes
    )
    minutes = convene(replace(SHOP, scopes=scopes, fail_on=Severity.CRITICAL), "")
    assert minutes.decision.startswith("Yes") and Vote.AGAINST not in votes(minutes).values()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: ascii(p[:20]))
def test_no_minutes_let_a_text_act(payload: str, report_n: Callable[..., None]) -> None:
    text = told_answer(council_told(convene(review_with(payload), payload)), MARKER)
    found = read(text)
    assert not ACTS.search(found.text) and not found.links and not found.images
    assert text.count("<!--") == 1 and len(text) <= 60_000
    assert not any(line.lstrip().startswith(("/", "alma ")) for line in text.splitlines())
    report_n("E25 answers", 1)
