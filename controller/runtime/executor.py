"""Drives one run: todos of the state machine → legs side by side → events, each journaled before it counts (I8).

Everything it decides is decided by `controller.runtime.run_machine`; how a leg and a step are carried out stands in
`legs` and `one_step`. Killed anywhere, `run` with the same id goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from controller.plan.step import Fence, Receipt, ReceiptState
from controller.runtime.clock import Clock
from controller.runtime.legs import Legs
from controller.runtime.live_run import Bounds, Hooks, LiveRun, Sealer, StepFailed
from controller.runtime.one_step import OneStep
from controller.runtime.run import (
    Acted,
    Begun,
    Cancelled,
    Drained,
    Leg,
    LegDone,
    LegFailed,
    LegKind,
    RunState,
    RunWord,
    Superseded,
)
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import at_barrier, open_intents, todos
from engines.engine import Engine

_BOUNDS = Bounds()


class Executor(Protocol):
    """Carries a run to one of its ends; safe to call again with the same id after a crash."""

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState: ...

    def cancel(self, run: str, by: str) -> bool:
        """Turn a running run round; False if it is not running here."""
        ...

    def nudge(self, run: str) -> None:
        """A newer revision waits: look at `hooks.newer` at the next barrier."""
        ...


class LocalExecutor:
    """In this process, on asyncio."""

    def __init__(
        self, engines: Mapping[str, Engine], log: RunLog, sealer: Sealer, clock: Clock, bounds: Bounds = _BOUNDS
    ) -> None:
        self._engines, self._log, self._sealer, self._clock, self._bounds = engines, log, sealer, clock, bounds
        self._drivers: dict[str, _Driver] = {}

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState:
        """Begin `begun.run`, or go on with it if the journal knows it. Raises LeaseLost; engine errors are data."""
        live = LiveRun(self._engines, self._log, self._sealer, self._clock, self._bounds, fence, hooks)
        driver = _Driver(live)
        self._drivers[begun.run] = driver
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


class _Driver:
    """One run in flight."""

    def __init__(self, live: LiveRun) -> None:
        self._live, self._steps = live, OneStep(live)
        self._legs = Legs(live, self._steps)
        self._tasks: dict[Leg, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(live.bounds.in_flight)
        self._cancel: str | None = None
        self._nudged = True

    @property
    def state(self) -> RunState:
        return self._live.state

    # --- from the loop around it ---

    def cancel(self, by: str) -> bool:
        self._cancel = by
        self._live.moved.set()
        return self._live.going

    def nudge(self) -> None:
        self._nudged = True
        self._live.moved.set()

    # --- the main function ---

    async def drive(self, begun: Begun) -> RunState:
        await self._live.recall(begun)
        try:
            while not self.state.word.ended:
                await self._turn()
        finally:
            await self._stop_tasks()
        return self.state

    async def _turn(self) -> None:
        """Start what may start, then wait until something ends or someone calls."""
        if self.state.draining and not self._tasks:
            await self._drain()
            return
        if await self._turned_round():
            return
        for leg in todos(self.state):
            if leg not in self._tasks:
                self._tasks[leg] = asyncio.create_task(self._leg(leg), name=f"{self.state.run} {leg}")
        await self._until_something()

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

    async def _turned_round(self) -> bool:
        """A cancel, or a newer revision at a barrier. True if the state moved."""
        if self._cancel and not self.state.draining and self.state.word in (RunWord.RUNNING, RunWord.VERIFYING):
            by, self._cancel = self._cancel, None
            await self._live.emit(Cancelled(by))
            return True
        checking = all(leg.kind is LegKind.CHECK for leg in self._tasks)
        if not (self._nudged and checking and not self.state.draining and at_barrier(self.state)):
            return False
        self._nudged = False
        newer = await self._live.hooks.newer(self.state)
        if newer is None or self.state.draining or not at_barrier(self.state):
            return False
        await self._stop_tasks()
        await self._live.emit(Superseded(newer))
        return True

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self) -> None:
        """Nothing is in flight: find out about each open intent, then turn round."""
        for ref in open_intents(self.state):
            step = self._live.step(ref)
            try:
                await self._steps.look_up(ref, step)
            except StepFailed as e:
                # It may have acted and nobody can tell: keep it, so that undo tries and parks if it must.
                await self._live.emit(
                    Acted(ref, Receipt(self._live.op(ref, step), ReceiptState.VANISHED, message=str(e)))
                )
        await self._live.emit(Drained())

    async def _leg(self, leg: Leg) -> None:
        async with self._slots:
            if leg not in todos(self.state):
                return  # a failure elsewhere came first: nothing new starts
            try:
                finished = await self._legs.carry_out(leg)
            except StepFailed as e:
                await self._live.emit(LegFailed(leg, str(e)))
            else:
                if finished:
                    await self._live.emit(LegDone(leg))
