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

    def now_s(self) -> float:
        return self.passed_s

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.passed_s) + self.wall_offset

    def jitter(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.passed_s += max(0.0, seconds)
        await asyncio.sleep(0)
