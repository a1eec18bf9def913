"""The contract of a forge: pull requests, one comment edited in place, statuses, live permissions.

A forge object is one repository at one forge. Everything it returns is hostile text (title, names, bodies) unless said
otherwise; events are only hints (I1, I21). One conformance suite (`tests/forges/conformance.py`) holds each to this.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from controller.errors import AlmaError
from controller.forges.local_backing import LocalGit, LocalStore


class ForgeError(AlmaError):
    """Base; the text is redacted and at most 4 KiB (I28). `code`: the HTTP status behind it, if there was one."""

    def __init__(self, message: str, *, hint: str = "", code: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ForgeUnavailable(ForgeError):
    """Try again, not before `retry_after_s` from now. Raised for outages, 5xx, 429 and rate-limit 403."""

    exit_code = 5

    def __init__(self, message: str, retry_after_s: float, *, hint: str = "", code: int | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class ForgeRefused(ForgeError):
    """Trying again cannot help: bad credentials, missing right, gone."""

    exit_code = 5


class PullState(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class StatusState(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class Permission(StrEnum):
    """What an account may do on the repository, from least to most. `admin` implies `write` implies `read`."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Reaction(StrEnum):
    EYES = "eyes"
    DONE = "+1"
    CONFUSED = "confused"


@dataclass(frozen=True, slots=True)
class Account:
    """Identified by `id` (never by name); `bot` is our own account or any automation."""

    id: str
    login: str
    bot: bool = False


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge tells it now."""

    number: int
    title: str
    author: Account
    base: str  # branch name
    head: str  # branch name, in the fork if `fork`
    head_sha: str
    state: PullState
    merge_sha: str | None = None  # the commit on the base branch that brought it in
    fork: bool = False
    draft: bool = False
    url: str = ""
    merged_by: Account | None = None
    updated: str = ""  # the forge's own stamp, only compared for equality


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a pull request. `edited`: its body changed after it was created (then it never commands, I6)."""

    id: str
    author: Account
    body: str
    created: str
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """One commit status. `description` is at most 140 characters."""

    context: str
    state: StatusState
    description: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """One account's approval that stands: for this head commit and no other (I3)."""

    account: Account
    head_sha: str
    body: str
    stamp: str = field(default="", compare=False)  # the forge's own: another one is another act


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is said of one line of a file. `level`: `notice`, `warning` or `failure`."""

    path: str
    line: int
    level: str
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's rights, looked up live (I3). `teams` as `org/team`."""

    permission: Permission
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ForgeInfo:
    """Who we are there, what we lack, and what we could do without; each missing right with the command or click that
    mends it."""

    account: Account
    rights: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    excess: tuple[str, ...] = ()  # rights beyond the documented minimum, where the forge tells them (I48)


@dataclass(frozen=True, slots=True)
class ForgeHint:
    """What a webhook tells us to look at: a pull request, the branch, or everything (both None)."""

    pull: int | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True)
class ForgeBinding:
    """What a forge is opened with; secrets already resolved, never printed."""

    repository: str  # our name for it
    git_url: str
    branch: str  # tracked
    config: Mapping[str, object] = field(repr=False, default_factory=dict)  # the `forge:` entry
    clock: Callable[[], float] = field(default=time.monotonic)  # monotonic seconds
    on_request: Callable[[str], None] = field(default=lambda code: None)  # metric: HTTP code of each request
    on_remaining: Callable[[int], None] = field(default=lambda left: None)  # metric: rate limit left
    on_tokens: Callable[[float], None] = field(default=lambda tokens: None)  # metric: requests that may leave at once
    per_minute: int = 600  # requests
    burst: int = 100
    wall: Callable[[], float] = time.time  # seconds since 1970: limits that name a moment, stamps people read
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep  # between writes, and before a read is tried again
    jitter: Callable[[], float] = random.random  # in [0, 1)
    store: LocalStore | None = None  # of the built-in forge only
    git: LocalGit | None = None  # of the built-in forge only


@runtime_checkable
class Annotating(Protocol):
    """A forge that shows notes at the lines of a pull request, beside statuses."""

    async def annotate(self, sha: str, summary: str, failed: bool, annotations: Sequence[Annotation]) -> None:
        """Bring our one set of notes on a commit to these. The same again changes nothing; does nothing where our
        credential may not. Raises as a Forge does."""
        ...


class Forge(Protocol):
    """One repository at one forge. Raises ForgeUnavailable and ForgeRefused, nothing else."""

    kind: str

    @classmethod
    def open(cls, binding: ForgeBinding) -> Self: ...

    async def close(self) -> None: ...

    async def about(self) -> ForgeInfo:
        """Our account and rights. Changes nothing."""
        ...

    async def pulls(self) -> tuple[PullRequest, ...]:
        """Every open pull request against the tracked branch, and those closed or merged lately (at least the last
        50 updated), newest update first. Conditional where the forge can."""
        ...

    async def pull(self, number: int) -> PullRequest | None: ...

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """All of them, oldest first."""
        ...

    async def write_comment(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        """Bring our one comment bearing `marker` (a hidden line) to `body`: edit it if it is there, else post it.
        Found by marker *and* our account id (I19); `comment_id` is only a short cut. Returns its id. A 5xx after the
        post acted does not make a second one: it looks again before posting."""
        ...

    async def reply(self, number: int, marker: str, body: str, to: Comment) -> str:
        """An answer to `to`, once: the marker names the comment answered, and one already there is edited instead."""
        ...

    async def react(self, number: int, to: Comment, reaction: Reaction) -> None:
        """At most one of each kind by us; doing it again changes nothing."""
        ...

    async def write_status(self, sha: str, status: Status) -> None:
        """Set one status; skips the request if it is the last one this process wrote for (sha, context)."""
        ...

    async def standing(self, account: Account) -> Standing:
        """What this account may do now. Raises rather than guess (no answer means no)."""
        ...

    async def open_pull(self, head: str, title: str, body: str) -> PullRequest:
        """A pull request of the branch `head` (already pushed) against the tracked branch; the open one if there is
        one."""
        ...

    async def merge(self, number: int, head_sha: str) -> None:
        """Merge if the head is still `head_sha`; else ForgeRefused."""
        ...

    async def close_pull(self, number: int) -> None: ...

    async def approve(self, number: int, head_sha: str, body: str) -> None: ...

    async def approvals(self, number: int) -> tuple[Approval, ...]:
        """Those that stand now, for whichever head they were given; whoever asked for changes since is not among
        them."""
        ...

    def read_event(self, headers: Mapping[str, str], body: bytes) -> ForgeHint | None:
        """A webhook: verified over the raw bytes in constant time (I42), then read. None: valid and not for us.
        Raises InvalidInput for anything malformed, ForgeRefused for a bad signature."""
        ...
