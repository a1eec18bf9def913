"""No address, branch, commit or path can be read as an option, a command or another transport (D10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.git.repository import Mirror
from controller.git.url import branch_name, commit_id, remote_url
from tests.controller.git.origin import Origin
from tests.controller.git.witness import witnessing

HOSTILE = [
    *("", " ", "-", "--", "-u", "--upload-pack=touch x", "-oProxyCommand=touch x", "--exec=sh", "-c core.x=y"),
    *("ext::sh -c touch% x", "ext::sh", "fd::7", "testgit::x", "transport::address", "::", "a::b", "EXT::sh"),
    *("git://example.org/x.git", "ftp://example.org/x", "rsync://example.org/x", "http://example.org/x.git"),
    *("http://127.0.0.1.example.org/x", "http://localhost.example.org/x", "http://10.0.0.1/x", "HTTPS://example.org/x"),
    *("https://user:secret@example.org/x", "https://:secret@example.org/x", "https://user@evil@example.org/x"),
    *("https://example.org", "https:///x", "https://example.org:0/x", "https://example.org:99999/x", "https:x"),
    *("https://example.org/x?y", "https://example.org/x#y", "https://example.org/../x", "https://example.org/a/../b"),
    *("https://example.org/%2e%2e/x", "https://example.org/x%00", "https://example.org/x%0a", "https://example.org/-x"),
    *("https://2130706433/x", "https://0x7f.1/x", "https://017700000001/x", "https://1.2.3/x", "https://[::g]/x"),
    *(
        "https://exam ple.org/x",
        "https://example.org/x\n",
        "https://example.org/\r\nHost: evil",
        "https://exämple.org/x",
    ),
    *("ssh://-oProxyCommand=touch%20x/x", "ssh://-x@example.org/x", "ssh://user@-x/x", "ssh://example.org/-x"),
    *("ssh://u:p@example.org/x", "ssh://example.org", "git+ssh://example.org/x", "-oProxyCommand=x:y", "user@-x:y"),
    *("user@example.org:-x", "example.org:", ":x", "@example.org:x", "u ser@example.org:x", "user@example.org:../x"),
    *("x", "./x", "../x", "~/x", "~root/x", "//host/share/x", "/a/../b", "/", "/a\nb", "/a\0b", "/a/-b", "C:\\x"),
    *(
        "file://host/x",
        "file://../x",
        "file:x",
        "file:///a/../b",
        "file:///a%2fb",
        "$(touch x)",
        "`touch x`",
        "x" * 3000,
    ),
]

REFS = [
    *("", "-", "-d", "--upload-pack=touch x", "-oProxyCommand=x", "--all", "HEAD", "@", "a..b", "a@{1}", "a b", "a~1"),
    *("a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a\nb"),
    *("a\0b", "a\x7f", "+refs/heads/x", "a\u202eb", "a/-b", "x" * 256, "refs/heads/*"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_address_that_is_none_of_the_allowed_forms_is_refused(
    tmp_path: Path, text: str, report_n: Callable[..., None]
) -> None:
    with witnessing() as seen, pytest.raises(InvalidInput) as error:
        Mirror.open(tmp_path / "m", text)
    assert (seen.started, seen.called) == ([], [])
    assert "secret" not in str(error.value)
    assert str(error.value).isprintable() and error.value.hint
    report_n("D10", 1)


@pytest.mark.parametrize("text", [ref for ref in REFS if not ref.startswith("+")])
async def test_a_branch_that_could_be_an_option_or_a_range_is_refused(
    origin: Origin, mirror: Mirror, text: str, report_n: Callable[..., None]
) -> None:
    commit = origin.first({"a.yaml": b"a"})
    with witnessing() as seen:
        for call in (
            lambda: mirror.head(text),
            lambda: mirror.fetch([text]),
            lambda: mirror.push(commit, text, None),
            lambda: mirror.delete_branch(text, commit),
        ):
            with pytest.raises(InvalidInput, match="not a branch name"):
                await call()
    assert (seen.started, seen.called) == ([], [])
    report_n("D10", 4)


@pytest.mark.parametrize("text", ["", "main", "HEAD", "abc", "0" * 39, "0" * 41, "A" * 40, "--all", "0" * 40 + "\n"])
async def test_only_a_full_commit_id_names_a_commit(mirror: Mirror, text: str, report_n: Callable[..., None]) -> None:
    with pytest.raises(InvalidInput, match="not a full commit id"):
        commit_id(text)
    with pytest.raises(InvalidInput, match="not a full commit id"):
        await mirror.fetch(commits=[text])
    report_n("D10", 2)


@pytest.mark.parametrize(
    ("text", "transport", "host"),
    [
        ("https://git.example/ops/infra.git", "https", "git.example"),
        ("https://git.example:8443/ops/infra.git", "https", "git.example"),
        ("https://192.168.1.5/ops/infra.git", "https", "192.168.1.5"),
        ("https://[fd00::5]/ops/infra.git", "https", "fd00::5"),
        ("http://127.0.0.1:3000/ops/infra.git", "http", "127.0.0.1"),
        ("http://localhost:3000/ops/infra", "http", "localhost"),
        ("http://[::1]:3000/ops/infra", "http", "::1"),
        ("ssh://git@git.example:2222/ops/infra.git", "ssh", "git.example"),
        ("ssh://git@git.example/~ops/infra.git", "ssh", "git.example"),
        ("git@git.example:ops/infra.git", "ssh", "git.example"),
        ("git@git.example:/srv/git/infra.git", "ssh", "git.example"),
        ("/srv/git/infra.git", "path", ""),
        ("/srv/git/my infra", "path", ""),
    ],
)
def test_an_ordinary_address_is_taken(text: str, transport: str, host: str) -> None:
    url = remote_url(text)
    assert (url.text, url.transport, url.host) == (text, transport, host)


def test_a_file_url_is_its_plain_path_and_a_user_leaves_the_address() -> None:
    assert remote_url("file:///srv/git/x.git").text == "/srv/git/x.git"
    assert remote_url("file://localhost/srv/git/x.git").text == "/srv/git/x.git"
    url = remote_url("https://ada@git.example/x.git")
    assert (url.text, url.user) == ("https://git.example/x.git", "ada")


@pytest.mark.parametrize("name", ["main", "ipr/web-2", "feature/ünï", "v1.2", "a_b+c", "dependabot/npm/x-1.2.3"])
def test_an_ordinary_branch_is_taken(name: str) -> None:
    assert branch_name(name) == name
