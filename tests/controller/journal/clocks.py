"""Clocks for tests: one that stands at noon, one that moves when told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def noon() -> datetime:
    """The wall clock of most tests here."""
    return datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@dataclass
class Ticks:
    """A monotonic clock in seconds."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s
