"""Everything that is drawn: what fails and when, how long it takes, where the process dies; and the trace of it all."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.simulator.virtual_loop import VirtualLoop

T = TypeVar("T")
_LATENCY_MOST_S = 0.2


@dataclass(slots=True)
class Rates:
    """How often things go wrong, each in 0 … 1."""

    engine: float = 0.0
    read: float = 0.0
    forge: float = 0.0
    git: float = 0.0
    crash: float = 0.0


@dataclass
class Fate:
    """One random source for all of a seed's world; equal seeds tell equal stories."""

    chance: random.Random
    rates: Rates
    told: list[str] | None = None  # the whole trace, when somebody wants to read it
    marks: Counter[str] = field(default_factory=Counter)  # states that were reached
    crashes_left: int = 0
    calm: bool = False  # nothing fails any more
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    def note(self, text: str) -> None:
        """One line of the trace, with its moment."""
        line = f"{asyncio.get_running_loop().time():.4f} {text}"
        self._hash.update(line.encode() + b"\n")
        if self.told is not None:
            self.told.append(line)

    def latency_s(self) -> float:
        """Mostly short, sometimes long: that is where orders change."""
        return self.chance.random() ** 4 * _LATENCY_MOST_S

    def strikes(self, rate: float) -> bool:
        return not self.calm and self.chance.random() < rate

    def one_of(self, choices: Sequence[T]) -> T:
        return self.chance.choice(choices)

    async def boundary(self, name: str, about: str = "") -> None:
        """A point where an effect outlives the process; it takes time to come past it, or the process dies here."""
        self.note(f"{name} {about}")
        if self.crashes_left and self.strikes(self.rates.crash):
            self.crashes_left -= 1
            self.marks[f"killed {name}"] += 1
            self.note("killed")
            await self._end()
        await asyncio.sleep(self.latency_s())

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.kill()
        await loop.create_future()
