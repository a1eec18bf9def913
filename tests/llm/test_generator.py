"""A blueprint from words: a model's where it is valid, its mistakes sent back, else the template's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import ScopeConfig
from controller.review.price_book import default_book
from controller.targets import kinds_of
from controller.telemetry import Metrics
from controller.tools.authoring import Constraints, CreateTakes
from controller.tools.tool import Ground
from llm.budget import Amount, Budget, Price
from llm.generator import TRIES, by_template, generated
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Endpoint, Failure, NoAnswer, Provider
from llm.providers.scripted import ScriptedProvider
from llm.router import Route, Router
from tests.controller.runtime.clocks import VirtualClock
from tests.llm.model_server import model_server, says

GROUND = Ground(default_book(), date(2026, 11, 21), kinds_of({"docker": ("docker",), "simulation": ("simulation",)}))
WISH = CreateTakes(description="a small redis cache")
SPECS = {"image": "redis:7.4", "memory": "256MB", "cpu": 1, "volumes": ["data:/data"], "restart": "unless-stopped"}
CACHE = {
    "name": "cache",
    "provider": "docker",
    "resources": [
        {"name": "data", "type": "volume", "specs": {"size": "1GB"}},
        {"name": "redis", "type": "container", "dependencies": ["data"], "specs": SPECS},
    ],
}
GOOD = json.dumps(CACHE)
MISNAMED = GOOD.replace('"memory"', '"memroy"')
OPEN = GOOD.replace('"cpu": 1', '"cpu": 1, "privileged": true')
ROOMY = Amount(10**9, Decimal(100))


def router(provider: Provider) -> Router:
    routes = [Route(provider, Price(), 30.0)]
    return Router(routes, {}, Budget(ROOMY, ROOMY), VirtualClock(), Metrics(), cached_max=10)


def loads(text: str) -> set[str]:
    return {e.name for e in load_scope({"a.yaml": text.encode()}, ScopeConfig("prod", ".")).entries}


async def test_a_valid_answer_is_the_blueprint() -> None:
    async with model_server(says(f"Here it is: {GOOD}")) as server:
        provider = OpenAiProvider(Endpoint("ollama", server.url, "qwen"))
        made = await generated(WISH, GROUND, router(provider), lambda t: t, Metrics())
        await provider.close()
        [request] = server.requests
    assert loads(made.blueprint) == {"data", "redis"} and made.notes[0].startswith("by ollama qwen, about ")
    sent = json.loads(request.json["messages"][1]["content"])
    assert sent["request"] == WISH.description and sent["mistakes"] == []


@pytest.mark.parametrize(
    ("first", "mistake"), [(MISNAMED, "memroy"), (OPEN, "privileged"), ("sorry, no", "no JSON object"), ("{", "JSON")]
)
async def test_a_mistake_is_sent_back_and_mended(first: str, mistake: str, report_n: Callable[..., None]) -> None:
    provider = ScriptedProvider(first, GOOD)
    made = await generated(WISH, GROUND, router(provider), lambda t: t, Metrics())
    assert loads(made.blueprint) == {"data", "redis"}
    assert mistake in provider.asked[1][1].text and len(provider.asked) == 2
    report_n("M24 repairs", 1)


@pytest.mark.parametrize("answer", [MISNAMED, OPEN, "no", NoAnswer(Failure.TIMEOUT)])
async def test_without_a_valid_answer_the_template_stands(answer: str | NoAnswer) -> None:
    provider = ScriptedProvider(answer)
    made = await generated(WISH, GROUND, router(provider), lambda t: t, Metrics())
    assert made.blueprint == by_template(WISH, GROUND).blueprint
    assert made.notes[0] == "no model gave a valid blueprint" and len(provider.asked) <= TRIES


async def test_a_cost_above_the_limit_is_a_mistake() -> None:
    dear = CreateTakes(description="cache", constraints=Constraints(max_cost=Decimal("0.01")))
    provider = ScriptedProvider(GOOD)
    await generated(dear, GROUND, router(provider), lambda t: t, Metrics())
    assert "it costs more than 0.01 a month" in provider.asked[1][1].text


@given(st.text(max_size=300))
async def test_no_answer_makes_an_invalid_blueprint(text: str) -> None:
    made = await generated(WISH, GROUND, router(ScriptedProvider(text)), lambda t: t, Metrics())
    assert loads(made.blueprint)
