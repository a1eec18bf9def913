"""A provider over a real socket: what it sends, what it takes, and that every bad answer is one named failure."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from llm.providers.fence import ANSWER_BYTES_MAX
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Answer, Bounds, Endpoint, Failure, Message, NoAnswer, Usage
from llm.providers.registry import open_provider
from tests.llm.model_server import (
    DONE,
    MIB,
    Behaviour,
    ModelServer,
    drips,
    event,
    fails,
    floods,
    hangs,
    model_server,
    raw,
    says,
    usage,
)

KEY = "sk-canary-0123456789abcdef0123"
PROMPT = (Message("system", "Explain."), Message("user", '{"f1": "web"}'))
PATIENT, HASTY = Bounds(400, 2_000, 30.0), Bounds(400, 2_000, 0.2)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


async def asked(url: str, bounds: Bounds = PATIENT, key: str = KEY) -> Answer:
    provider = OpenAiProvider(Endpoint("one", url, "m-1", key))
    try:
        return await provider.complete(PROMPT, bounds)
    finally:
        await provider.close()


async def failure(url: str, bounds: Bounds = PATIENT) -> NoAnswer:
    with pytest.raises(NoAnswer) as told:
        await asked(url, bounds)
    return told.value


async def test_a_streamed_answer_is_put_together(server: ModelServer) -> None:
    assert await asked(server.url) == Answer("web is updated.", Usage(100, 20))


async def test_the_request_holds_what_it_is_meant_to_and_no_more(server: ModelServer) -> None:
    await asked(server.url)
    request = server.requests[0]
    assert request.target == "/v1/chat/completions"
    assert set(request.headers) == {"host", "accept", "authorization", "content-length", "content-type", "user-agent"}
    assert request.headers["authorization"] == f"Bearer {KEY}" and KEY.encode() not in request.body
    assert request.json == {
        "model": "m-1",
        "messages": [{"role": m.role, "content": m.text} for m in PROMPT],
        "max_tokens": 400,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_without_a_key_no_credential_is_sent(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    await asked(server.url, key="")
    request = server.requests[0]
    assert "authorization" not in request.headers and KEY not in str(request.headers)


async def test_the_environment_cannot_send_the_request_elsewhere(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model_server() as other:
        for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        await asked(server.url)
        assert len(server.requests) == 1 and other.requests == []


async def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    async with model_server() as other:
        server.behave = raw(b"", status="307 Temporary Redirect", headers=f"location: {other.url}/chat/completions\r\n")
        assert (await failure(server.url)).failure is Failure.DENIED
        assert other.requests == []


BAD: dict[str, tuple[Behaviour, Bounds, Failure]] = {
    "401": (fails("401 Unauthorized"), PATIENT, Failure.DENIED),
    "403": (fails("403 Forbidden"), PATIENT, Failure.DENIED),
    "429": (fails("429 Too Many Requests"), PATIENT, Failure.LIMITED),
    "404": (fails("404 Not Found"), PATIENT, Failure.FAILED),
    "500": (fails("500 Internal Server Error"), PATIENT, Failure.FAILED),
    "hang": (hangs, HASTY, Failure.TIMEOUT),
    "drip": (drips, HASTY, Failure.TIMEOUT),
    "100 MB of one line": (floods(b"x" * 65_536), PATIENT, Failure.TOO_LARGE),
    "100 MB of comments": (floods(b": still here\n\n" * 4_096), PATIENT, Failure.TOO_LARGE),
    "endless pieces without text": (floods(event({}) * 64), PATIENT, Failure.TOO_LARGE),
    "endless text": (floods(event({"content": "web "})), PATIENT, Failure.TOO_LARGE),
    "bad UTF-8": (raw(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n'), PATIENT, Failure.GARBAGE),
    "no JSON": (raw(b"data: {oops\n\n"), PATIENT, Failure.GARBAGE),
    "wrong JSON": (raw(b'data: {"choices": "yes"}\n\n'), PATIENT, Failure.GARBAGE),
    "a list": (raw(b"data: [1, 2]\n\n"), PATIENT, Failure.GARBAGE),
    "no delta": (raw(b'data: {"choices": [{}]}\n\n'), PATIENT, Failure.GARBAGE),
    "content that is a map": (raw(event({"content": {"a": 1}})), PATIENT, Failure.GARBAGE),
    "deep JSON": (raw(b"data: " + b"[" * 200_000 + b"\n\n"), PATIENT, Failure.GARBAGE),
    "wrong usage": (raw(event({"content": "x"}) + usage(-5, "many") + DONE), PATIENT, Failure.GARBAGE),
    "an error in the stream": (raw(b'data: {"error": {"message": "sk-x"}}\n\n'), PATIENT, Failure.GARBAGE),
    "empty": (raw(DONE), PATIENT, Failure.EMPTY),
    "nothing": (raw(b""), PATIENT, Failure.EMPTY),
    "blank": (says("  "), PATIENT, Failure.EMPTY),
    "a refusal": (raw(event({"refusal": "I will not."}) + DONE), PATIENT, Failure.EMPTY),
    "a tool call": (raw(event({"tool_calls": [{"index": 0, "id": "x"}]}) + DONE), PATIENT, Failure.EMPTY),
    "a web page": (raw(b"<html>x</html>", headers="content-type: text/html\r\n"), PATIENT, Failure.EMPTY),
    "a bomb": (
        raw(gzip.compress(b"data: x\n" * MIB), headers=f"{'content-encoding: gzip'}\r\n"),
        PATIENT,
        Failure.GARBAGE,
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_answer_is_one_named_failure(server: ModelServer, case: str) -> None:
    behave, bounds, expected = BAD[case]
    server.behave = behave
    told = await failure(server.url, bounds)
    assert told.failure is expected
    assert len(server.requests) == 1, "asked once"
    assert "sk-" not in str(told) and told.__cause__ is None


async def test_no_more_is_read_of_a_flood_than_the_bound(server: ModelServer) -> None:
    server.behave = floods(b"x" * 65_536)
    await failure(server.url)
    assert server.sent_bytes < ANSWER_BYTES_MAX + 16 * MIB  # what the sockets hold comes on top


async def test_an_endpoint_that_is_not_there_is_unreachable(server: ModelServer) -> None:
    async with model_server() as gone:
        url = gone.url
    assert (await failure(url)).failure is Failure.UNREACHABLE


@pytest.mark.parametrize(
    ("header", "seconds"), [("retry-after: 7\r\n", 7.0), ("retry-after: 99999999\r\n", 3600.0), ("", None)]
)
async def test_a_server_may_ask_for_a_pause_of_an_hour_at_most(
    server: ModelServer, header: str, seconds: float | None
) -> None:
    server.behave = fails("429 Too Many Requests", header)
    assert (await failure(server.url)).retry_after_s == seconds


def test_a_kind_is_found_by_its_entry_point() -> None:
    provider = open_provider("openai", Endpoint("one", "http://127.0.0.1:1/v1", "m", KEY))
    assert (provider.name, provider.model) == ("one", "m")
    assert KEY not in repr(provider)
