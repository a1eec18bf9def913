"""E12: what a model is sent. Named fields only, no secret in any form, bounded, to the configured host, key in one
place."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from urllib.parse import quote

import pytest

from controller.redact import Redactor, forms
from controller.review.report import Review
from controller.telemetry import Metrics
from controller.tools.persona import personas
from llm.budget import Amount, Budget, Price
from llm.facts import FACTS_CHARS_MAX, FIELDS, facts
from llm.narrator import ModelNarrator
from llm.prompts import in_tone
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Endpoint
from llm.router import Route, Router
from tests.controller.review.cases import cases
from tests.controller.review.hostile import PAYLOADS, review_with
from tests.controller.runtime.clocks import VirtualClock
from tests.llm.model_server import ModelServer, Request, model_server

CANARY = "CanaryPa55word+of/the=estate"
KEY = "key-of-the-model-0123456789"
REDACT = Redactor(lambda: (CANARY, KEY)).full
ENCODED = (
    CANARY,
    base64.b64encode(CANARY.encode()).decode(),
    base64.urlsafe_b64encode(b"user:" + CANARY.encode()).decode(),
    CANARY.encode().hex(),
    quote(CANARY, safe=""),
    json.dumps(json.dumps(CANARY)),
    CANARY.lower(),
    f"postgres://app:{CANARY}@db/app",
    f"{CANARY[:14]}\n  {CANARY[14:]}",
)
OURS = personas().values()
_REQUEST = {"model", "messages", "max_tokens", "temperature", "stream", "stream_options"}
_HEADERS = {"host", "accept", "authorization", "content-length", "content-type", "user-agent"}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


def asking(url: str) -> Router:
    roomy = Amount(10**9, Decimal(10**9))
    provider = OpenAiProvider(Endpoint("one", url, "m-1", KEY))
    return Router([Route(provider, Price(), 30.0)], {}, Budget(roomy, roomy), VirtualClock(), Metrics(), cached_max=0)


def hostile_reviews(count: int) -> list[Review]:
    """Each with a secret, in one of its forms, in the middle of an attack, in every field others can write."""
    chance = random.Random(12)  # the same every time
    made = []
    for number in range(count):
        secret, attack = ENCODED[number % len(ENCODED)], chance.choice(PAYLOADS)[:300]
        made.append(review_with(f"{number} {attack} {secret} {chance.choice(PAYLOADS)[:300]}"))
    return made


def assert_is_clean(request: Request, port: int) -> None:
    assert request.target == "/v1/chat/completions" and request.headers["host"] == f"127.0.0.1:{port}"
    assert set(request.headers) <= _HEADERS and set(request.json) == _REQUEST
    assert request.headers["authorization"] == f"Bearer {KEY}" and KEY not in request.body.decode()
    system, user = request.json["messages"]
    assert system["role"] == "system" and system["content"] in {in_tone("narrate", p.tone).text for p in OURS}
    assert set(user) == {"role", "content"} and len(user["content"]) <= FACTS_CHARS_MAX
    for number, line in enumerate(user["content"].splitlines(), 1):
        fact = json.loads(line)
        assert fact.pop("id") == f"f{number}"
        assert set(fact) - {"about"} <= FIELDS[fact["about"]]
    low = request.prompt.lower()
    assert not any(form in low for form in forms(CANARY))
    assert not any(form in "".join(low.split()) for form in forms(CANARY))


async def test_500_requests_hold_named_fields_and_no_secret(server: ModelServer, report_n: Callable[..., None]) -> None:
    router = asking(server.url)
    telling = ModelNarrator(router, REDACT, Metrics(), wait_s=30.0)
    reviews = [*hostile_reviews(500 - len(cases())), *(c.review for c in cases().values())]
    for review in reviews:
        await telling.narrate(review)
    explained = sum(1 for r in reviews if any(p.changes for p in r.plans))
    for review in hostile_reviews(500 - explained):
        await telling.narrate(review)
    await router.close()
    assert len(server.requests) == 500
    for request in server.requests:
        assert_is_clean(request, server.port)
    report_n("E12", len(server.requests))


def test_why_something_failed_is_never_told() -> None:
    """Errors of engines and of parsing quote whatever they met."""
    told = facts(cases()["blocked"].review, REDACT)
    assert [json.loads(line).get("outcome") for line in told.splitlines()][1:4] == ["invalid", "refused", "unreadable"]
    assert "connection" not in told and "max_disruption" not in told and "format" not in told


def test_the_facts_of_a_review_are_the_same_every_time() -> None:
    review = cases()["shop-update"].review
    assert facts(review, REDACT) == facts(review, REDACT)
    assert "web:latest" in facts(review, REDACT)


def test_what_is_sensitive_is_never_a_fact() -> None:
    told = facts(cases()["shop-update"].review, REDACT)
    assert "env.TOKEN: (secret) -> (secret)" in told
