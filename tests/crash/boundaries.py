"""Oracle K: every point where an effect outlives the process is counted, and the process dies at the k-th.

Nobody lists kill points by hand: the journal, the target, the forge and the Git remote are wrapped once, before and
after each call, and k = 1, 2, … is tried until a run completes unkilled. Only for processes forked to be killed.
"""

from __future__ import annotations

import functools
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from controller.git.repository import Mirror
from controller.journal.journal import Journal
from engines.simulation.engine import SimulationEngine

# The built-in forge has no effects of its own: its comments and statuses are commits of the journal.
# Before: the effect is not there yet (p1, p3). After: it is, and nobody has heard of it (p2, p4, p5, p6).
_EFFECTS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (Journal, ("append", "erase_sealed")),
    (Mirror, ("push", "fetch")),
)
# These change nothing outside, but a process may well die here: one point each.
_READS = ("prior", "find", "poll", "observe", "check")


class Boundaries:
    """Counts boundaries by name; sends `number` to this very process at the `kill_at`-th of them, or at the first named
    `kill_name`."""

    def __init__(
        self, kill_at: int | None = None, kill_name: str = "", number: signal.Signals = signal.SIGKILL
    ) -> None:
        self._kill_at, self._kill_name, self._number = kill_at, kill_name, number
        self.passed: Counter[str] = Counter()
        self.order: list[str] = []

    @property
    def count(self) -> int:
        return self.passed.total()

    def watch(self, engine: type = SimulationEngine) -> None:
        """From now on every boundary of this process counts. There is no way back: the process ends with its test."""
        for owner, names in (*_EFFECTS, (engine, ("do",))):
            for name in names:
                self._wrap(owner, name, before=True)
        for name in _READS:
            self._wrap(engine, name, before=False)

    def here(self, name: str) -> None:
        """One boundary."""
        self.passed[name] += 1
        self.order.append(name)
        if self.count == self._kill_at or name == self._kill_name:
            os.kill(os.getpid(), self._number)

    def _wrap(self, owner: type, name: str, *, before: bool) -> None:
        plain: Callable[..., Awaitable[Any]] = getattr(owner, name)
        label = f"{owner.__name__}.{name}"

        @functools.wraps(plain)
        async def counted(*args: Any, **options: Any) -> Any:
            if before:
                self.here(f"before {label}")
            try:
                return await plain(*args, **options)
            finally:
                self.here(f"after {label}")

        setattr(owner, name, counted)
