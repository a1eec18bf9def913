"""The council: members with views of their own judge a review in a statement, a rebuttal and a vote; dissent is kept.

A member is a file in `members/`: which reasons of findings and which facts are its own, and from which severity on it
sets conditions or votes against. All of it follows from the review; the result is advice and changes no verdict.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Protocol

from controller.review.finding import Finding, Severity
from controller.review.report import Review, Verdict
from controller.review.rules import RULES
from controller.review.told import Told
from controller.review.wording import many
from controller.tools.mending import has_mend
from controller.tools.viewpoints import FACTS, Point

_POINTS_MAX = 4
_REASON_OF = {r.id: r.reason.value for r in RULES}


class Vote(StrEnum):
    FOR = "for"
    UNLESS = "with conditions"
    AGAINST = "against"
    ABSTAINS = "abstains"


@dataclass(frozen=True, slots=True)
class Member:
    """Who sits there. `against_from`, `unless_from`: the severity of a point of its own from which it votes so."""

    name: str
    place: int
    speaks_when: str
    concern: str
    facts: tuple[str, ...]
    reasons: frozenset[str]
    against_from: Severity
    unless_from: Severity


@dataclass(frozen=True, slots=True)
class Statement:
    """What one member says and how it votes. `first` is the vote before it heard the others. `words`: the same in a
    model's words, shown beside and never instead; `author` is that model."""

    member: Member
    points: tuple[Point, ...]
    first: Vote
    said: str
    rebuttal: str = ""
    vote: Vote = Vote.ABSTAINS
    words: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Minutes:
    """A session. `decision` is one sentence; `dissent` names those who voted otherwise."""

    question: str
    statements: tuple[Statement, ...]
    decision: str
    conditions: tuple[str, ...]
    dissent: tuple[str, ...]


class Speaker(Protocol):
    """May put statements into words besides. It fills `words` and `author` and leaves all else as it is (I29). `tone`
    is a sentence on how to speak."""

    async def put(self, minutes: Minutes, review: Review, tone: str = "") -> Minutes: ...


class RuleSpeaker:
    """The rules' own words are enough."""

    async def put(self, minutes: Minutes, review: Review, tone: str = "") -> Minutes:
        return minutes


def convene(review: Review, question: str) -> Minutes:
    """One session about a review. The same review and question give the same minutes."""
    seated = sorted(members(), key=lambda m: (not _is_asked(m, question), m.place))
    opened = [_statement(m, review) for m in seated]
    heard = [_rebutted(s, opened) for s in opened]
    decision, yes = _decision(heard, review)
    open_points = [p for s in heard for p in s.points if p.settle and p.weight.rank >= s.member.unless_from.rank]
    conditions = dict.fromkeys(f"{p.resource}: {p.settle}" if p.resource else p.settle for p in _heaviest(open_points))
    against = (Vote.AGAINST,) if yes else (Vote.FOR, Vote.UNLESS)
    dissent = tuple(f"{s.member.name} votes {s.vote.value}: {s.points[0].text}" for s in heard if s.vote in against)
    return Minutes(question, tuple(heard), decision, tuple(conditions), dissent)


@cache
def members() -> tuple[Member, ...]:
    """Everyone with a file."""
    folder = resources.files("controller.tools.members")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(_member(f.name.removesuffix(".toml"), f.read_text("utf-8")) for f in files)


def _member(name: str, text: str) -> Member:
    told = tomllib.loads(text)
    return Member(
        name,
        told["place"],
        told["speaks_when"],
        told["concern"],
        tuple(told["facts"]),
        frozenset(told["reasons"]),
        Severity(told["against_from"]),
        Severity(told["unless_from"]),
    )


def _is_asked(member: Member, question: str) -> bool:
    return bool(re.search(rf"(?i)\b(?:{member.speaks_when})\b", question[:1_000]))


# --- statements ---


def _statement(member: Member, review: Review) -> Statement:
    points = [p for name in member.facts for p in FACTS[name](review)]
    points += [_point(f) for s in review.scopes if s.audit for f in s.audit.notable if _is_its(member, f)]
    points = _heaviest(points)
    if not points:
        return Statement(member, (), Vote.ABSTAINS, f"Nothing here is about {member.concern}.")
    said = " ".join(p.text for p in points[:_POINTS_MAX])
    more = f" And {many(len(points) - _POINTS_MAX, 'more point')}." if len(points) > _POINTS_MAX else ""
    return Statement(member, tuple(points), _vote(member, points), said + more)


def _is_its(member: Member, finding: Finding) -> bool:
    return _REASON_OF.get(finding.rule) in member.reasons


def _point(f: Finding) -> Point:
    return Point(f"{f.resource} {f.message} ({f.rule}).", f.severity, f.resource, f.fix, has_mend(f))


def _heaviest(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda p: -p.weight.rank)


def _vote(member: Member, points: Sequence[Point]) -> Vote:
    worst = max(p.weight.rank for p in points)
    if worst >= member.against_from.rank:
        return Vote.AGAINST
    return Vote.UNLESS if worst >= member.unless_from.rank else Vote.FOR


# --- rebuttal and vote ---


def _rebutted(mine: Statement, all_: Sequence[Statement]) -> Statement:
    """After hearing the others once. Whoever speaks of a resource that another objects to takes the objection over as
    a condition; whose own objections are all mended by one commit says so and still holds them until it is there."""
    if mine.first is Vote.ABSTAINS:
        return replace(mine, rebuttal="Has nothing to add.", vote=Vote.ABSTAINS)
    objections = [
        (s, p)
        for s in all_
        if s.first is Vote.AGAINST and s is not mine
        for p in s.points
        if p.weight.rank >= s.member.against_from.rank
    ]
    if mine.first is Vote.AGAINST:
        heavy = [p for p in mine.points if p.weight.rank >= mine.member.against_from.rank]
        mendable = all(p.has_mend for p in heavy)
        text = "One commit mends it: the verb fix." if mendable else "Holds it until a person has settled it."
        return replace(mine, rebuttal=text, vote=Vote.AGAINST)
    own = {p.resource for p in mine.points if p.resource}
    shared = next((s.member.name for s, p in objections if p.resource in own), "")
    if shared and mine.first is Vote.FOR:
        return replace(mine, rebuttal=f"Joins {shared}: it is about the same resource.", vote=Vote.UNLESS)
    if objections:
        names = ", ".join(dict.fromkeys(s.member.name for s, _ in objections))
        return replace(mine, rebuttal=f"Hears {names}; nothing of it is about {mine.member.concern}.", vote=mine.first)
    return replace(mine, rebuttal="Hears no objection.", vote=mine.first)


def _decision(heard: Sequence[Statement], review: Review) -> tuple[str, bool]:
    """The sentence, and whether it is a yes. What the rules block, no vote lets pass."""
    counts = {v: sum(1 for s in heard if s.vote is v) for v in Vote}
    told = ", ".join(f"{n} {v.value}" for v, n in counts.items() if n)
    if review.verdict is Verdict.BLOCKED:
        return f"Not as it is: the rules block it. Votes: {told}.", False
    if counts[Vote.AGAINST] > counts[Vote.FOR] + counts[Vote.UNLESS]:
        return f"Not as it is. Votes: {told}.", False
    if counts[Vote.AGAINST] or counts[Vote.UNLESS]:
        return f"Yes, once the conditions are met. Votes: {told}.", True
    return f"Yes. Votes: {told}.", True


def council_told(minutes: Minutes) -> Told:
    """Minutes for people."""
    asked = (f"Asked: {minutes.question}",) if minutes.question else ()
    rows = tuple((s.member.name, s.vote.value, s.said, s.rebuttal) for s in minutes.statements)
    points = [f"Condition: {c}" for c in minutes.conditions[:10]]
    points += [f"Dissent: {d}" for d in minutes.dissent]
    points += [f"{s.member.name}, in the words of {s.author}: {s.words}" for s in minutes.statements if s.words]
    said = (*asked, minutes.decision, "It is advice: status, plan and cost stay as they are.")
    return Told("Council", said, ("Member", "Vote", "Says", "Answers"), rows, tuple(points))
