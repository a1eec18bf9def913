"""Prose about a review: written by rules, or by a model and then checked. The machine judges, the model explains.

Nothing here reads a model; `llm` brings a Narrator. What it writes is shown only if it is harmless as text (I31) and
says nothing the review does not (I29); else the deterministic sentences stand alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from controller.plan.change import Change
from controller.plan.step import Action
from controller.review.claims import claims_hold
from controller.review.inert import visible
from controller.review.report import (
    Narrative,
    Review,
    ScopeReview,
    Verdict,
    cost_text,
    counts_of,
    counts_text,
    disruption_text,
)
from controller.review.wording import field_sides, many, money_text, seconds_text

LENGTH_MAX = 2000
_WIDTH = 100  # columns: a fence does not wrap by itself


class Narrator(Protocol):
    """Writes about a review. May be slow, wrong or hostile: its text goes through `admitted`."""

    async def narrate(self, review: Review) -> Narrative: ...


def told_by_rules(review: Review) -> Narrative:
    """Plain sentences from the facts; the same review gives the same words."""
    parts = [_opening(review), _danger(review), _gap(review), _cost(review), _judgement(review)]
    return Narrative(" ".join(p for p in parts if p)[:LENGTH_MAX])


def _opening(review: Review) -> str:
    if not review.scopes:
        return "This pull request touches no scope."
    counts = counts_text(counts_of(review.plans))
    where = ", ".join(s.name for s in review.scopes[:5]) + (" and others" if len(review.scopes) > 5 else "")
    return f"In {where}: {counts}; the worst disruption is {disruption_text(review)}."


def _danger(review: Review) -> str:
    gone = [c for p in review.plans for c in p.changes if c.effect.action is Action.DESTROY]
    lost = [c for p in review.plans for c in p.changes if c.effect.lost]
    names = ", ".join(str(c.effect.resource) for c in gone[:5]) + (" and others" if len(gone) > 5 else "")
    text = f"Destroyed: {names}." if gone else ""
    return f"{text} {many(len(lost), 'change')} cannot be undone in full.".strip() if lost else text


def _gap(review: Review) -> str:
    down = [c for p in review.plans for c in p.changes if c.effect.down_s]
    if not down:
        return ""
    worst = max(down, key=lambda c: c.effect.down_s or 0)
    return f"The longest gap is about {seconds_text(worst.effect.down_s or 0)}, at {worst.effect.resource}."


def _cost(review: Review) -> str:
    text = cost_text(review)
    return f"Cost changes by {text}." if text and any(review.cost_change.values()) else ""


def _judgement(review: Review) -> str:
    if review.verdict is Verdict.BLOCKED:
        return "The rules block it."
    worst = [f for s in review.scopes if s.audit for f in s.audit.findings if f.severity is review.worst]
    return f"Worst finding: {worst[0].rule} at {worst[0].resource}." if worst else ""


_NOT_INERT = re.compile(
    r"""
      https?:// | www\. | ftp:// | mailto:                # link
    | !?\[[^\]]*\]\s*[\[(:] | ]\(                         # Markdown link, image, reference
    | <[!/?a-zA-Z]                                        # HTML, marker, autolink
    | (?:^|[\s(])@[\w-]                                   # mention
    | [\w.+-]+@[\w-]+\.[\w.]+                             # address
    | (?:^|[\s(])[\w./-]*[\#!]\d                          # reference
    | (?m:^\s*/[a-zA-Z])                                  # quick action, command
    | (?m:^\s*alma\s+[a-z]+)                              # command without a slash
    | `{3} | ~{3} | \$\$ | \$` | \[\^ | &\#?\w+;          # fence, math, footnote, entity
    """,
    re.VERBOSE | re.IGNORECASE,
)


def inert(text: str) -> bool:
    """I31: short enough, nothing hidden, and nothing a forge could make a link, image, mention, reference or command
    of."""
    lines = text.split("\n")
    return (
        0 < len(text.strip()) <= LENGTH_MAX
        and all(visible(line, LENGTH_MAX) == line for line in lines)
        and not _NOT_INERT.search(text)
    )


_JUDGING = re.compile(
    r"(?i)\b(?:safe(?:ly)?|harmless|approved?|lgtm|risk[- ]?free|no risks?|without risk|nothing to worry|can be merged"
    r"|ready to merge|good to go|compliant|secure|guaranteed?|recommend(?:ed)? merging|ignore"
    r"|please|trust(?:ed)?|trivial|routine|cosmetic|fine|okay|ok|should(?: be)? merged?|merge (?:it|this|now|away))\b"
)
_DESTROYING = re.compile(r"(?i)\b(?:destroy|delet|remov)\w*")
_NOTHING_GOES = re.compile(
    r"(?i)\b(?:no|nothing|none|not|never|without)\b[^.]{0,40}\b(?:destroy|delet|remov|lost|loss)\w*"
)


def grounded(narrative: Narrative, review: Review) -> bool:
    """True if every name, number and verdict in the prose is one the review holds, it speaks of this review, and it
    does not leave out that something is destroyed."""
    facts = facts_of(review)
    text = narrative.text
    if judging(text) or not claims_hold(text, review):
        return False
    if review.scopes and not _speaks_of(text, review):
        return False  # a refusal, a greeting: prose about nothing here
    if review.count(Action.DESTROY) and (not _DESTROYING.search(text) or _NOTHING_GOES.search(text)):
        return False
    return all(_known(word, facts) for word in _words(text))


def judging(text: str) -> bool:
    """True if the text passes a judgement, which is the machine's alone."""
    return bool(_JUDGING.search(text))


def says_only(text: str, said: str) -> bool:
    """True if `text` is harmless, judges nothing, and has no name and no number that `said` has not."""
    known = _known_words([said])
    return inert(text) and not judging(text) and all(_known(w, known) for w in _words(text))


def admitted(narrative: Narrative, review: Review) -> bool:
    """True if a narrative may be shown: harmless as text and true to the facts. False drops the section."""
    return inert(narrative.text) and grounded(narrative, review)


def paragraph(review: Review) -> list[str]:
    """The lines of the narrative section, indented and wrapped for a fence; none where it may not be shown."""
    if review.narrative is None or not admitted(review.narrative, review):
        return []
    lines = review.narrative.text.strip().splitlines()
    return [wrapped for line in lines for wrapped in textwrap.wrap(line, _WIDTH, initial_indent=" ") or [""]]


def _words(text: str) -> list[str]:
    return [w for w in (raw.strip(".,;:!?()'\"“”„`*…") for raw in text.split()) if w]


_NUMBER = re.compile(r"[+−±~≈-]?\d[\d.,]*%?")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


_COUNTS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_TOO_ROUND = frozenset(
    {
        "ten",
        "eleven",
        "twelve",
        "dozen",
        "dozens",
        "hundred",
        "hundreds",
        "thousand",
        "thousands",
        "million",
        "millions",
    }
)


def _known(word: str, facts: frozenset[str]) -> bool:
    """Plain English words are free; a number, in digits or words, and anything shaped like a name must be in the
    facts, and so must a word of letters that are not Latin."""
    low = word.lower()
    if low in facts:
        return True
    if _NUMBER.fullmatch(word):
        return _number(word) in facts
    if low in _COUNTS or low in _TOO_ROUND:
        return _COUNTS.get(low) in facts
    return bool(_WORD.fullmatch(word) and word.replace("’", "").isascii()) or not any(c.isalnum() for c in word)


def _speaks_of(text: str, review: Review) -> bool:
    subjects = _subjects(review)
    return any(w.lower() in subjects or w.lower() in _COUNTS or _NUMBER.fullmatch(w) for w in _words(text))


def _subjects(review: Review) -> frozenset[str]:
    """What prose about this review can be about: its scopes, resources and broken rules, lower case."""
    names = [str(c.effect.resource) for p in review.plans for c in p.changes]
    names += [name.rpartition("/")[2] for name in names]
    names += [f.rule for s in review.scopes if s.audit for f in s.audit.findings]
    return frozenset(n.lower() for n in (*names, *(s.name for s in review.scopes)))


def _number(text: str) -> str:
    digits = re.sub(r"[^\d.]", "", text).strip(".")
    return f"{Decimal(digits).normalize():f}" if digits.count(".") <= 1 else text


def facts_of(review: Review) -> frozenset[str]:
    """Every name and number the review holds, lower case; numbers in their shortest form, without sign."""
    texts = [s.name for s in review.scopes] + [disruption_text(review), cost_text(review), str(review.findings)]
    for plan in review.plans:
        texts += [str(plan.count(a)) for a in Action] + [str(len(plan.changes)), plan.digest[:12]]
        texts += [t for c in plan.changes for t in _change_texts(c)]
    for scope in review.scopes:
        texts += _audit_texts(scope)
        texts += _cost_texts(scope)
    texts += [str(n) for n in counts_of(review.plans).values()]
    texts += [str(sum(1 for p in review.plans for c in p.changes if c.effect.lost)), str(len(review.scopes))]
    return _known_words(texts)


def _known_words(texts: Iterable[str]) -> frozenset[str]:
    words = {w for text in texts for w in [text, *_words(text)]}
    return frozenset(_number(w) if _NUMBER.fullmatch(w) else w.lower() for w in words)


def _change_texts(change: Change) -> list[str]:
    e = change.effect
    texts = [str(e.resource), e.resource.name, f"{e.resource.blueprint}/{e.resource.name}", e.resource.blueprint]
    texts += [e.key.kind, e.key.name, change.target, e.reason, str(change.wave), *e.lost]
    texts += [seconds_text(e.down_s)] if e.down_s else []
    for field in e.fields:
        texts += [field.path, *(side.strip('"') for side in field_sides(field))]
    return texts


def _audit_texts(scope: ScopeReview) -> list[str]:
    if scope.audit is None:
        return []
    texts = [str(scope.audit.score), str(len(scope.audit.findings)), str(len(scope.audit.waived))]
    for f in scope.audit.findings:
        texts += [f.rule, f.resource, f.message, f.fix, str(f.place or "")]
    return texts


def _cost_texts(scope: ScopeReview) -> list[str]:
    if scope.cost is None:
        return []
    sums = [scope.cost.total_before, scope.cost.total_after, scope.cost.delta]
    for line in scope.cost.lines:
        sums += [line.before or Decimal(0), line.after or Decimal(0), line.delta]
    return [money_text(s, scope.cost.currency) for s in sums] + [str(len(scope.cost.unpriced))]
