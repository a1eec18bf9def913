"""Ask the engines: in parallel, bounded, and once per target for every scope that is due on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from controller.plan.resource import Snapshot
from controller.runtime.clock import Clock
from controller.token_bucket import TokenBucket
from engines.engine import Ask, Engine, EngineError

OnDefect: TypeAlias = Callable[[str], None]  # target; called while the exception is being handled
_TOGETHER = 8  # targets read at once


class Measures(Protocol):
    """Where readings are counted: the metrics of a controller, nothing for a single command."""

    def gauge(self, name: str, value: float, *labels: str) -> None: ...

    def observe(self, name: str, seconds: float, *labels: str) -> None: ...


class TargetUnreadable(Exception):
    """A target could not be read; `target` and a redacted reason. Nothing may be derived from it (I9)."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target} could not be read: {reason}")
        self.target = target


@dataclass(slots=True)
class _Gathering:
    """Asks that came while the target was being read; they share the next reading."""

    asks: list[Ask]
    answer: asyncio.Future[Snapshot]


class Observer:
    """Readings of all targets of this install."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        engine_of: Mapping[str, str],
        buckets: Mapping[str, TokenBucket],
        measures: Measures,
        clock: Clock,
        on_defect: OnDefect,
    ) -> None:
        self._engines, self._engine_of, self._buckets = engines, engine_of, buckets
        self._measures, self._clock, self._on_defect = measures, clock, on_defect
        self._gathering: dict[str, _Gathering] = {}
        self._reading: dict[str, asyncio.Lock] = {t: asyncio.Lock() for t in engines}
        self._slots = asyncio.Semaphore(_TOGETHER)

    async def read(self, asks: Mapping[str, Ask]) -> Mapping[str, Snapshot]:
        """One snapshot per target asked. Raises TargetUnreadable for the first that cannot be read."""
        snapshots = await asyncio.gather(*(self._joined(target, ask) for target, ask in asks.items()))
        return dict(zip(asks, snapshots, strict=True))

    async def _joined(self, target: str, ask: Ask) -> Snapshot:
        """Join the reading that has not begun yet, or start gathering for the next one."""
        waiting = self._gathering.get(target)
        if waiting is not None:
            waiting.asks.append(ask)
            return await asyncio.shield(waiting.answer)
        mine = _Gathering([ask], asyncio.get_running_loop().create_future())
        self._gathering[target] = mine
        async with self._reading[target], self._slots:
            await self._token(target)
            del self._gathering[target]
            await self._settle(target, mine)
        return mine.answer.result()

    async def _token(self, target: str) -> None:
        """One token of the target's bucket a reading; whoever asks meanwhile shares it."""
        bucket = self._buckets[target]
        while not bucket.take():
            await self._clock.sleep(bucket.wait_s() + 0.001)
        self._measures.gauge("alma_token_bucket_tokens", bucket.tokens, f"target:{target}")

    async def _settle(self, target: str, gathered: _Gathering) -> None:
        began_s = self._clock.now_s()
        try:
            gathered.answer.set_result(await self._engines[target].observe(_union(gathered.asks)))
            self._measures.gauge("alma_engine_up", 1, target)
        except EngineError as e:
            self._measures.gauge("alma_engine_up", 0, target)
            gathered.answer.set_exception(TargetUnreadable(target, str(e)))
        except asyncio.CancelledError:
            gathered.answer.cancel()
            raise
        except Exception as e:
            # Whoever joined this reading must hear of it too; the text may hold anything and is not shown (I28).
            self._on_defect(target)
            self._measures.gauge("alma_engine_up", 0, target)
            gathered.answer.set_exception(TargetUnreadable(target, f"a defect ({type(e).__name__}); the log says more"))
        finally:
            spent_s = self._clock.now_s() - began_s
            self._measures.observe("alma_engine_request_duration_seconds", spent_s, self._engine_of[target], "observe")


def _union(asks: list[Ask]) -> Ask:
    return Ask(
        install=asks[0].install,
        scopes=frozenset().union(*(a.scopes for a in asks)),
        keys=frozenset().union(*(a.keys for a in asks)),
        claims=frozenset().union(*(a.claims for a in asks)),
        everything=any(a.everything for a in asks),
    )
