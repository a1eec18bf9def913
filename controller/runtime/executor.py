"""Drives one run: todos of the state machine → legs side by side → events, each journaled before it counts (I8).

Everything it decides is decided by `run_turn` and `run_machine`; how a leg and a step are carried out stands in `legs`
and `one_step`. Killed anywhere, `run` with the same id goes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from controller.plan.step import Fence
from controller.runtime.legs import Legs
from controller.runtime.live_run import Hooks, LiveRun, Means
from controller.runtime.run import Begun, Cancelled, Leg, RunState, Superseded
from controller.runtime.run_turn import Asks, Carry, Drain, LookForNewer, Rest, TurnBack, may_be_superseded, next_turn


class Executor(Protocol):
    """Carries a run to one of its ends; safe to call again with the same id after a crash."""

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState:
        """Its end, or where it was left after `rest`."""
        ...

    def cancel(self, run: str, by: str) -> bool:
        """Turn a running run round; False if it is not running here."""
        ...

    def nudge(self, run: str) -> None:
        """A newer revision waits: look at `hooks.newer` at the next barrier."""
        ...

    def rest(self) -> None:
        """Begin nothing more: each run is left to the next process after the steps that are under way."""
        ...

    async def close(self) -> None:
        """Nothing is carried on here after this; a run that has not ended is left to the next process."""
        ...


class LocalExecutor:
    """In this process, on asyncio."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._drivers: dict[str, _Driver] = {}
        self._resting = False

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState:
        """Begin `begun.run`, or go on with it if the journal knows it. Raises LeaseLost; engine errors are data."""
        live = LiveRun(self._means, fence, hooks)
        driver = _Driver(live)
        self._drivers[begun.run] = driver
        if self._resting:
            driver.rest()
        try:
            return await driver.drive(begun)
        finally:
            del self._drivers[begun.run]

    def cancel(self, run: str, by: str) -> bool:
        driver = self._drivers.get(run)
        return driver is not None and driver.cancel(by)

    def nudge(self, run: str) -> None:
        if run in self._drivers:
            self._drivers[run].nudge()

    def rest(self) -> None:
        self._resting = True
        for driver in self._drivers.values():
            driver.rest()

    async def close(self) -> None:
        """Each run ends with the task that waits for it."""


class _Driver:
    """One run in flight."""

    def __init__(self, live: LiveRun) -> None:
        self._live, self._legs = live, Legs(live)
        self._tasks: dict[Leg, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(live.bounds.in_flight)
        self._asks = Asks()

    @property
    def state(self) -> RunState:
        return self._live.state

    # --- from the loop around it ---

    def cancel(self, by: str) -> bool:
        self._asks = replace(self._asks, cancel=by)
        self._live.moved.set()
        return self._live.going

    def nudge(self) -> None:
        self._asks = replace(self._asks, nudged=True)
        self._live.moved.set()

    def rest(self) -> None:
        self._asks = replace(self._asks, rest=True)
        self._live.resting = True
        self._live.moved.set()

    # --- the main function ---

    async def drive(self, begun: Begun) -> RunState:
        await self._live.recall(begun)
        try:
            while not self.state.word.ended and await self._turn():
                pass
        finally:
            await self._stop_tasks()
        return self.state

    async def _turn(self) -> bool:
        """False when the run is left as it is."""
        match next_turn(self.state, self._tasks, self._asks):
            case Rest():
                return False
            case Drain():
                await self._legs.drain()
            case TurnBack(by):
                self._asks = replace(self._asks, cancel=None)
                await self._live.emit(Cancelled(by))
            case LookForNewer():
                self._asks = replace(self._asks, nudged=False)
                await self._look_for_newer()
            case Carry(legs):
                for leg in legs:
                    self._tasks[leg] = asyncio.create_task(self._leg(leg), name=f"{self.state.run} {leg}")
                await self._until_something()
        return True

    async def _until_something(self) -> None:
        self._live.moved.clear()
        waker = asyncio.create_task(self._live.moved.wait())
        try:
            await asyncio.wait({waker, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
        for leg, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[leg]
                task.result()  # LeaseLost and defects surface here; engine errors became events

    async def _look_for_newer(self) -> None:
        newer = await self._live.hooks.newer(self.state)
        if newer is not None and may_be_superseded(self.state):
            await self._stop_tasks()
            await self._live.emit(Superseded(newer))

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _leg(self, leg: Leg) -> None:
        async with self._slots:
            await self._legs.to_its_end(leg)
