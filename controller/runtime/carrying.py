"""What a run asks of the loop around it, the same for every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from controller.plan.step import Step
from controller.runtime.clock import Clock
from controller.runtime.records import RunRecord
from controller.runtime.run import Event, RunState, Work
from controller.runtime.settle import Settling
from engines.engine import Values

Newer = Callable[[RunState], Awaitable[str | None]]


class StepValues(Protocol):
    """Values for the markers of a step, made right before it is sent."""

    async def for_step(self, state: RunState, work: Work, step: Step) -> Values: ...


async def nothing_newer(_: RunState) -> str | None:
    """For runs that nothing takes over: heals, and those of the standalone command line."""
    return None


class RunHooks:
    """Values, the newer revision, and the time each work took (monotonic seconds, first and last word of it)."""

    def __init__(
        self, run: RunRecord, values: StepValues, settling: Settling, clock: Clock, newer: Newer = nothing_newer
    ) -> None:
        self._run, self._values, self._settling, self._clock, self._newer = run, values, settling, clock, newer
        self.seconds: dict[int, tuple[float, float]] = {}

    async def values(self, state: RunState, work: Work, step: Step) -> Values:
        return await self._values.for_step(state, work, step)

    async def newer(self, state: RunState) -> str | None:
        return await self._newer(state)

    def progressed(self, state: RunState, events: Sequence[Event]) -> None:
        now_s = self._clock.now_s()
        for event in events:
            ref = getattr(event, "ref", None)
            if ref is not None:
                first, _ = self.seconds.get(ref.work, (now_s, now_s))
                self.seconds[ref.work] = (first, now_s)
        self._settling.progressed(self._run, state, self.seconds)
