"""One run in flight, as the parts that carry it out see it: its state, which moves only by events that are durable, and
what bounds each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from controller.errors import AlmaError
from controller.plan.step import Fence, OpId, Step, op_id
from controller.runtime.clock import Clock
from controller.runtime.guarded import Guarded
from controller.runtime.run import Begun, Event, OpRef, RunState, Work
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import advance, replayed
from engines.engine import Engine, Seal, Unclear, Values

T = TypeVar("T")
Sealer: TypeAlias = Callable[[str], Seal]  # op → what its prior state may be sealed with


class LeaseLost(AlmaError):
    """Another process may own this scope now: nothing more is sent; the owner goes on from the journal (I14)."""


class StepFailed(Exception):
    """Forward or backward work cannot go on; the text is for people."""


class Hooks(Protocol):
    """What a run asks of the loop around it."""

    async def values(self, state: RunState, work: Work, step: Step) -> Values:
        """Secrets and outputs for one step, resolved now, held only while it is sent."""
        ...

    async def newer(self, state: RunState) -> str | None:
        """At a barrier: the id of a newer run that is planned, limited, gated and may run now; else None."""
        ...

    def progressed(self, state: RunState, events: Sequence[Event]) -> None:
        """After each durable batch: metrics, comment, log. Must not fail or wait."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much at once and how long; seconds."""

    in_flight: int = 8
    step_timeout_s: float = 600.0
    health_timeout_s: float = 300.0
    poll_s: float = 0.25
    call_s: float = 660.0  # an engine bounds its own calls; one that does not answer even so is Unclear after this


@dataclass(frozen=True, slots=True)
class Means:
    """What all runs of an install work with. `engines` by target."""

    engines: Mapping[str, Engine]
    log: RunLog
    sealer: Sealer
    clock: Clock
    bounds: Bounds = Bounds()


class LiveRun:
    """State and surroundings of one run. `moved` is set after each event.

    Other processes may write events of the same run, beside targets that are not reached from here: the state is that
    of the journal, in the journal's order.
    """

    def __init__(self, means: Means, fence: Fence, hooks: Hooks) -> None:
        self._engines, self._log, self.sealer, self.clock = means.engines, means.log, means.sealer, means.clock
        self.bounds, self.fence, self.hooks = means.bounds, fence, hooks
        self.moved = asyncio.Event()
        self.resting = False  # this process ends: no step begins any more
        self.events: list[Event] = []  # all that are durable, in their order
        self._state: RunState | None = None
        self._version = 0  # of the run's stream, up to which the state is known
        self._writing = asyncio.Lock()
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []

    @property
    def state(self) -> RunState:
        assert self._state is not None, "a run has begun before its legs run"
        return self._state

    @property
    def going(self) -> bool:
        return self._state is not None and not self._state.word.ended

    async def recall(self, begun: Begun) -> None:
        """Begin, or come to where an earlier process left the run."""
        if not await self.known(begun.run):
            await self._log.append(begun.run, [begun])
            await self.known(begun.run)

    async def known(self, run: str) -> bool:
        """Come to where the journal has the run; False where it does not know it."""
        events, self._version = await self._log.since(run, 0)
        if events:
            self._state, self.events = replayed(events), list(events)
            self.hooks.progressed(self.state, events)
        return bool(events)

    async def catch_up(self) -> None:
        """Take in what other processes wrote of this run."""
        # Shielded: a read of the database that is cut off in the middle costs its connection.
        await asyncio.shield(asyncio.ensure_future(self._catch_up()))

    async def _catch_up(self) -> None:
        async with self._writing:
            events, version = await self._log.since(self.state.run, self._version)
            self._take(events, version)
        if events:
            self.moved.set()

    async def emit(self, event: Event) -> None:
        """Durable first, then known. Callers at the same time share one commit."""
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, heard))
        # Shielded: a check that is cancelled in mid-write must not part the journal from the state.
        await asyncio.shield(asyncio.ensure_future(self._flush()))
        await heard
        self.moved.set()

    async def _flush(self) -> None:
        async with self._writing:
            batch, self._waiting = self._waiting, []
            if batch:
                await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Event, asyncio.Future[None]]]) -> None:
        events = [event for event, _ in batch]
        try:
            versions = await self._log.append(self.state.run, events)
            if versions.start == self._version + 1:
                self._take(events, versions[-1])
            else:  # others wrote before us, and their events come first
                self._take(*await self._log.since(self.state.run, self._version))
        except BaseException as e:
            for _, heard in batch:
                if not heard.done():
                    heard.set_exception(e if isinstance(e, Exception) else LeaseLost("stopped while writing"))
                    heard.exception()  # who called for this write hears of it from the write itself
            raise
        for _, heard in batch:
            if not heard.done():
                heard.set_result(None)

    def _take(self, events: Sequence[Event], version: int) -> None:
        for event in events:
            self._state, _ = advance(self.state, event)
            self.events.append(event)
        self._version = version
        if events:
            self.hooks.progressed(self.state, events)

    async def bounded(self, call: Awaitable[T]) -> T:
        """No call holds a run for ever. Real time, not the clock's: this is about a socket, not about the plan."""
        try:
            return await asyncio.wait_for(call, self.bounds.call_s)
        except TimeoutError as e:
            raise Unclear(f"no answer within {self.bounds.call_s:.0f} s") from e

    def engine(self, work: int) -> Guarded:
        target = self.state.works[work].change.target
        if target not in self._engines:
            raise StepFailed(f"target {target} is not in the server configuration any more; name it again")
        return Guarded(self._engines[target], target)

    def step(self, ref: OpRef) -> Step:
        work = self.state.works[ref.work]
        return work.change.effect.steps[ref.step].for_run(work.short)

    def op(self, ref: OpRef, step: Step) -> OpId:
        work = self.state.works[ref.work]
        number = ref.step if ref.undo < 0 else ref.step * 100 + ref.undo
        return op_id(work.run, work.change.target, step.key, number, undo=ref.undo >= 0)
