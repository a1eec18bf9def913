"""Which texts may name a remote, a branch, a commit or a path in a repository (I39, I43).

An allow-list: each form is described in full, and whatever fits none of them is refused before libgit2 sees it. What
passes cannot be read as an option, a command, another transport or a path outside the repository.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from controller.errors import InvalidInput, Place, Problem

Transport = Literal["https", "http", "ssh", "path"]

_LENGTH_MAX: Final = 2048
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])"
_USER: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
_SEGMENT: Final = r"[A-Za-z0-9._~+@=,%-]+"
_REMOTE: Final = re.compile(
    rf"(?P<scheme>https?|ssh)://(?:(?P<user>{_USER})@)?(?P<host>{_HOST})(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    rf"/(?P<path>~?{_SEGMENT}(?:/{_SEGMENT})*/?)"
)
_SCP: Final = re.compile(rf"(?P<user>{_USER})@(?P<host>{_HOST}):(?P<path>/?~?{_SEGMENT}(?:/{_SEGMENT})*/?)")
_ESCAPE: Final = re.compile(r"%(?!(?:2[0-9BbCcDd]|[4-7][0-9A-Fa-f])(?![0-9A-Fa-f]))")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_HINT: Final = "write https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or an absolute path"


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A checked address. `text` is what libgit2 gets; it holds no password, so it may be shown as it is."""

    text: str
    transport: Transport
    host: str = ""
    port: int | None = None
    user: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def local(self) -> bool:
        return self.transport == "path"


def remote_url(text: str) -> RemoteUrl:
    """The address in `text`. Raises InvalidInput, without repeating the text, for anything not on the list above."""
    if not isinstance(text, str) or not 0 < len(text) <= _LENGTH_MAX or _unprintable(text):
        raise _refused_url("it is empty, too long, or holds characters that cannot be seen")
    if text.startswith("file://"):
        return _path_url(text.removeprefix("file://").removeprefix("localhost"))
    if text.startswith("/"):
        return _path_url(text)
    match = _REMOTE.fullmatch(text)
    if match:
        return _network_url(text, match)
    scp = _SCP.fullmatch(text) if "://" not in text and "::" not in text else None
    if scp:
        _check_remote_path(scp["path"])
        return RemoteUrl(text, "ssh", _checked_host(scp["host"]), None, scp["user"])
    raise _refused_url("its form is not one of those allowed")


def branch_name(text: str) -> str:
    """`text` if it can be a branch and cannot be read as anything else. Raises InvalidInput."""
    parts = text.split("/") if isinstance(text, str) else [""]
    bad = (
        not 0 < len(text) <= 255
        or text.startswith("-")
        or text in {"@", "HEAD"}
        or _unprintable(text)
        or any(mark in text for mark in ("..", "@{", " ", "~", "^", ":", "?", "*", "[", "\\"))
        or any(not part or part.startswith((".", "-")) or part.endswith((".", ".lock")) for part in parts)
    )
    if bad:
        raise InvalidInput(f"{_quoted(text)} is not a branch name", hint="name the branch as `git branch` lists it")
    return text


def commit_id(text: str) -> str:
    """`text` if it is a full commit id. Raises InvalidInput: a branch or a short id is never resolved (I35)."""
    if not isinstance(text, str) or not _COMMIT.fullmatch(text):
        raise InvalidInput(f"{_quoted(text)} is not a full commit id", hint="give all 40 hexadecimal digits")
    return text


def tree_path(text: str) -> str:
    """A path relative to the root of a repository, `""` for the root itself; a closing slash is dropped.

    Raises InvalidInput for absolute paths, `..`, `.git` in any disguise, backslashes and unseen characters.
    """
    if not isinstance(text, str) or len(text) > _LENGTH_MAX:
        raise InvalidInput("a path is at most 2048 characters of text")
    path = "" if text in {"", ".", "./"} else text.removeprefix("./").removesuffix("/")
    if text.startswith("/") or (path and not all(safe_name(part) for part in path.split("/"))):
        raise InvalidInput(
            [Problem(Place(_quoted(text)), "is not a path inside the repository")],
            hint="write it relative to the root, such as environments/prod",
        )
    if path.startswith("-"):
        raise InvalidInput(f"{_quoted(text)} starts with a dash and could be read as an option")
    return path


def safe_name(name: str) -> bool:
    """Whether one component of a path is an ordinary file name on every platform, and not `.git` in disguise."""
    plain = name.rstrip(" .").casefold().partition(":")[0]
    return (
        bool(plain)
        and plain not in {".git", "git~1"}
        and not any(mark in name for mark in ("/", "\\"))
        and not _unprintable(name)
    )


def _network_url(text: str, match: re.Match[str]) -> RemoteUrl:
    host, port = _checked_host(match["host"]), int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise _refused_url("its port is above 65535")
    _check_remote_path(match["path"])
    scheme = match["scheme"]
    if scheme == "http" and not _loopback(host):
        raise _refused_url("http without TLS goes to this machine only")
    if scheme == "ssh":
        return RemoteUrl(text, "ssh", host, port, match["user"])
    # The name travels with the credentials; left in the address it would become a second source of them.
    bare = text.replace(f"{match['user']}@", "", 1) if match["user"] else text
    return RemoteUrl(bare, "https" if scheme == "https" else "http", host, port, match["user"])


def _path_url(path: str) -> RemoteUrl:
    # libgit2 is quicker by a hundred times on a plain path than on file://, and it knows no other host.
    parts = path.split("/")
    if not path.startswith("/") or path.startswith("//") or path == "/" or ".." in parts or "\\" in path:
        raise _refused_url("a local repository is named by its absolute path, without `..`")
    if any(part.startswith("-") for part in parts) or "%" in path or "?" in path or "#" in path:
        raise _refused_url("its path could be read as an option or an escape")
    return RemoteUrl(path, "path")


def _checked_host(host: str) -> str:
    """The host as written. An address has one spelling only: no decimal, octal or shortened numbers."""
    bare = host.strip("[]")
    if host.startswith("[") or re.fullmatch(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)", bare.rpartition(".")[2]):
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            raise _refused_url("its host is a number that is not an address") from None
    return bare


def _check_remote_path(path: str) -> None:
    parts = path.strip("/").split("/")
    if any(part in {".", ".."} or part.startswith("-") for part in parts) or _ESCAPE.search(path):
        raise _refused_url("its path holds `..`, an escaped sign or a part that begins with a dash")
    if any(part.casefold().startswith(("%2d", "%2e")) for part in parts):
        raise _refused_url("its path hides a dash or a dot")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unprintable(text: str) -> bool:
    return any(unicodedata.category(char).startswith(("C", "Zl", "Zp")) for char in text)


def _quoted(text: object) -> str:
    return ascii(text)[:200]


def _refused_url(reason: str) -> InvalidInput:
    return InvalidInput(f"the address of the repository is refused: {reason}", hint=_HINT)
