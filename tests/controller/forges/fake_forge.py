"""What every forge in memory shares: a clock of its own, a ledger of every request with its time, faults on request.

It can lose an answer, refuse, stall, limit, or kill the caller at any request.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from urllib.parse import parse_qs, urlsplit

import httpx2

TOKEN = "t0k3n-of-the-bot-5f2e"  # of the bot, at every forge in memory
SECRET = "hook-secret-91ab"
WALL_0 = 1_772_000_000.0


class Killed(BaseException):
    """The process died here: nothing in it catches this."""


class Fault(Enum):
    """What goes wrong with one request. `AFTER`: the forge acted, the answer was lost."""

    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"
    REFUSED = "connection refused"
    RESET_AFTER = "reset after acting"
    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after acting"
    BAD_GATEWAY = "502 before"
    BAD_GATEWAY_AFTER = "502 after acting"
    SERVER_ERROR = "500"
    CUT_JSON_AFTER = "half an answer"
    LIMIT_RETRY_AFTER = "429 with Retry-After"
    LIMIT_RETRY_DATE = "429 with a date"
    LIMIT_RESET = "403 with a reset time"
    LIMIT_BARE = "429 with no header"
    LIMIT_SECONDARY = "403 that only says so"
    UNAVAILABLE_RETRY_AFTER = "503 with Retry-After"


@dataclass
class VirtualClock:
    """Moves only when someone sleeps."""

    now_s: float = 1_000.0
    slept_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return WALL_0 + self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


@dataclass(frozen=True)
class Seen:
    """One request as the forge saw it."""

    at_s: float
    method: str
    path: str
    fault: Fault | None


FaultPlan = Callable[[str, str], Fault | None]


def in_turn(faults: Mapping[int, Fault]) -> FaultPlan:
    """The n-th request from now on fails so; every other is served."""
    count = itertools.count()
    return lambda method, path: faults.get(next(count))


def at_first(*faults: Fault) -> FaultPlan:
    """The next requests fail so, one after the other; then all is well."""
    return in_turn(dict(enumerate(faults)))


class FakeForge(ABC):
    """Serves requests through `handle`; a subclass says what the API answers."""

    prefix = ""  # of every path of its API

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.ledger: list[Seen] = []
        self.fault: FaultPlan = lambda method, path: None
        self.limit_s = 90
        self.per_window: int | None = None  # requests allowed each `limit_s`, told in headers
        self._window = (0, 0.0)  # left, and when it ends

    @abstractmethod
    def _answer(self, request: httpx2.Request, path: str, query: dict[str, list[str]]) -> httpx2.Response: ...

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """One request, with what goes wrong before and after it."""
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix(self.prefix)
        fault = self.fault(request.method, path)
        self.ledger.append(Seen(self.clock.now_s, request.method, path, fault))
        self._before(fault, request)
        answer = self._limited(fault) or self._answer(request, path, dict(parse_qs(parts.query)))
        answer = self._after(fault, request, answer)
        answer.headers["Date"] = format_datetime(datetime.fromtimestamp(self.clock.wall(), UTC), usegmt=True)
        if self.per_window is not None:
            answer.headers.update(self._count_down(self.per_window))
        return answer

    def _count_down(self, per_window: int) -> dict[str, str]:
        left, ends_s = self._window
        if self.clock.now_s >= ends_s:
            left, ends_s = per_window, self.clock.now_s + self.limit_s
        self._window = (left - 1, ends_s)
        assert left > 0, "asked although the limit was used up"
        return {"X-RateLimit-Remaining": str(left - 1), "X-RateLimit-Reset": str(int(WALL_0 + ends_s))}

    def _before(self, fault: Fault | None, request: httpx2.Request) -> None:
        if fault is Fault.KILL_BEFORE:
            raise Killed
        if fault is Fault.REFUSED:
            raise httpx2.ConnectError(f"refused {TOKEN}", request=request)
        if fault is Fault.TIMEOUT_BEFORE:
            raise httpx2.ReadTimeout("timed out", request=request)

    def _limited(self, fault: Fault | None) -> httpx2.Response | None:
        reset = str(int(self.clock.wall()) + self.limit_s)
        date = format_datetime(datetime.fromtimestamp(self.clock.wall() + self.limit_s, UTC), usegmt=True)
        answers: Mapping[Fault, tuple[int, dict[str, str], str]] = {
            Fault.BAD_GATEWAY: (502, {}, "<html>bad gateway</html>"),
            Fault.SERVER_ERROR: (500, {}, '{"message":"oops"}'),
            Fault.LIMIT_RETRY_AFTER: (429, {"Retry-After": str(self.limit_s)}, ""),
            Fault.LIMIT_RETRY_DATE: (429, {"Retry-After": date}, ""),
            Fault.LIMIT_RESET: (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, "{}"),
            Fault.LIMIT_BARE: (429, {}, ""),
            Fault.LIMIT_SECONDARY: (403, {}, '{"message":"You have exceeded a secondary rate limit."}'),
            Fault.UNAVAILABLE_RETRY_AFTER: (503, {"Retry-After": str(self.limit_s)}, ""),
        }
        if fault is None or fault not in answers:
            return None
        code, headers, body = answers[fault]
        return httpx2.Response(code, headers=headers, content=body.encode())

    def _after(self, fault: Fault | None, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if fault is Fault.KILL_AFTER:
            raise Killed
        if fault is Fault.RESET_AFTER:
            raise httpx2.ReadError("reset", request=request)
        if fault is Fault.TIMEOUT_AFTER:
            raise httpx2.ReadTimeout("timed out", request=request)
        if fault is Fault.BAD_GATEWAY_AFTER:
            return httpx2.Response(502, content=b"<html>bad gateway</html>")
        if fault is Fault.CUT_JSON_AFTER:
            return httpx2.Response(answer.status_code, content=answer.content[: len(answer.content) // 2] or b"{")
        return answer
