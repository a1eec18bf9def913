"""Where a server that was configured sends us elsewhere, nothing goes (I43)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from controller.forges.forge import ForgeRefused, ForgeUnavailable
from controller.forges.http import ForgeHttp
from llm.providers.openai import OpenAiProvider
from llm.providers.provider import Bounds, Endpoint, Message, NoAnswer
from tests.controller.forges.fake_forge import SECRET, TOKEN, VirtualClock
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.git.witness import witnessing
from tests.llm.model_server import ModelServer, model_server, raw

_HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001",
    "0x7f.0.0.1", "0", "0.0.0.0", "localhost", "LOCALHOST.", "localtest.me", "127.0.0.1.nip.io", "[::1]",
    "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[fe80::1]",
    "[fd00::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "10.255.255.254", "172.16.0.1",
    "172.31.255.254", "192.168.0.1", "192.168.1.254", "100.64.0.1", "198.18.0.1", "192.0.0.192", "169.254.1.1",
    "169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "metadata.google.internal", "metadata", "instance-data", "100.100.100.200",
    "kubernetes.default.svc", "host.docker.internal", "xn--n3h.example", "①②⑦.⓪.⓪.①", "evil.example", "rebind.example",
)  # fmt: skip
TARGETS = (
    *(f"http://{host}:{{port}}/x" for host in _HOSTS),
    "http://user:pw@127.0.0.1:{port}/x",
    "http://git.example@127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}#@git.example/x",
    "http://127.0.0.1:{port}\\@git.example/x",
    "//127.0.0.1:{port}/x",
    "///127.0.0.1:{port}/x",
    "/\\127.0.0.1:{port}/x",
    "https://127.0.0.1:{port}/x",
    "https://169.254.169.254/latest/meta-data/",
    "git://127.0.0.1:{port}/x.git",
    "ssh://git@127.0.0.1:{port}/x.git",
    "ext::sh -c id",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/x",
    "unix:///var/run/docker.sock",
    "data:application/json,{{}}",
)
KEY = "sk-canary-0123456789abcdef0123"


async def at_a_forge(url: str) -> None:
    binding = FakeGitea(VirtualClock()).binding()
    http = ForgeHttp(url, {"Authorization": f"token {TOKEN}"}, (TOKEN, SECRET), binding, write_gap_s=0.0)
    try:
        with pytest.raises((ForgeRefused, ForgeUnavailable)) as told:
            await http.get("user")
    finally:
        await http.close()
    assert TOKEN not in str(told.value)


async def at_a_model(url: str) -> None:
    provider = OpenAiProvider(Endpoint("one", url, "m-1", KEY))
    try:
        with pytest.raises(NoAnswer):
            await provider.complete((Message("user", "web"),), Bounds(400, 2_000, 30.0))
    finally:
        await provider.close()


@pytest.mark.parametrize("ask", [at_a_forge, at_a_model])
async def test_a_redirect_is_followed_nowhere(
    ask: Callable[[str], Awaitable[None]], report_n: Callable[..., None]
) -> None:
    assert len(TARGETS) == 70
    async with model_server() as server, model_server() as other:
        here, port = (int(s.url.rpartition(":")[2].partition("/")[0]) for s in (server, other))
        with witnessing() as seen:
            for target in TARGETS:
                await asked_once(ask, server, target.format(port=port))
        assert other.requests == []
    astray = [a for a in seen.addresses if a not in (("127.0.0.1", here), (b"127.0.0.1", here))]
    report_n("E23 redirects", len(TARGETS), len(astray))
    assert len(seen.addresses) >= len(TARGETS), "the witness saw the requests that were meant"
    assert astray == []


async def asked_once(ask: Callable[[str], Awaitable[None]], server: ModelServer, location: str) -> None:
    """One request, answered by a redirect to `location`."""
    before = len(server.requests)
    status = ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")[before % 5]
    server.behave = raw(b"", status=status, headers=f"location: {location}\r\n")
    await ask(server.url)
    assert len(server.requests) > before
