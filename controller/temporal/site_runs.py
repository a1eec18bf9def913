"""Legs that the worker of a site carries out: the same legs over the same journal, under the lease of the controller
that holds the scope.

That lease is looked at in the transaction of every write (I14). Among the workers of a site one at a time has a run: it
holds a lease of its own for it, under a name no scope can have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from controller.journal.failure import Evicted, JournalUnavailable, NotHeld
from controller.journal.projections import OnlyWhile
from controller.journal.shared_lease import LEASE, SharedLeases
from controller.plan.step import Step
from controller.runtime.live_run import Hooks, LiveRun, Means
from controller.runtime.run import Event, RunState, Work
from controller.runtime.step_values import StepFiller
from controller.temporal.activities import Owned, beating
from controller.temporal.messages import Held, Request, Told, events_said, leg_heard
from controller.temporal.workflow import CARRY_THERE, LOOK_UP_THERE, NOT_HELD
from engines.engine import Values

_log = structlog.get_logger("site")
_FOLLOW_S = 1.0  # how late it hears that a run has turned round elsewhere


@dataclass(frozen=True, slots=True)
class _Fence:
    """Its own lease of the run, as far as it is sure of it; the epoch is the controller's."""

    leases: SharedLeases
    unit: str
    epoch: int

    def holds(self) -> bool:
        return self.leases.sure(self.unit)


@dataclass(frozen=True, slots=True)
class SiteHooks:
    """What a run asks of its surroundings, where there is no loop: values are read here."""

    filler: StepFiller

    async def values(self, state: RunState, work: Work, step: Step) -> Values:
        return await self.filler.for_step(state, work, step)

    async def newer(self, state: RunState) -> str | None:
        """The holder of the scope looks."""
        return None

    def progressed(self, state: RunState, events: Sequence[Event]) -> None:
        """The holder of the scope tells."""


@dataclass(slots=True)
class _Working:
    """A run that this worker has, and how many activities are at it."""

    owned: Owned
    held: Held
    users: int = 0
    following: asyncio.Task[None] | None = field(default=None)


class SiteRuns:
    """Of one worker of `site`."""

    def __init__(self, means: Means, leases: SharedLeases, hooks: Hooks, site: str) -> None:
        self._means, self._leases, self._hooks, self._site = means, leases, hooks, site
        self._working: dict[str, _Working] = {}
        self._changing = asyncio.Lock()

    def all(self) -> Sequence[Callable[..., Any]]:
        """For a worker."""
        return (self.carry, self.look_up)

    @activity.defn(name=CARRY_THERE)
    async def carry(self, request: Request) -> Told:
        """One leg, to its end."""
        assert request.leg is not None, "a leg is carried"
        leg = leg_heard(request.leg)
        return await self._told(request, lambda run: run.once(leg, lambda: run.legs.to_its_end(leg)))

    @activity.defn(name=LOOK_UP_THERE)
    async def look_up(self, request: Request) -> Told:
        """After a failure: find out about each open intent on the targets here."""
        targets = frozenset(self._means.engines)
        return await self._told(request, lambda run: run.once("look up", lambda: _looked_up(run, targets)))

    async def _told(self, request: Request, work: Callable[[Owned], Awaitable[None]]) -> Told:
        try:
            async with beating(), self._having(request) as run:
                await work(run)
                return Told(request.seen, events_said(run.live.events[request.seen :]))
        except NotHeld:
            raise ApplicationError("the lease has moved on", type=NOT_HELD, non_retryable=True) from None
        except ApplicationError:
            raise
        except Exception as e:
            # Its text may hold anything and stays here (I28); the server sends the leg again.
            _log.exception("a leg broke off", run=request.run)
            raise ApplicationError(type(e).__name__, type=type(e).__name__) from None

    @asynccontextmanager
    async def _having(self, request: Request) -> AsyncIterator[Owned]:
        # Shielded: the server may take the activity away at any moment, and what is half taken up must be put down.
        taking = asyncio.ensure_future(self._taken_up(request))
        try:
            await asyncio.shield(taking)
            yield taking.result().owned
        finally:
            await asyncio.shield(asyncio.ensure_future(self._left(request.run, taking)))

    async def _taken_up(self, request: Request) -> _Working:
        async with self._changing:
            working = await self._taken(request)
            working.users += 1
            return working

    async def _left(self, run: str, taking: asyncio.Future[_Working]) -> None:
        await asyncio.wait([taking])
        if taking.cancelled() or taking.exception() is not None:
            return
        working = taking.result()
        async with self._changing:
            working.users -= 1
            if not working.users and self._working.get(run) is working:
                await self._put_down(run, working)
                await self._let_go(run)

    async def _taken(self, request: Request) -> _Working:
        """Ours, in the state the journal has it, under the lease that was told."""
        held = request.held
        if held is None:
            raise ApplicationError("nobody told who holds the scope", type=NOT_HELD, non_retryable=True)
        known = self._working.get(request.run)
        if known is not None and known.held == held:
            return known
        if known is not None and known.held.epoch > held.epoch:
            raise NotHeld(held.scope)
        if known is not None:
            await self._put_down(request.run, known)
        unit = self._unit(request.run)
        if await self._leases.acquire(unit) != self._leases.name:
            raise ApplicationError(f"another worker of site {self._site} has run {request.run}", type="NotOwned")
        live = LiveRun(self._means_under(held), _Fence(self._leases, unit, held.epoch), self._hooks)
        if not await live.known(request.run):
            await self._let_go(request.run)
            raise ApplicationError(f"the journal has no run {request.run}", type="NotOwned")
        working = self._working[request.run] = _Working(Owned(live), held)
        working.following = asyncio.create_task(_follow(live), name=f"follows {request.run}")
        return working

    async def _put_down(self, run: str, working: _Working) -> None:
        """Nothing of it is under way here after this."""
        del self._working[run]
        if working.following is not None:
            working.following.cancel()
            await asyncio.wait([working.following])
        await working.owned.stop()

    async def _let_go(self, run: str) -> None:
        """What cannot be given back now is ours still, and the next leg of the run finds it so."""
        with suppress(JournalUnavailable, Evicted):
            await self._leases.release(self._unit(run))

    def _means_under(self, held: Held) -> Means:
        body = {"controller": held.controller, "epoch": held.epoch}
        return replace(self._means, log=replace(self._means.log, only_while=OnlyWhile(LEASE, held.scope, body)))

    def _unit(self, run: str) -> str:
        return f"/{run}@{self._site}"


async def _looked_up(run: Owned, targets: Collection[str]) -> None:
    if run.live.state.draining:
        await run.legs.look_up(targets)


async def _follow(live: LiveRun) -> None:
    """Between two steps, and while health is waited for, it is heard that a run was cancelled or failed elsewhere."""
    while True:
        await asyncio.sleep(_FOLLOW_S)
        with suppress(JournalUnavailable):
            await live.catch_up()
