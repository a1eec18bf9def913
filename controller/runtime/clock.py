"""Time as an argument (I23): durations from a monotonic clock, wall time only for what people read."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the loop knows of time. `now_s` never goes back; `wall` may jump."""

    def now_s(self) -> float: ...

    def wall(self) -> datetime: ...

    def jitter(self) -> float:
        """A random number in [0, 1)."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def now_s(self) -> float:
        return time.monotonic()

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def backoff_s(attempt: int, jitter: float, *, first_s: float = 1.0, most_s: float = 300.0) -> float:
    """Full jitter between half and all of the doubling delay: 1 s … 5 min; `attempt` counts from 0."""
    ceiling: float = min(most_s, first_s * 2 ** min(attempt, 16))
    return ceiling * (0.5 + jitter / 2)
