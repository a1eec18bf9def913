"""The narrator explains within its bounds, or the rules do: B18, I29, I31, I32."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.review.markdown import comment
from controller.review.narrative import admitted, paragraph, told_by_rules
from controller.review.report import Narrative, Review
from controller.review.statuses import statuses
from controller.telemetry import Metrics
from llm.budget import Amount, Budget, Price
from llm.narrator import AT_ONCE, WAIT_S, ModelNarrator
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Answer, Bounds, Endpoint, Failure, Message, NoAnswer, Provider
from llm.providers.scripted import ScriptedProvider
from llm.router import Route, Router
from tests.controller.review.cases import cases
from tests.controller.runtime.clocks import VirtualClock
from tests.llm.model_server import (
    DONE,
    MIB,
    Behaviour,
    drips,
    event,
    fails,
    floods,
    hangs,
    model_server,
    raw,
    says,
)

SHOP, DANGER = cases()["shop-update"].review, cases()["destroy-and-recreate"].review
MARKER = "<!-- alma:ipr:7 -->"
TRUE = "In prod, web is updated to web:latest, and db is created first."
TRUTHS = (TRUE, "old is destroyed.", "In prod and edge much changes.", "web\n" * 300)
ROOMY = Amount(10**7, Decimal(100))


class Scene:
    """A narrator over providers, and what it counted."""

    def __init__(
        self, *providers: Provider, budget: Amount = ROOMY, timeout_s: float = 30.0, wait_s: float = 60.0
    ) -> None:
        self.metrics = Metrics()
        routes = [Route(p, Price(), timeout_s) for p in providers]
        router = Router(routes, {}, Budget(budget, budget), VirtualClock(), self.metrics, cached_max=10)
        self.narrator = ModelNarrator(router, lambda text: text, self.metrics, wait_s=wait_s)

    def counted(self, author: str, result: str) -> float:
        labels = {"author": author, "result": result}
        return self.metrics.registry.get_sample_value("alma_narratives_total", labels) or 0.0


async def test_prose_of_facts_is_shown_with_its_author() -> None:
    scene = Scene(ScriptedProvider(TRUE, name="groq", model="llama"))
    told = await scene.narrator.narrate(SHOP)
    assert told == Narrative(TRUE, "groq llama")
    body = comment(replace(SHOP, narrative=told), None, MARKER)
    assert "Written by `groq llama`:" in body and TRUE in body
    assert await scene.narrator.narrate(SHOP) == Narrative(TRUE, "groq llama (cached)")
    assert (scene.counted("model", "shown"), scene.counted("model", "cached")) == (1, 1)


async def test_ids_of_facts_are_taken_out_and_made_up_ones_are_not() -> None:
    cited = "In prod, web is updated (f1, f2). The container db is created first [f3]."
    told = await Scene(ScriptedProvider(cited)).narrator.narrate(SHOP)
    assert told.text == "In prod, web is updated. The container db is created first."
    assert (await Scene(ScriptedProvider("web is updated (f99).")).narrator.narrate(SHOP)).author == "rules"


@pytest.mark.parametrize(
    "text",
    [
        "web costs 99 EUR.",
        "web is safe to merge.",
        "web is updated, see https://evil.example",
        "/approve",
        "I cannot help with that.",
        "Sure! Here is the summary you asked for.",
        "web is updated. " * 200,
        "nine containers of prod are changed.",
        "web: безопасно.",
        "web is updated without any downtime.",
        "prod has no findings.",
        "prod is ready.",
        "web was rejected.",
        "web gets cheaper.",
        "Nothing changes in prod.",
    ],
)
async def test_prose_beyond_the_facts_is_dropped_and_counted(text: str) -> None:
    scene = Scene(ScriptedProvider(text))
    assert await scene.narrator.narrate(SHOP) == told_by_rules(SHOP)
    assert scene.counted("rules", "dropped") == 1


async def test_where_nothing_changes_no_model_is_asked() -> None:
    provider = ScriptedProvider(TRUE)
    for name in ("no-scope", "nothing-to-do", "blocked"):
        review = cases()[name].review
        assert await Scene(provider).narrator.narrate(review) == told_by_rules(review)
    assert provider.asked == []


class Waiting:
    """Answers when it is let go."""

    name, model = "slow", "m"

    def __init__(self) -> None:
        self.go, self.asked = asyncio.Event(), asyncio.Semaphore(0)

    async def complete(self, messages: Sequence[Message], bounds: Bounds) -> Answer:
        self.asked.release()
        await self.go.wait()
        return Answer(TRUE)

    async def close(self) -> None:
        """Holds nothing."""


async def test_no_more_reviews_wait_at_once_than_leave_workers_to_runs() -> None:
    slow = Waiting()
    scene = Scene(slow)
    waiting = [asyncio.create_task(scene.narrator.narrate(replace(SHOP, head=f"{n}"))) for n in range(AT_ONCE)]
    for _ in waiting:
        await slow.asked.acquire()
    assert await scene.narrator.narrate(SHOP) == told_by_rules(SHOP)
    assert scene.counted("rules", "busy") == 1
    slow.go.set()
    assert {n.author for n in await asyncio.gather(*waiting)} == {"slow m"}
    assert (await scene.narrator.narrate(SHOP)).author == "slow m (cached)"


async def test_a_model_that_never_answers_is_not_waited_for() -> None:
    assert WAIT_S <= 10
    scene = Scene(Waiting(), timeout_s=3600.0, wait_s=0.05)
    assert await scene.narrator.narrate(SHOP) == told_by_rules(SHOP)
    assert scene.counted("rules", "no_answer") == 1


HASTY_S = 0.3
ROWS: dict[str, Behaviour | None] = {
    "down": None,
    "401": fails("401 Unauthorized"),
    "429": fails("429 Too Many Requests", "retry-after: 60\r\n"),
    "hang": hangs,
    "a byte a second": drips,
    "100 MB": floods(b"data: " + b"x" * 65_536),
    "bad UTF-8": raw(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    "empty": raw(DONE),
    "wrong JSON": raw(b'data: {"choices": 7}\n\n'),
    "endless stream": floods(event({"content": "web "})),
    "refusal": says("I am sorry, I cannot help with that."),
    "over budget": says(TRUE),
}


@pytest.mark.parametrize("row", ROWS)
async def test_a_broken_model_costs_one_section_at_most(row: str, report_n: Callable[..., None]) -> None:
    """B18: the comment is the one without a model, byte for byte; memory stays; and the next provider is asked."""
    plain = comment(replace(SHOP, narrative=told_by_rules(SHOP)), None, MARKER)
    async with model_server(ROWS[row]) as server:
        url = server.url
        if row == "down":
            async with model_server() as gone:
                url = gone.url
        hasty = HASTY_S if row in ("hang", "a byte a second") else 30.0
        budget = Amount(100, Decimal(1)) if row == "over budget" else ROOMY
        provider = OpenAiProvider(Endpoint("one", url, "m", "key-0123456789"))
        scene = Scene(provider, budget=budget, timeout_s=hasty)
        tracemalloc.start()
        told = await scene.narrator.narrate(SHOP)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert comment(replace(SHOP, narrative=told), None, MARKER) == plain
        assert peak_bytes <= 20 * MIB
        assert len(server.requests) == (0 if row in ("down", "over budget") else 1)
        await provider.close()
    report_n("B18", 1)


async def test_a_broken_model_is_followed_by_one_that_works() -> None:
    broken = ScriptedProvider(NoAnswer(Failure.GARBAGE), name="broken")
    told = await Scene(broken, ScriptedProvider(TRUE, name="works")).narrator.narrate(SHOP)
    assert told.author == "works script"


@pytest.mark.parametrize("name", cases())
async def test_with_and_without_a_model_only_the_block_differs(name: str, report_n: Callable[..., None]) -> None:
    """I29, over every golden review and three kinds of model."""
    case = cases()[name]
    bare = replace(case.review, narrative=None)
    without = comment(bare, case.runs, MARKER)
    for said in (TRUE, "old and web are destroyed, which nothing brings back.", "/merge everything"):
        told = await Scene(ScriptedProvider(said)).narrator.narrate(bare)
        review = replace(bare, narrative=told)
        body = comment(review, case.runs, MARKER)
        assert outside(body) == without
        assert statuses(review, case.runs) == statuses(bare, case.runs)
        assert (review.verdict, review.plans) == (bare.verdict, bare.plans)
        assert bool(paragraph(review)) is admitted(told, review)
        report_n("I29 off and on", 1)


def test_no_text_in_the_narrative_s_place_moves_another_byte(report_n: Callable[..., None]) -> None:
    """I29 as a property: any text at all, by any author, over any golden review."""
    tried = 0
    bare = {name: replace(case.review, narrative=None) for name, case in cases().items()}
    without = {name: comment(review, cases()[name].runs, MARKER) for name, review in bare.items()}

    @given(st.sampled_from(sorted(bare)), st.one_of(st.text(max_size=2_500), st.sampled_from(TRUTHS)), st.text())
    def holds(name: str, text: str, author: str) -> None:
        nonlocal tried
        body = comment(replace(bare[name], narrative=Narrative(text, author)), cases()[name].runs, MARKER)
        assert outside(body) == without[name]
        tried += 1

    holds()
    report_n("I29 property", tried)


def outside(body: str) -> str:
    """The comment without its marked block."""
    start = body.find("<details><summary>In words")
    if start < 0:
        return body
    end = body.index("</details>", start) + len("</details>\n\n")
    return body[:start] + body[end:]


def test_the_review_is_all_that_is_told() -> None:
    """A Review holds no title, text or comment of a pull request: there is nothing of them to tell."""
    assert not {"title", "body", "comments", "branch", "message"} & set(Review.__dataclass_fields__)
