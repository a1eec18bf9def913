"""Who puts things into words: the rules, or a model where the configuration names one. Part of the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from controller.install import Install
from controller.review.narrative import Narrator, told_by_rules
from controller.review.report import Narrative, Review
from controller.targets import resolve_own
from controller.tools.council import RuleSpeaker, Speaker
from llm.council import ModelSpeaker
from llm.narrator import ModelNarrator
from llm.opening import open_router


@dataclass(frozen=True, slots=True)
class Voices:
    """Who puts things into words: a review, and the council's statements."""

    narrator: Narrator
    speaker: Speaker


def voices_of(install: Install, environment: Mapping[str, str], stack: AsyncExitStack) -> Voices:
    """Those of the configuration: a model where `llm` names one, else the rules. Closed by `stack`."""
    if install.settings.llm is None:
        return Voices(PlainNarrator(), RuleSpeaker())
    router = open_router(
        install.settings.llm, resolve_own(install.settings, environment), install.clock, install.metrics
    )
    stack.push_async_callback(router.close)
    redact = install.redact.full
    return Voices(ModelNarrator(router, redact, install.metrics), ModelSpeaker(router, redact, install.metrics))


class PlainNarrator:
    """The narrative by rules alone: what the comment has when no model is configured."""

    async def narrate(self, review: Review) -> Narrative:
        return told_by_rules(review)
