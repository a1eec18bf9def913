"""Leases of several processes on one PostgreSQL: who is silent loses everything, and cannot write (I14, B16)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.journal.failure import Evicted
from controller.journal.journal import Entry, Journal
from controller.journal.lease import ScopeBusy
from controller.journal.place import ServerPlace
from controller.journal.shared_lease import LEASE, LEASE_S, Registration, SharedLeases
from controller.journal.signals import PostgresSignals
from tests.controller.journal.clocks import Ticks, noon
from tests.controller.journal.databases import on_a_server

pytestmark = [pytest.mark.postgres, on_a_server]


@dataclass
class Process:
    journal: Journal
    leases: SharedLeases
    clock: Ticks

    async def writes(self) -> bool:
        """Whether the database takes a record of this process."""
        try:
            await self.journal.append("run:x", [Entry("run.op-intended", {"by": self.leases.name})])
        except Evicted:
            return False
        return True


Start = Callable[[str], Awaitable[Process]]


@pytest.fixture
async def start(url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """`start(name)`: a process of that name; each has a clock of its own, far from the others'."""
    starts = itertools.count()
    async with AsyncExitStack() as stack:

        async def started(name: str) -> Process:
            folder = tmp_path / f"{name}{next(starts)}"
            folder.mkdir()
            journal, clock = await Journal.open(url, folder, now=noon), Ticks(1e6 * next(starts))
            stack.push_async_callback(journal.close)
            signals = PostgresSignals(ServerPlace(url), 10.0)
            stack.push_async_callback(signals.close)
            me = Registration(name, folder.name, f"host of {name}", serves=True)
            return Process(journal, await SharedLeases.start(journal, signals, me, clock), clock)

        yield started


async def silent(watching: Process, name: str, seconds: float) -> None:
    """`watching` looks at short intervals for so long, while `name` says nothing."""
    for _ in range(round(seconds)):
        watching.clock.now_s += 1.0
        await watching.leases.beat()
    if watching.leases.is_dead(name):
        await watching.leases.evict(name, "silent")


async def test_a_scope_has_one_holder_and_the_others_are_told_who(start: Start) -> None:
    one, other = await start("one"), await start("other")
    assert await one.leases.acquire("prod") == "one"
    assert await other.leases.acquire("prod") == "one"
    assert await one.leases.acquire("prod") == "one"
    with pytest.raises(ScopeBusy, match=r"held by another controller \(host of one"):
        await other.leases.hold("prod")
    with pytest.raises(ScopeBusy, match="not held by this controller"):
        other.leases.take("prod")
    lease = one.leases.take("prod")
    assert lease.holds() and lease.epoch == 1
    lease.release()
    await one.leases.release("prod")
    assert await other.leases.acquire("prod") == "other"
    assert other.leases.take("prod").epoch > 1


async def test_of_many_that_want_a_scope_at_once_one_gets_it(start: Start) -> None:
    processes = [await start(name) for name in "abc"]
    units = [f"s{n}" for n in range(10)]
    tries = [p.leases.acquire(unit) for unit in units for p in processes]
    answers = await asyncio.gather(*tries)
    assert all(len(set(answers[n : n + 3])) == 1 for n in range(0, 30, 3))
    assert await processes[0].leases.holders() == dict(zip(units, answers[::3], strict=True))


async def test_who_is_silent_for_a_lease_loses_all_and_what_it_still_writes_is_refused(
    start: Start, report_n: Callable[..., None], full: bool
) -> None:
    """B16: the sleeper believes that it leads; the database knows better, in the very transaction."""
    watcher, accepted, epoch = await start("watcher"), 0, 0
    points = 1000 if full else 20
    for point in range(points):
        sleeper = await start("sleeper")
        assert await sleeper.leases.acquire("prod") == "sleeper"
        lease = sleeper.leases.take("prod")
        assert await sleeper.writes() and lease.epoch > epoch
        await watcher.leases.beat()
        await silent(watcher, "sleeper", LEASE_S)
        assert await watcher.leases.acquire("prod") == "watcher"
        # Its own clock stood still: it is as sure as it was.
        assert lease.holds()
        accepted += await sleeper.writes()
        assert not lease.holds() and not sleeper.journal.writable
        if point % 2:  # a beat finds out too
            with pytest.raises(Evicted):
                await sleeper.leases.beat()
        taken = watcher.leases.take("prod")
        assert taken.holds() and taken.epoch > (epoch := lease.epoch or epoch)
        taken.release()
        await watcher.leases.release("prod")
        await sleeper.leases.signals.close()
        await sleeper.journal.close()
    report_n("B16 stale writes refused", points, accepted)
    assert accepted == 0
    assert (await watcher.journal.verify()).intact


async def test_a_holder_that_cannot_say_that_it_lives_stops_before_others_may_start(start: Start) -> None:
    """I14: too little of the lease is left for a call long before it ends."""
    one, other = await start("one"), await start("other")
    await one.leases.acquire("prod")
    lease = one.leases.take("prod")
    await other.leases.beat()
    one.clock.now_s += LEASE_S * 2 / 3
    assert not lease.holds()
    await silent(other, "one", LEASE_S - 1)
    assert await other.leases.acquire("prod") == "one"
    await one.leases.beat()
    assert lease.holds()


async def test_who_was_away_itself_takes_nobody_for_dead(start: Start) -> None:
    """I23: after an outage of the database, or a stop of this process, every beat seems to have stood still."""
    one, other = await start("one"), await start("other")
    await other.leases.beat()
    other.clock.now_s += 100 * LEASE_S
    await other.leases.beat()
    assert not other.leases.is_dead("one")
    await silent(other, "one", LEASE_S - 1)
    assert await one.writes()
    await silent(other, "one", 1)
    assert not await one.writes()


async def test_the_next_process_of_a_state_folder_takes_over_at_once(start: Start) -> None:
    """Its lock tells that the last one has ended."""
    killed = await start("one")
    await killed.leases.acquire("prod")
    again = await start("one")
    assert await again.leases.acquire("prod") == "one"
    assert again.leases.take("prod").epoch == 2
    assert not await killed.writes()


async def test_who_leaves_gives_everything_back_at_once(start: Start) -> None:
    one, other = await start("one"), await start("other")
    await one.leases.acquire("prod")
    await one.leases.close()
    assert await other.leases.acquire("prod") == "other"
    assert list(await other.leases.others()) == []
    assert await other.journal.documents(LEASE) != {}
