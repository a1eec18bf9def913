"""What the JSON client promises of every forge: no secret, no redirect, no request before its time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import httpx2
import pytest

from controller.errors import InvalidInput
from controller.forges.address import base_url, repository_path
from controller.forges.forge import ForgeBinding, ForgeRefused, ForgeUnavailable
from controller.forges.gitea import GiteaForge
from controller.forges.http import ANSWER_BYTES_MAX, ForgeHttp
from tests.controller.forges.fake_forge import SECRET, TOKEN, VirtualClock
from tests.controller.forges.fake_gitea import FakeGitea

Handler = Callable[[httpx2.Request], httpx2.Response]


def client(
    handler: Handler, clock: VirtualClock, *, gap_s: float = 0.0, binding: ForgeBinding | None = None
) -> ForgeHttp:
    bound = binding or FakeGitea(clock).binding()
    headers = {"Authorization": f"token {TOKEN}"}
    transport = httpx2.MockTransport(handler)
    url, secrets = "https://git.example/api/v1", (TOKEN, SECRET)
    return ForgeHttp(url, headers, secrets, bound, write_gap_s=gap_s, transport=transport)


def answers(*responses: httpx2.Response) -> tuple[Handler, list[httpx2.Request]]:
    """One answer after the other, the last for ever; and what was asked."""
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        given = responses[min(len(seen), len(responses)) - 1]
        return httpx2.Response(given.status_code, headers=given.headers, content=given.content)

    return handle, seen


async def test_a_redirect_is_told_and_not_followed() -> None:
    handler, seen = answers(httpx2.Response(307, headers={"Location": "https://evil.example/x"}))
    with pytest.raises(ForgeRefused) as refused:
        await client(handler, VirtualClock()).get("user")
    assert len(seen) == 1
    assert refused.value.hint


async def test_no_environment_variable_puts_a_proxy_or_a_login_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    handler, seen = answers(httpx2.Response(200, json={}))
    await client(handler, VirtualClock()).get("user")
    assert seen[0].headers["Authorization"] == f"token {TOKEN}"


async def test_an_unchanged_answer_is_taken_from_memory() -> None:
    first = httpx2.Response(200, json={"id": 1}, headers={"ETag": '"a"'})
    handler, seen = answers(first, httpx2.Response(304), httpx2.Response(200, json={"id": 2}))
    http = client(handler, VirtualClock())
    read = [http.read(await http.get("user"))["id"].integer() for _ in range(4)]
    assert read == [1, 1, 2, 2]
    assert [request.headers.get("If-None-Match") for request in seen] == [None, '"a"', '"a"', None]


async def test_a_304_that_nobody_asked_for_is_no_answer() -> None:
    handler, _ = answers(httpx2.Response(304))
    http = client(handler, VirtualClock())
    with pytest.raises(ForgeUnavailable):
        http.read(await http.get("user"))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id":', b"\xff", b'{"id":NaN}', b"[" * 100_000])
async def test_half_an_answer_is_none(body: bytes) -> None:
    handler, _ = answers(httpx2.Response(200, content=body))
    http = client(handler, VirtualClock())
    with pytest.raises(ForgeUnavailable):
        http.read(await http.get("user"))


async def test_a_read_is_tried_again_a_few_times_and_a_write_never() -> None:
    clock = VirtualClock()
    handler, seen = answers(httpx2.Response(502), httpx2.Response(200, json={"id": 1}))
    assert (await client(handler, clock).get("user")).code == 200
    assert len(seen) == 2
    handler, seen = answers(httpx2.Response(502), httpx2.Response(200, json={"id": 1}))
    with pytest.raises(ForgeUnavailable):
        await client(handler, clock).send("POST", "user")
    assert len(seen) == 1


async def test_writes_go_one_at_a_time_and_apart() -> None:
    clock, at_s, busy = VirtualClock(), list[float](), 0

    async def handle(request: httpx2.Request) -> httpx2.Response:
        nonlocal busy
        busy += 1
        at_s.append(clock.now_s)
        await asyncio.sleep(0)
        assert busy == 1
        busy -= 1
        return httpx2.Response(201, json={})

    transport = httpx2.MockTransport(handle)
    http = ForgeHttp("https://git.example", {}, (), FakeGitea(clock).binding(), write_gap_s=1.0, transport=transport)
    await asyncio.gather(*(http.send("POST", "x", body={}) for _ in range(20)))
    assert all(later - sooner >= 1.0 for sooner, later in itertools.pairwise(at_s))


async def test_a_write_that_waited_for_its_turn_does_not_leave_through_a_closed_gate() -> None:
    clock = VirtualClock()
    handler, seen = answers(httpx2.Response(429, headers={"Retry-After": "90"}))
    http = client(handler, clock, gap_s=1.0)
    results = await asyncio.gather(*(http.send("POST", "x") for _ in range(5)), return_exceptions=True)
    assert len(seen) == 1
    assert all(isinstance(result, ForgeUnavailable) and result.retry_after_s > 80 for result in results)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 500, 502, 307])
async def test_no_secret_comes_out_of_an_error_in_any_form(code: int) -> None:
    said = f"{TOKEN} https://u:{TOKEN}@git.example {SECRET} {TOKEN.encode().hex()} \x1b[31m" + "y" * 10_000
    body = {"message": said}
    handler, _ = answers(httpx2.Response(code, json=body, headers={"Location": f"https://x/{TOKEN}"}))
    http = client(handler, VirtualClock())
    with pytest.raises((ForgeRefused, ForgeUnavailable)) as raised:
        await http.send("POST", "x", TOKEN)
    text = f"{raised.value} {raised.value.hint} {raised.value!r} {http!r}"
    assert not any(secret in text for secret in (TOKEN, SECRET, TOKEN.encode().hex(), "\x1b"))
    assert len(str(raised.value).encode()) <= 4096


async def test_a_failed_login_echoes_nothing() -> None:
    handler, _ = answers(httpx2.Response(401, json={"message": "user said hunter2"}))
    with pytest.raises(ForgeRefused) as refused:
        await client(handler, VirtualClock()).get("user")
    assert "hunter2" not in str(refused.value)


async def test_an_endless_answer_is_cut_off() -> None:
    handler, _ = answers(httpx2.Response(200, content=b" " * (ANSWER_BYTES_MAX + 1)))
    with pytest.raises(ForgeRefused, match="larger"):
        await client(handler, VirtualClock()).get("user")


async def test_every_request_is_counted_with_its_code_and_what_is_left() -> None:
    codes, left = list[str](), list[int]()
    binding = replace(FakeGitea().binding(), on_request=codes.append, on_remaining=left.append)
    handler, _ = answers(httpx2.Response(200, json={}, headers={"X-RateLimit-Remaining": "41"}), httpx2.Response(404))
    http = client(handler, VirtualClock(), binding=binding)
    await http.get("user")
    assert await http.find("user") is None
    assert (codes, left) == (["200", "404"], [41])


@pytest.mark.parametrize("segment", ["", ".", ".."])
async def test_a_name_cannot_leave_its_place_in_the_path(segment: str) -> None:
    handler, seen = answers(httpx2.Response(200))
    with pytest.raises(ForgeRefused):
        await client(handler, VirtualClock()).get("repos", segment, "x")
    assert seen == []


async def test_a_name_with_a_slash_stays_one_name() -> None:
    handler, seen = answers(httpx2.Response(200))
    await client(handler, VirtualClock()).get("users", "a/../../b?c#d")
    assert seen[0].url.raw_path == b"/api/v1/users/a%2F..%2F..%2Fb%3Fc%23d"


async def test_a_list_in_small_pages_is_read_whole_and_a_short_one_is_no_answer() -> None:
    def pages(total: int, size: int) -> Handler:
        def handle(request: httpx2.Request) -> httpx2.Response:
            start = (int(request.url.params["page"]) - 1) * size
            items = [{"id": i} for i in range(start, min(start + size, 25))]
            return httpx2.Response(200, json=items, headers={"X-Total-Count": str(total)})

        return handle

    assert len(await client(pages(25, 10), VirtualClock()).pages("x")) == 25
    assert len(await client(pages(26, 10), VirtualClock()).pages("x", whole=False)) == 25
    with pytest.raises(ForgeUnavailable, match="cut short"):
        await client(pages(26, 10), VirtualClock()).pages("x")


async def test_a_server_that_ignores_paging_is_asked_once_more_at_most() -> None:
    handler, seen = answers(httpx2.Response(200, json=[{"id": i} for i in range(120)]))
    assert len(await client(handler, VirtualClock()).pages("x")) == 120
    assert len(seen) == 2


def bound(url: str, git_url: str = "https://git.example/ops/infra.git", **config: object) -> ForgeBinding:
    return ForgeBinding("infra", git_url, "main", {"url": url, "token": TOKEN, **config})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git.example",
        "http://git.example",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.nip.io",
        "ftp://git.example",
        "https://user:pass@git.example",
        "https://git.example?x=1",
        "https://git.example#x",
        "https://:8080",
        "https://git.example:notaport",
        "https://[::1",
    ],
)
def test_a_forge_is_reached_over_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(InvalidInput):
        GiteaForge.open(bound(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example",
        "https://git.example/sub/",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "http://localhost",
    ],
)
def test_these_addresses_are_fine(url: str) -> None:
    assert base_url(bound(url)) == url.rstrip("/")


@pytest.mark.parametrize(
    ("git_url", "config", "path"),
    [
        ("https://git.example/ops/infra.git", {}, "ops/infra"),
        ("https://git.example/sub/ops/infra", {}, "ops/infra"),
        ("ssh://git@git.example:2222/ops/infra.git", {}, "ops/infra"),
        ("git@git.example:ops/infra.git", {}, "ops/infra"),
        ("https://mirror.example/x.git", {"repo": "ops/in.fra"}, "ops/in.fra"),
    ],
)
def test_the_repository_is_read_from_its_url_or_named(git_url: str, config: Mapping[str, object], path: str) -> None:
    assert str(repository_path(bound("https://git.example", git_url, **config))) == path


@pytest.mark.parametrize("git_url", ["https://git.example/infra.git", "/srv", "https://git.example/../..", ""])
def test_a_url_that_names_no_repository_is_an_error(git_url: str) -> None:
    with pytest.raises(InvalidInput):
        repository_path(bound("https://git.example", git_url))


def test_without_a_token_it_does_not_open() -> None:
    with pytest.raises(InvalidInput):
        GiteaForge.open(bound("https://git.example", token=""))
    with pytest.raises(InvalidInput):
        GiteaForge.open(bound("https://git.example", token=7))
