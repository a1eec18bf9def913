"""Time that passes only when someone sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class VirtualClock:
    """Sleeping moves it on at once; the wall clock may be set apart from it (B13)."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.wall_offset = timedelta()
        self._held_at_s = float("inf")
        self._reached: asyncio.Future[None]
        self._released: asyncio.Event

    def now_s(self) -> float:
        return self.passed_s

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.passed_s) + self.wall_offset

    def jitter(self) -> float:
        return 0.5

    def hold_after(self, seconds: float) -> asyncio.Future[None]:
        """Done when someone sleeps past `seconds` from now; that one sleeper waits until `release`, or its end."""
        self._held_at_s = self.passed_s + seconds
        self._reached = asyncio.get_running_loop().create_future()
        self._released = asyncio.Event()
        return self._reached

    def release(self) -> None:
        """Let the held sleeper go on."""
        self._released.set()

    async def sleep(self, seconds: float) -> None:
        self.passed_s += max(0.0, seconds)
        if self.passed_s >= self._held_at_s:
            self._held_at_s = float("inf")
            self._reached.set_result(None)
            await self._released.wait()
        await asyncio.sleep(0)
