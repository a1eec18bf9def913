"""One pass per scope at a time: deduplicated, by priority, requeued with a delay.

A storm of 1,000 events for a scope is one pass. A key that is being worked on and asked for again waits until the pass
is over, then comes once more. Fair: equal priorities go by the time they were asked for.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from controller.runtime.clock import Clock


class Priority(IntEnum):
    """Lower goes first (design.md 6)."""

    PERSON = 0
    WEBHOOK = 1
    PULL_REQUEST = 2
    DRIFT = 3
    POLL = 4


@dataclass(frozen=True, slots=True)
class Item:
    """What to look at, and how urgent it was when asked for."""

    key: str
    priority: Priority


class WorkQueue:
    """Keys of things to look at. Not for several event loops."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, tuple[float, Priority]] = {}  # key → ready at, priority
        self._heap: list[tuple[int, int, str]] = []
        self._order = itertools.count()
        self._busy: set[str] = set()
        self._again: dict[str, tuple[float, Priority]] = {}
        self._wake = asyncio.Event()

    def add(self, key: str, priority: Priority, delay_s: float = 0.0) -> None:
        """Ask for a pass; the more urgent of two askings wins, the sooner of two delays."""
        ready_s = self._clock.now_s() + delay_s
        table = self._again if key in self._busy else self._waiting
        before = table.get(key)
        if before is not None:
            ready_s, priority = min(ready_s, before[0]), min(priority, before[1])
        table[key] = (ready_s, priority)
        if table is self._waiting:
            heapq.heappush(self._heap, (priority, next(self._order), key))
        self._wake.set()

    async def take(self, only: Callable[[Item], bool] | None = None) -> Item:
        """The most urgent key that is due (and that `only` lets through); call `over` with it afterwards."""
        while True:
            item = self.due(only)
            if item is not None:
                return item
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=self.until_next_s(only))
            except TimeoutError:
                continue

    def over(self, key: str) -> None:
        """The pass has ended; what was asked for meanwhile comes now."""
        self._busy.discard(key)
        if key in self._again:
            ready_s, priority = self._again.pop(key)
            self.add(key, priority, max(0.0, ready_s - self._clock.now_s()))

    def is_due(self, key: str) -> bool:
        """True if its pass may begin now and has not."""
        waiting = self._waiting.get(key) or self._again.get(key)
        return waiting is not None and waiting[0] <= self._clock.now_s()

    def is_busy(self, key: str) -> bool:
        """True while its pass is being made."""
        return key in self._busy

    def depth(self) -> Mapping[Priority, int]:
        """How many wait, by priority."""
        counts = dict.fromkeys(Priority, 0)
        for _, priority in (*self._waiting.values(), *self._again.values()):
            counts[priority] += 1
        return counts

    def due(self, only: Callable[[Item], bool] | None = None) -> Item | None:
        """The most urgent key that is due now, None where nothing is; call `over` with it afterwards."""
        now_s, later, found = self._clock.now_s(), [], None
        while self._heap:
            entry = heapq.heappop(self._heap)
            priority, _, key = entry
            current = self._waiting.get(key)
            if current is None or current[1] != priority:
                continue  # taken already, or asked for again with another priority
            if current[0] > now_s or (only and not only(Item(key, current[1]))):
                later.append(entry)
                continue
            del self._waiting[key]
            self._busy.add(key)
            found = Item(key, current[1])
            break
        for entry in later:
            heapq.heappush(self._heap, entry)
        return found

    def until_next_s(self, only: Callable[[Item], bool] | None = None) -> float | None:
        """Seconds until the next key is due (of those that `only` lets through); None where nothing waits."""
        times = [t for k, (t, p) in self._waiting.items() if only is None or only(Item(k, p))]
        return max(0.0, min(times) - self._clock.now_s()) if times else None
