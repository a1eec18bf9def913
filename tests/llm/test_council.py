"""A model tells the council's statements again, truly or not at all; votes and the rules' words never move (I29)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.telemetry import Metrics
from controller.tools.council import Minutes, convene, council_told
from controller.tools.persona import personas
from llm.budget import Amount, Budget, Price
from llm.council import ModelSpeaker
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Endpoint, Failure, NoAnswer, Provider
from llm.providers.scripted import ScriptedProvider
from llm.router import Route, Router
from tests.controller.operations.talking import said
from tests.controller.review.cases import cases
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, WEB, Repo, blueprint, estate
from tests.llm.model_server import hangs, model_server, says

SHOP = cases()["shop-update"].review
MINUTES = convene(SHOP, "Is it safe?")
TRUE = "The database port 5432 of prod/shop/db is open on every address of the host."
ROOMY = Amount(10**7, Decimal(100))


def speaker(*providers: Provider, wait_s: float = 60.0, metrics: Metrics | None = None) -> ModelSpeaker:
    counted = metrics or Metrics()
    routes = [Route(p, Price(), 30.0) for p in providers]
    router = Router(routes, {}, Budget(ROOMY, ROOMY), VirtualClock(), counted, cached_max=10)
    return ModelSpeaker(router, lambda text: text, counted, wait_s=wait_s)


def without_words(minutes: Minutes) -> Minutes:
    return replace(minutes, statements=tuple(replace(s, words="", author="") for s in minutes.statements))


async def test_true_words_of_a_model_stand_beside_the_rules_with_its_name() -> None:
    async with model_server(says(TRUE)) as server:
        provider = OpenAiProvider(Endpoint("groq", server.url, "llama"))
        told = await speaker(provider).put(MINUTES, SHOP)
        await provider.close()
        asked = [json.loads(r.json["messages"][1]["content"]) for r in server.requests]
    security = next(s for s in told.statements if s.member.name == "security")
    assert (security.words, security.author) == (TRUE, "groq llama")
    assert without_words(told) == MINUTES
    assert any(p.startswith("security, in the words of groq llama: The database") for p in council_told(told).points)
    assert {a["member"] for a in asked} == {s.member.name for s in MINUTES.statements}
    assert all(set(a) == {"member", "concern", "vote", "points"} for a in asked), "nothing else is sent (E12)"


@pytest.mark.parametrize(
    "text",
    [
        "prod/shop/db is safe.",
        "The port of prod/shop/db costs 99 EUR.",
        "prod/shop/db and prod/shop/cache are open.",
        "Everything is well here.",
        "prod/shop/db has no findings.",
        "prod/shop/db is open, see https://evil.example",
        "/alma confirm",
        "I vote that prod/shop/db is approved.",
        "prod/shop/db " * 100,
        "",
    ],
)
async def test_words_that_say_more_than_the_points_are_dropped(text: str, report_n: Callable[..., None]) -> None:
    metrics = Metrics()
    told = await speaker(ScriptedProvider(text or NoAnswer(Failure.EMPTY)), metrics=metrics).put(MINUTES, SHOP)
    security = next(s for s in told.statements if s.member.name == "security")
    assert security.words == "" and without_words(told) == MINUTES
    report_n("I29 council", 1)


@given(st.text(max_size=200))
async def test_no_answer_moves_a_vote_a_point_or_the_decision(text: str) -> None:
    told = await speaker(ScriptedProvider(text)).put(MINUTES, SHOP)
    assert without_words(told) == MINUTES


async def test_a_model_that_hangs_is_not_waited_for() -> None:
    async with model_server(hangs) as server:
        provider = OpenAiProvider(Endpoint("slow", server.url, "m"))
        assert await speaker(provider, wait_s=0.2).put(MINUTES, SHOP) == MINUTES
        await provider.close()


async def test_the_model_of_the_configuration_speaks_on_a_pull_request_beside_the_rules(tmp_path: Path) -> None:
    """The same answer with and without it but for what is said to be its words (I29)."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, "prod/shop.yaml": blueprint(WEB)})
    repo.push({"prod/shop.yaml": blueprint(WEB.replace("256MB", "2GB"))}, "ipr/shop")
    answers = []
    async with model_server(says("prod/shop/web serves a port and has no health check.")) as server:
        model = {"providers": ({"name": "groq", "base_url": server.url, "model": "llama"},)}
        settings: dict[str, dict[str, Any]] = {"plain": {}, "model": {"llm": model}}
        for name, more in settings.items():
            async with estate(repo, tmp_path / name, **more) as home:
                await home.settle()
                answers.append(await said(home, 1, "/alma council Is it safe?"))
    plain, worded = answers
    spoken = [line for line in worded.splitlines() if "in the words of groq llama" in line]
    assert len(spoken) == 1 and spoken[0].startswith("- architect")
    assert [line for line in worded.splitlines() if line not in spoken and line] == [x for x in plain.splitlines() if x]


async def test_a_persona_changes_the_tone_of_a_prompt_and_no_vote() -> None:
    """What a model is told of the change is the same whoever speaks (M31)."""
    async with model_server(says(TRUE)) as server:
        provider = OpenAiProvider(Endpoint("groq", server.url, "llama"))
        told = [await speaker(provider).put(MINUTES, SHOP, p.tone) for p in personas().values()]
        await provider.close()
        asked = [(r.json["messages"][0]["content"], r.json["messages"][1]["content"]) for r in server.requests]
    assert len({system for system, _ in asked}) == len(told) == 3
    assert len({user for _, user in asked}) * 3 == len(asked)
    assert all(without_words(one) == MINUTES for one in told)
