"""The contract of whatever answers a prompt. An answer is text and nothing else: no tool, no call, no memory (I30)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt. `system` turns are files of ours; what others wrote stands in `user` turns only."""

    role: Literal["system", "user"]
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them: a claim, not a fact."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote. `usage` is None where the server states none."""

    text: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one request may take: tokens and characters of the answer, seconds from first to last byte."""

    tokens: int
    characters: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider asks. The host and the key come from the server configuration and nowhere else."""

    name: str
    base_url: str
    model: str
    api_key: str = field(default="", repr=False)


class Failure(StrEnum):
    """Why there is no answer; the value is the `result` of `llm_requests_total`."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DENIED = "denied"  # 401, 403, a redirect: the configuration is wrong
    LIMITED = "limited"  # 429
    FAILED = "failed"  # any other status that is no success
    GARBAGE = "garbage"  # not what the protocol says
    TOO_LARGE = "too_large"
    EMPTY = "empty"  # no text, or the model declined


FREE = frozenset({Failure.UNREACHABLE, Failure.DENIED, Failure.LIMITED, Failure.FAILED})  # no model was run


class NoAnswer(Exception):
    """A request without a usable answer. `retry_after_s`: what a 429 asked for. Never holds what the server wrote."""

    def __init__(self, failure: Failure, retry_after_s: float | None = None) -> None:
        super().__init__(failure.value)
        self.failure, self.retry_after_s = failure, retry_after_s


class Provider(Protocol):
    """One model at one endpoint."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def complete(self, messages: Sequence[Message], bounds: Bounds) -> Answer:
        """Ask once; nothing is tried again here. Raises NoAnswer."""
        ...

    async def close(self) -> None: ...
