"""Minutes of the council, each statement told again in a model's words; what the rules say and vote stays (I29).

A model gets one member's points and returns prose. What names or counts anything that the points do not, judges, or
leaves out what the first point is about is dropped and counted (I31).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from controller.review.claims import claims_hold
from controller.review.inert import visible
from controller.review.narrative import says_only
from controller.review.report import Review
from controller.telemetry import Metrics
from controller.tools.council import Minutes, Statement, Vote
from llm.facts import Redact
from llm.prompts import in_tone
from llm.providers.provider import Bounds, Message
from llm.router import Router, Told

TASK = "council"
WAIT_S = 8.0  # for all members together
_SAID_MAX = 600
_BOUNDS = Bounds(tokens=250, characters=_SAID_MAX + 200, timeout_s=WAIT_S - 0.5)


class ModelSpeaker:
    """Fulfils `controller.tools.council.Speaker`. Never raises for what a model does, never waits longer than
    `wait_s`."""

    def __init__(self, router: Router, redact: Redact, metrics: Metrics, *, wait_s: float = WAIT_S) -> None:
        self._router, self._redact, self._metrics, self._wait_s = router, redact, metrics, wait_s

    async def put(self, minutes: Minutes, review: Review, tone: str = "") -> Minutes:
        system = in_tone(TASK, tone)
        asking = [asyncio.create_task(self._worded(s, review, system)) for s in minutes.statements]
        done, late = await asyncio.wait(asking, timeout=self._wait_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        pairs = zip(minutes.statements, asking, strict=True)
        worded = tuple(task.result() if task in done else plain for plain, task in pairs)
        return replace(minutes, statements=worded)

    async def _worded(self, plain: Statement, review: Review, system: Message) -> Statement:
        if plain.vote is Vote.ABSTAINS:
            return plain
        messages = (system, Message("user", self._facts(plain)))
        told = await self._router.ask(TASK, review.head, messages, _BOUNDS)
        if told is None:
            return self._instead(plain, "no_answer")
        if not _is_true(told.text, plain, review):
            return self._instead(plain, "dropped")
        self._metrics.count("alma_narratives", "model", "cached" if told.cached else "shown")
        return replace(plain, words=" ".join(told.text.split()), author=_named(told))

    def _facts(self, plain: Statement) -> str:
        """The points of one member, redacted: names and words of rules, no file, title or comment (I30)."""
        points = [visible(self._redact(p.text), 300) for p in plain.points[:6]]
        told = {
            "member": plain.member.name,
            "concern": plain.member.concern,
            "vote": plain.vote.value,
            "points": points,
        }
        return self._redact(json.dumps(told, ensure_ascii=False))

    def _instead(self, plain: Statement, why: str) -> Statement:
        self._metrics.count("alma_narratives", "rules", why)
        return plain


def _is_true(text: str, plain: Statement, review: Review) -> bool:
    """Its words are the member's, its claims the review's, and the heaviest point's resource is named."""
    first = plain.points[0].resource
    told = " ".join([plain.said, *(p.text for p in plain.points[:6])])
    names = {first.lower(), first.rpartition("/")[2].lower()}
    is_named = not first or any(n in text.lower() for n in names)
    return (
        len(text) <= _SAID_MAX
        and is_named
        and says_only(text, f"{told} {first.rpartition('/')[2]}")
        and claims_hold(text, review)
    )


def _named(told: Told) -> str:
    return f"{told.provider} {told.model}{' (cached)' if told.cached else ''}"
