"""The activities of runs that are owned here: each looks into the run's own journal first, so one that is sent twice
acts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from controller.runtime.legs import Legs
from controller.runtime.live_run import LiveRun
from controller.runtime.run import Cancelled, Leg, Superseded
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import replayed
from controller.runtime.run_turn import may_be_superseded
from controller.temporal.messages import Held, Request, Told, events_said, leg_heard
from controller.temporal.workflow import BEGIN, CANCEL, CARRY, DRAIN, LOOK, SUPERSEDE

_BEATS = 3  # within the time after which silence counts as death


class Owned:
    """One run that this process owns: it holds the lease of its scope."""

    def __init__(self, live: LiveRun) -> None:
        self.live, self.legs = live, Legs(live)
        self.broke: Exception | None = None  # why it cannot go on here: LeaseLost, or a defect
        self._under_way: dict[Leg | str, asyncio.Task[None]] = {}

    async def once(self, what: Leg | str, work: Callable[[], Awaitable[None]]) -> None:
        """Carry `work` out; a second call while it is under way waits for the first one."""
        task = self._under_way.get(what)
        if task is None:
            task = self._under_way[what] = asyncio.ensure_future(work())
            task.add_done_callback(lambda _: self._under_way.pop(what, None))
        await task

    async def stop(self) -> None:
        """Nothing of it is under way here after this."""
        tasks = [*self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Activities:
    """What a worker of this process offers."""

    def __init__(self, log: RunLog, controller: str = "") -> None:
        """`controller`: where workers beside targets write to the same runs, the name under which this process holds
        its leases."""
        self._log, self._controller = log, controller
        self._owned: dict[str, Owned] = {}

    @asynccontextmanager
    async def owning(self, live: LiveRun) -> AsyncIterator[Owned]:
        """While inside, the activities of this run are carried out here."""
        owned = self._owned[live.state.run] = Owned(live)
        try:
            yield owned
        finally:
            del self._owned[live.state.run]
            await owned.stop()

    def owned(self, run: str) -> Owned | None:
        return self._owned.get(run)

    def all(self) -> Sequence[Callable[..., Any]]:
        """For a worker."""
        return (self.begin, self.carry, self.drain, self.cancel, self.look, self.supersede)

    @activity.defn(name=BEGIN)
    async def begin(self, request: Request) -> Told:
        """Where the run stands."""
        return await self._told(request, _nothing)

    @activity.defn(name=CARRY)
    async def carry(self, request: Request) -> Told:
        """One leg, to its end."""
        assert request.leg is not None, "a leg is carried"
        leg = leg_heard(request.leg)
        return await self._told(request, lambda run: run.once(leg, lambda: run.legs.to_its_end(leg)))

    @activity.defn(name=DRAIN)
    async def drain(self, request: Request) -> Told:
        """After a failure: nothing is in flight, and every open intent is looked up."""
        return await self._told(request, lambda run: run.once(DRAIN, lambda: _drained(run)))

    @activity.defn(name=CANCEL)
    async def cancel(self, request: Request) -> Told:
        """Turn round."""
        return await self._told(request, lambda run: run.live.emit(Cancelled(request.by)))

    @activity.defn(name=LOOK)
    async def look(self, request: Request) -> Told:
        """Whether a newer revision takes over."""
        newer: list[str | None] = []

        async def look(run: Owned) -> None:
            newer.append(await run.live.hooks.newer(run.live.state))

        told = await self._told(request, look)
        return replace(told, newer=newer[0])

    @activity.defn(name=SUPERSEDE)
    async def supersede(self, request: Request) -> Told:
        """Give way to the run `by`, where this still is a barrier."""

        async def supersede(run: Owned) -> None:
            if may_be_superseded(run.live.state):
                await run.live.emit(Superseded(request.by))

        return await self._told(request, supersede)

    async def _told(self, request: Request, work: Callable[[Owned], Awaitable[None]]) -> Told:
        run = self._owned.get(request.run)
        if run is None:
            return await self._told_by_journal(request)
        try:
            async with beating():
                if self._controller:
                    await run.live.catch_up()
                await work(run)
        except Exception as e:
            # Its text may hold anything and stays here (I28); whoever waits for the run raises it.
            run.broke = e
            raise ApplicationError(type(e).__name__, type=type(e).__name__, non_retryable=True) from None
        return Told(request.seen, events_said(run.live.events[request.seen :]), held=self._held(run.live))

    def _held(self, live: LiveRun) -> Held | None:
        if not self._controller:
            return None
        return Held(live.state.plan.scope, self._controller, live.fence.epoch)

    async def _told_by_journal(self, request: Request) -> Told:
        """A run that ended while its last answer was lost is told to its end. Another is asked for again soon: its
        owner is starting, or is another worker of this queue."""
        events = await self._log.read(request.run)
        if not events or not replayed(events).word.ended:
            raise ApplicationError(f"run {request.run} is not owned by this worker", type="NotOwned")
        return Told(request.seen, events_said(events[request.seen :]))


async def _nothing(run: Owned) -> None:
    return None


async def _drained(run: Owned) -> None:
    """An answer that was lost does not turn the run round a second time."""
    if run.live.state.draining:
        await run.legs.drain()


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """While inside, the server is told that this activity's worker lives."""
    task = asyncio.create_task(_beat())
    try:
        yield
    finally:
        task.cancel()


async def _beat() -> None:
    every = activity.info().heartbeat_timeout
    while every is not None:
        activity.heartbeat()
        await asyncio.sleep(every.total_seconds() / _BEATS)
