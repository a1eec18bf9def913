"""One run as a workflow: `run_turn` says what is next, an activity is one leg, and the journal stays the truth. What
Temporal keeps is the outline of the run; lost, the workflow is started again and reads it from the journal.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from controller.runtime.run import Leg, RunState
from controller.runtime.run_machine import advance, open_intents
from controller.runtime.run_turn import Asks, Carry, Drain, LookForNewer, TurnBack, may_be_superseded, next_turn
from controller.temporal.messages import Held, Order, Request, Told, event_heard, leg_said

RUN = "alma-run"
BEGIN, CARRY, DRAIN, CANCEL, LOOK, SUPERSEDE = "begin", "carry", "drain", "cancel", "look", "supersede"
# What a worker beside a target offers. The number is that of what it is told and tells: one of another version lets it
# be, and the server offers it to the next.
CARRY_THERE, LOOK_UP_THERE = "carry-there-1", "look-up-there-1"
NOT_HELD = "NotHeld"  # type of the error of a worker that was told of a lease which is another's by now

# Each activity may be told twice; it is carried out once, because it looks into the journal first.
_AGAIN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))
_LONGEST = timedelta(days=2)  # no step is bounded by this: the heartbeat says whether its worker lives


# Outside the sandbox, which hides the modules that type hints are read from. What it would catch cannot be here: all
# that decides is in the pure rooms, and kept histories are replayed by a test.
@workflow.defn(name=RUN, sandboxed=False)
class RunWorkflow:
    """Drives one run to its end."""

    def __init__(self) -> None:
        self._state: RunState | None = None
        self._seen = 0
        self._asks = Asks()
        self._held: Held | None = None
        self._under_way: dict[Leg, asyncio.Task[None]] = {}
        self._moved = False

    @workflow.run
    async def run(self, order: Order) -> str:
        """The word the run ended with."""
        self._order = order
        self._asks = replace(self._asks, cancel=self._asks.cancel or order.cancel)
        await self._ask(BEGIN)
        while not self.state.word.ended:
            if workflow.info().is_continue_as_new_suggested() and not self._under_way:
                workflow.continue_as_new(replace(order, cancel=self._asks.cancel))
            await self._turn()
        return self.state.word.value

    @workflow.signal
    def cancel(self, by: str) -> None:
        """Turn round, on behalf of `by`."""
        self._asks = replace(self._asks, cancel=by)
        self._moved = True

    @workflow.signal
    def nudge(self) -> None:
        """A newer revision waits: look at the next barrier."""
        self._asks = replace(self._asks, nudged=True)
        self._moved = True

    @workflow.query
    def progress(self) -> dict[str, object]:
        """The run's word, how many of its legs are over, and what is under way."""
        legs = [] if self._state is None else [leg for b in self._state.program for leg in b.legs]
        return {
            "word": "queued" if self._state is None else self._state.word.value,
            "legs": len(legs),
            "over": 0 if self._state is None else sum(leg in self._state.done for leg in legs),
            "under_way": [f"{leg.kind} {self._name(leg)}" for leg in self._under_way],
        }

    @property
    def state(self) -> RunState:
        assert self._state is not None, "begin is the first activity"
        return self._state

    def _name(self, leg: Leg) -> str:
        return self.state.works[leg.work].change.effect.key.name

    async def _turn(self) -> None:
        match next_turn(self.state, self._under_way, self._asks):
            case Drain():
                await self._drain()
            case TurnBack(by):
                self._asks = replace(self._asks, cancel=None)
                await self._ask(CANCEL, by=by)
            case LookForNewer():
                self._asks = replace(self._asks, nudged=False)
                await self._look_for_newer()
            case Carry(legs):
                for leg in legs[: self._room()]:
                    self._under_way[leg] = asyncio.create_task(self._carry(leg))
                await self._until_something()

    def _room(self) -> int:
        """How many legs more may go: none once the history is long, until what is under way has ended."""
        full = workflow.info().is_continue_as_new_suggested()
        return 0 if full else max(0, self._order.in_flight - len(self._under_way))

    async def _until_something(self) -> None:
        self._moved = False
        ended = [*self._under_way.values()]
        await workflow.wait_condition(lambda: self._moved or any(task.done() for task in ended))
        for leg, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[leg]
                task.result()  # what an activity does not try again ends the workflow

    async def _look_for_newer(self) -> None:
        told = await self._ask(LOOK)
        if told.newer is None or not may_be_superseded(self.state):
            return
        checks = [*self._under_way.values()]
        self._under_way.clear()
        for task in checks:
            task.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
        await self._ask(SUPERSEDE, by=told.newer)

    async def _carry(self, leg: Leg) -> None:
        queue = self._queue(leg.work)
        if queue is None:
            await self._ask(CARRY, leg=leg)
        else:
            await self._ask_there(queue, CARRY_THERE, leg)

    async def _drain(self) -> None:
        """First where the targets are, then the rest."""
        queues = {self._queue(ref.work) for ref in open_intents(self.state)}
        for queue in sorted(q for q in queues if q is not None):
            await self._ask_there(queue, LOOK_UP_THERE)
        await self._ask(DRAIN)

    def _queue(self, work: int) -> str | None:
        return self._order.queues.get(self.state.works[work].change.target)

    async def _ask_there(self, queue: str, activity: str, leg: Leg | None = None) -> None:
        """Of a worker beside a target; afterwards whoever holds the scope takes in what came of it. Where the lease has
        moved on meanwhile, its new holder tells it, and the worker is asked once more."""
        while True:
            try:
                await self._ask(activity, leg, queue=queue)
            except ActivityError as e:
                if not (isinstance(e.cause, ApplicationError) and e.cause.type == NOT_HELD):
                    raise
                await workflow.sleep(1)
                await self._ask(BEGIN)
            else:
                await self._ask(BEGIN)
                return

    async def _ask(self, activity: str, leg: Leg | None = None, by: str = "", queue: str | None = None) -> Told:
        held = self._held if queue else None
        told: Told = await workflow.execute_activity(
            activity,
            Request(self._order.run, self._seen, leg_said(leg) if leg else None, by, held),
            task_queue=queue,
            result_type=Told,
            start_to_close_timeout=_LONGEST,
            heartbeat_timeout=timedelta(seconds=self._order.heartbeat_s),
            retry_policy=_AGAIN,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{leg.kind} {self._name(leg)}" if leg else None,
        )
        self._hear(told)
        return told

    def _hear(self, told: Told) -> None:
        """Activities end side by side: what one tells may be known from another."""
        self._held = told.held or self._held
        for said in told.events[self._seen - told.start :]:
            self._state, _ = advance(self._state, event_heard(said))
            self._seen += 1
