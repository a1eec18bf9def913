"""Legs at a site: carried out once however often they are sent, by one worker at a time, under its scope's lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from controller.journal.journal import Document, Journal
from controller.journal.place import ServerPlace
from controller.journal.shared_lease import LEASE, Registration, SharedLeases
from controller.journal.signals import PostgresSignals
from controller.runtime.live_run import Means
from controller.runtime.run import Leg
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import replayed, todos
from controller.temporal.messages import Held, Request, Told, event_heard, leg_said
from controller.temporal.outline import outlined
from controller.temporal.site_runs import SiteRuns
from controller.temporal.workflow import NOT_HELD
from tests.controller.journal.clocks import Ticks, noon
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.running import KEY, Asked, Field, an_engine
from tests.controller.runtime.test_executor import SHOP
from tests.engines.conformance import SCOPE
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres

FIRST, SECOND = Held(SCOPE, "c0", 1), Held(SCOPE, "c0", 2)


@dataclass(frozen=True)
class Process:
    """A worker as another process would be one."""

    runs: SiteRuns
    leases: SharedLeases


Worker = Callable[[str], Awaitable[Process]]


class Site:
    """A run that the journal knows, and workers beside its target."""

    def __init__(self, folder: Path, journal: Journal, run: str) -> None:
        self.folder, self.journal, self.run, self.log = folder, journal, run, RunLog(journal)

    async def lease(self, held: Held) -> None:
        body = {"controller": held.controller, "epoch": held.epoch}
        await self.journal.append(f"lease:{held.scope}", [], [Document(LEASE, held.scope, body)])

    async def next_leg(self) -> Leg | None:
        return next(iter(todos(replayed(await self.log.read(self.run)))), None)

    async def carry(self, worker: Process, leg: Leg, held: Held) -> Told:
        request = Request(self.run, 0, leg_said(leg), "", held)
        told: Told = await ActivityEnvironment().run(worker.runs.carry, request)
        return told


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
async def site(postgres: PostgresServer, tmp_path: Path, stack: AsyncExitStack) -> Site:
    journal = await Journal.open(postgres.empty(), tmp_path, now=noon)
    stack.push_async_callback(journal.close)
    begun = await Field(journal, VirtualClock()).begun(tmp_path, SHOP)
    made = Site(tmp_path, journal, begun.run)
    await made.log.append(begun.run, [begun])
    await made.lease(FIRST)
    return made


@pytest.fixture
def worker(site: Site, postgres: PostgresServer, stack: AsyncExitStack) -> Worker:
    async def started(name: str) -> Process:
        (site.folder / name).mkdir()
        journal = await Journal.open(postgres.url(), site.folder / name, now=noon)
        stack.push_async_callback(journal.close)
        signals = PostgresSignals(ServerPlace(postgres.url()), 10.0)
        stack.push_async_callback(signals.close)
        leases = await SharedLeases.start(journal, signals, Registration(name, name, "there", serves=False), Ticks())
        means = Means({"one": an_engine(site.folder)}, RunLog(journal), KEY.sealer, VirtualClock())
        return Process(SiteRuns(means, leases, Asked(), "west"), leases)

    return started


async def test_a_leg_that_is_sent_twice_at_once_and_again_acts_once(
    site: Site, worker: Worker, report_n: Callable[..., None]
) -> None:
    """B22: and what is told is what the journal holds."""
    west, sent = await worker("w"), 0
    while (leg := await site.next_leg()) is not None:
        await asyncio.gather(*(site.carry(west, leg, FIRST) for _ in range(2)))
        before = await site.log.read(site.run)
        told = await site.carry(west, leg, FIRST)
        assert await site.log.read(site.run) == before
        assert [event_heard(e) for e in told.events] == [outlined(e) for e in before]
        sent += 3
    assert replayed(await site.log.read(site.run)).word.value == "done"
    assert await site.journal.documents(LEASE, "/") == {}, "a run that nobody works at is given back"
    report_n("B22 legs sent twice to a site", sent)


async def test_under_a_lease_that_has_moved_on_nothing_is_written_or_sent(site: Site, worker: Worker) -> None:
    """I14."""
    west, leg = await worker("w"), await site.next_leg()
    assert leg is not None
    await site.lease(SECOND)
    before = await site.log.read(site.run)
    with pytest.raises(ApplicationError) as caught:
        await site.carry(west, leg, FIRST)
    assert (caught.value.type, caught.value.non_retryable) == (NOT_HELD, True)
    assert await site.log.read(site.run) == before
    assert not (site.folder / "simulation" / "one.json").exists()
    await site.carry(west, leg, SECOND)
    assert await site.next_leg() != leg


async def test_a_run_that_another_worker_has_is_left_to_it(site: Site, worker: Worker) -> None:
    """It is offered again, and goes on where that one ends, or is taken for dead."""
    west, other, leg = await worker("w"), await worker("o"), await site.next_leg()
    assert leg is not None
    unit = f"/{site.run}@west"
    assert await other.leases.acquire(unit) == "o"
    with pytest.raises(ApplicationError, match="another worker of site west has run") as caught:
        await site.carry(west, leg, FIRST)
    assert not caught.value.non_retryable
    await west.leases.evict("o", "silent")
    await site.carry(west, leg, FIRST)
    assert await site.next_leg() != leg
