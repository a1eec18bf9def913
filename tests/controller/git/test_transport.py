"""Over http: one login to one host, a push only where the branch was seen, and an end to every wait."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pygit2
import pytest
import trustme

from controller.errors import AlmaError, InvalidInput, RefusedByPolicy, Unreachable
from controller.git.credentials import GitCredentials, Stopped, TransferLimits
from controller.git.repository import Mirror
from controller.git.transport import Moved
from tests.controller.git.origin import SOMEONE, Origin
from tests.controller.git.smart_http import SmartHttp, smart_http

TOKEN = "t0ken-that-nobody-sees"


@pytest.fixture
def server(tmp_path: Path, origin: Origin) -> Iterator[SmartHttp]:
    origin.repo.config["http.receivepack"] = "true"
    with smart_http(tmp_path) as running:
        yield running


@pytest.fixture
async def opened(tmp_path: Path, server: SmartHttp) -> AsyncIterator[Callable[..., Mirror]]:
    mirrors: list[Mirror] = []

    def make(
        token: str | None = TOKEN, timeout_s: float = 30, max_bytes: int = 2**30, user: str | None = None
    ) -> Mirror:
        login = GitCredentials(token=token, username=user)
        path = tmp_path / f"mirror{len(mirrors)}"
        mirrors.append(Mirror.open(path, server.url(), credentials=login, timeout_s=timeout_s, max_bytes=max_bytes))
        return mirrors[-1]

    yield make
    for mirror in mirrors:
        await mirror.close()


async def test_what_is_committed_is_fetched_over_http(origin: Origin, opened: Callable[..., Mirror]) -> None:
    first = origin.first({"prod/a.yaml": b"1"})
    mirror = opened()
    listing = await mirror.fetch(["main"])
    assert (listing.branches, listing.default_branch) == ({"main": first}, "main")
    second = origin.commit({"prod/a.yaml": b"2"})
    await mirror.fetch(["main"])
    assert await mirror.head("main") == second
    assert await mirror.files(second, "prod", [".yaml"]) == {"prod/a.yaml": b"2"}


async def test_a_poll_without_news_is_one_listing(
    origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]
) -> None:
    origin.first({"a.yaml": b"1"})
    mirror = opened()
    await mirror.fetch(["main"])
    server.asked.clear()
    await mirror.fetch(["main"], listing=await mirror.refs())
    assert [path.partition("?")[0] for path, _ in server.asked] == ["/origin.git/info/refs"]


async def test_only_what_is_asked_for_is_fetched(origin: Origin, opened: Callable[..., Mirror]) -> None:
    base = origin.first({"a.yaml": b"1"})
    side = origin.commit({"a.yaml": b"2"}, branch="side", parents=[base])
    mirror = opened()
    await mirror.fetch(["main"])
    assert not await mirror.has(side)


async def test_the_head_of_a_pull_request_is_fetched_by_its_commit_id(
    origin: Origin, opened: Callable[..., Mirror]
) -> None:
    base = origin.first({"a.yaml": b"1"})
    head = origin.commit({"a.yaml": b"2"}, branch=None, parents=[base])
    origin.repo.references.create("refs/pull/7/head", origin.repo[head].id)
    mirror = opened()
    await mirror.fetch(["main"], [head])
    assert await mirror.file(head, "a.yaml") == b"2"


async def test_a_pull_request_pushed_again_gives_no_other_commit(origin: Origin, opened: Callable[..., Mirror]) -> None:
    base = origin.first({"a.yaml": b"1"})
    old = origin.commit({"a.yaml": b"2"}, branch=None, parents=[base])
    new = origin.commit({"a.yaml": b"3"}, branch=None, parents=[base])
    origin.repo.references.create("refs/pull/7/head", origin.repo[new].id)
    mirror = opened()
    with pytest.raises(AlmaError):
        await mirror.fetch(commits=[old])
    assert not await mirror.has(old)


async def test_the_token_logs_in_as_alma_or_the_configured_user(
    origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]
) -> None:
    commit = origin.first({"a.yaml": b"1"})
    server.login = f"alma:{TOKEN}"
    assert (await opened().refs()).branches == {"main": commit}
    server.login = f"deployer:{TOKEN}"
    assert (await opened(user="deployer").refs()).branches == {"main": commit}


async def test_a_refused_token_is_tried_once_and_never_shown(
    origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]
) -> None:
    origin.first({"a.yaml": b"1"})
    server.login = "alma:another"
    with pytest.raises(Unreachable, match="refused our credentials") as error:
        await opened().refs()
    assert TOKEN not in repr(error.value) + str(error.value) + error.value.hint
    assert [login for _, login in server.asked if login] == [f"alma:{TOKEN}"]


async def test_without_a_token_none_is_sent(origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]) -> None:
    server.login = "alma:another"
    with pytest.raises(Unreachable, match="none are configured"):
        await opened(token=None).refs()
    assert {login for _, login in server.asked} == {None}


async def test_credentials_do_not_follow_a_redirect(
    tmp_path: Path, origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]
) -> None:
    origin.first({"a.yaml": b"1"})
    with smart_http(tmp_path) as other:
        other.login = f"alma:{TOKEN}"
        server.redirect = f"http://127.0.0.1:{other.server_port}"
        with pytest.raises(Unreachable, match="another host"):
            await opened().refs()
        assert {login for _, login in other.asked} == {None}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    made = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(file))
    pygit2.settings.set_ssl_cert_locations(str(file), None)
    return made


async def test_https_is_fetched_from_the_host_its_certificate_names(
    tmp_path: Path, origin: Origin, authority: trustme.CA
) -> None:
    commit = origin.first({"a.yaml": b"1"})
    login = GitCredentials(token=TOKEN)
    with smart_http(tmp_path, authority.issue_cert("127.0.0.1")) as server:
        server.login = f"alma:{TOKEN}"
        mirror = Mirror.open(tmp_path / "m", server.url(), credentials=login)
        await mirror.fetch(["main"])
        assert await mirror.head("main") == commit
        await mirror.close()


@pytest.mark.parametrize("case", ["another authority", "another name"])
async def test_a_certificate_that_is_not_valid_ends_the_connection(
    tmp_path: Path, origin: Origin, authority: trustme.CA, case: str
) -> None:
    other = trustme.CA().issue_cert("127.0.0.1") if case == "another authority" else authority.issue_cert("git.example")
    with smart_http(tmp_path, other) as server:
        mirror = Mirror.open(tmp_path / "m", server.url(), credentials=GitCredentials(token=TOKEN))
        with pytest.raises(Unreachable):
            await mirror.refs()
        assert server.asked == []
        await mirror.close()


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_redirect_from_https_to_another_host_gets_no_request(
    tmp_path: Path, origin: Origin, authority: trustme.CA, scheme: str
) -> None:
    origin.first({"a.yaml": b"1"})
    tls = authority.issue_cert("127.0.0.1", "localhost")
    with smart_http(tmp_path, tls) as server, smart_http(tmp_path, tls if scheme == "https" else None) as other:
        server.redirect = f"{scheme}://localhost:{other.server_port}"
        mirror = Mirror.open(tmp_path / "m", server.url(), credentials=GitCredentials(token=TOKEN))
        with pytest.raises(Unreachable):
            await mirror.refs()
        assert other.asked == []
        await mirror.close()


async def test_a_push_is_taken_only_where_the_branch_was_seen(origin: Origin, opened: Callable[..., Mirror]) -> None:
    base = origin.first({"a.yaml": b"1"})
    mirror = opened()
    await mirror.fetch(["main"])
    ours = await mirror.commit_files(base, {"a.yaml": b"ours"}, "Ours", SOMEONE)
    await mirror.push(ours, "ipr/one", None)
    await mirror.push(ours, "ipr/one", None)
    assert origin.tip("ipr/one") == ours
    theirs = origin.commit({"a.yaml": b"theirs"})
    with pytest.raises(Moved, match=theirs):
        await mirror.push(ours, "main", base)
    with pytest.raises(Moved):
        await mirror.push(ours, "main", None)
    assert origin.tip() == theirs
    await mirror.delete_branch("ipr/one", ours)
    await mirror.delete_branch("ipr/one", ours)
    assert origin.tip("ipr/one") is None


async def test_a_merge_is_pushed_over_http(origin: Origin, opened: Callable[..., Mirror]) -> None:
    base = origin.first({"a.yaml": b"1"})
    head = origin.commit({"b.yaml": b"b"}, branch="side", parents=[base])
    merged = await opened().merge("main", head, "Merge side", SOMEONE)
    assert origin.tip() == merged


async def test_a_push_that_the_remote_refuses_says_why(origin: Origin, opened: Callable[..., Mirror]) -> None:
    base = origin.first({"a.yaml": b"1"})
    hook = origin.path / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    os.chmod(hook, 0o755)
    mirror = opened()
    await mirror.fetch(["main"])
    ours = await mirror.commit_files(base, {"a.yaml": b"2"}, "Ours", SOMEONE)
    with pytest.raises(RefusedByPolicy, match="hook declined"):
        await mirror.push(ours, "main", base)
    assert origin.tip() == base


async def test_a_remote_that_never_answers_is_unreachable(
    server: SmartHttp, opened: Callable[..., Mirror], report_n: Callable[..., None]
) -> None:
    server.silent = True
    with pytest.raises(Unreachable, match=r"did not answer in 0\.3 s"):
        await opened(timeout_s=0.3).refs()
    server.woken.set()
    report_n("B23", 1)


async def test_what_is_here_is_read_while_the_remote_hangs(
    origin: Origin, server: SmartHttp, opened: Callable[..., Mirror]
) -> None:
    commit = origin.first({"a.yaml": b"1"})
    mirror = opened()
    await mirror.fetch(["main"])
    server.silent = True
    hanging = asyncio.create_task(mirror.refs())
    assert await asyncio.to_thread(server.held.wait, 30)
    assert await asyncio.wait_for(mirror.file(commit, "a.yaml"), 30) == b"1"
    hanging.cancel()
    server.woken.set()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_a_fetch_above_the_limit_ends(origin: Origin, opened: Callable[..., Mirror]) -> None:
    commit = origin.first({"a.bin": os.urandom(400_000)})
    mirror = opened(max_bytes=100_000)
    with pytest.raises(Unreachable, match="larger than 100000 bytes"):
        await mirror.fetch(["main"])
    assert not await mirror.has(commit)


async def test_a_repository_that_is_not_there_is_unreachable(tmp_path: Path, server: SmartHttp) -> None:
    mirror = Mirror.open(tmp_path / "m", server.url("nothing.git"))
    with pytest.raises(Unreachable, match="nothing"):
        await mirror.refs()
    await mirror.close()


async def test_a_commit_nobody_offers_is_no_crash(origin: Origin, opened: Callable[..., Mirror]) -> None:
    origin.first({"a.yaml": b"1"})
    with pytest.raises((Unreachable, InvalidInput)):
        await opened().fetch(commits=["1" * 40])


@pytest.mark.parametrize(("now", "cancelled", "received", "said"), [
    (0.0, True, 0, "cancelled"), (11.0, False, 0, "too long"), (0.0, False, 101, "larger than 100"),
])  # fmt: skip
def test_a_transfer_ends_when_it_is_cancelled_late_or_large(
    now: float, cancelled: bool, received: int, said: str
) -> None:
    cancel = threading.Event()
    limits = TransferLimits(bytes_max=100, deadline=10.0, cancel=cancel, clock=lambda: now)
    if cancelled:
        cancel.set()
    with pytest.raises(Stopped, match=said):
        limits.check(received)


def test_nothing_of_a_login_is_printed() -> None:
    assert TOKEN not in repr(GitCredentials(token=TOKEN, ssh_passphrase=TOKEN))
