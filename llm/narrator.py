"""Review → Narrative, told by a model where one is configured and does it well; else by rules (I29, I32).

The model gets facts and returns prose; it has no tool, no memory and no say. Whatever it returns is judged by
`controller.review.narrative`: what that does not admit is dropped and counted, and the rules' own words stand there.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from controller.plan.step import Action
from controller.review.narrative import LENGTH_MAX, admitted, told_by_rules
from controller.review.report import Narrative, Review
from controller.telemetry import Metrics
from controller.tools.persona import persona_of
from llm.facts import Redact, facts
from llm.prompts import in_tone
from llm.providers.provider import Bounds, Message
from llm.router import Router, Told

TASK = "narrate"
WAIT_S = 8.0  # that a comment may come later than without a model; the row allows 10
AT_ONCE = 4  # reviews that wait for a model: the loop's other workers stay free for runs
_CITED = re.compile(r"\s*[(\[](f\d+(?:, ?f\d+)*)[)\]]")
# Sooner than the whole wait, so that a provider that hangs is seen to fail and left alone.
_BOUNDS = Bounds(tokens=500, characters=LENGTH_MAX + 500, timeout_s=WAIT_S - 0.5)


class ModelNarrator:
    """Fulfils `controller.review.narrative.Narrator`. Never raises for what a model does, never waits longer than
    `wait_s`."""

    def __init__(self, router: Router, redact: Redact, metrics: Metrics, *, wait_s: float = WAIT_S) -> None:
        self._router, self._redact, self._metrics, self._wait_s = router, redact, metrics, wait_s
        self._waiting = 0

    async def narrate(self, review: Review) -> Narrative:
        plain = told_by_rules(review)
        if not any(p.changes for p in review.plans):
            return plain  # nothing to explain
        if self._waiting >= AT_ONCE:
            return self._instead(plain, "busy")
        told = await self._asked(review)
        if told is None:
            return self._instead(plain, "no_answer")
        said = Narrative(told.text, f"{told.provider} {told.model}{' (cached)' if told.cached else ''}")
        if not admitted(said, review):
            return self._instead(plain, "dropped")
        self._metrics.count("alma_narratives", "model", "cached" if told.cached else "shown")
        return said

    async def _asked(self, review: Review) -> Told | None:
        known = facts(review, self._redact)
        messages = (in_tone(TASK, _tone(review)), Message("user", known))
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                told = await self._router.ask(TASK, review.head, messages, _BOUNDS)
        except TimeoutError:
            return None
        finally:
            self._waiting -= 1
        return told and replace(told, text=_without_ids(told.text, known))

    def _instead(self, plain: Narrative, why: str) -> Narrative:
        self._metrics.count("alma_narratives", "rules", why)
        return plain


def _tone(review: Review) -> str:
    """What is all new is told as by who creates, anything else as by who deploys."""
    is_new = all(c.effect.action is Action.CREATE for p in review.plans for c in p.changes)
    persona = persona_of("create" if is_new else "deploy")
    return persona.tone if persona else ""


def _without_ids(text: str, known: str) -> str:
    """`text` without the ids of facts that were sent. Any other id stays, and is a name that no fact holds."""
    count = known.count("\n") + 1

    def given(found: re.Match[str]) -> str:
        numbers = [int(i) for i in re.findall(r"\d+", found[1][:200])]
        return "" if all(1 <= n <= count for n in numbers) else found[0]

    return _CITED.sub(given, text)
