"""The wall clock is for display: order, epochs and leases do not hear of it (I23, B13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.journal.journal import Entry, Journal
from controller.journal.lease import Leases, lock_state
from tests.controller.journal.clocks import Ticks

START = datetime(2026, 6, 30, 23, 59, 58, tzinfo=UTC)
HOUR, DAY, YEARS = timedelta(hours=1), timedelta(days=1), timedelta(days=3652)


def stepping(*steps: timedelta) -> Iterator[datetime]:
    """One second passes between two looks; after the first half of them `steps` are added too."""
    at, extra = START, list(steps)
    for number in range(1000):
        yield at
        at += timedelta(seconds=1) + (extra.pop(0) if number >= 2 and extra else timedelta())


def at_speed(factor: float) -> Iterator[datetime]:
    for number in range(1000):
        yield START + timedelta(seconds=number * factor)


def leap_second() -> Iterator[datetime]:
    """23:59:59 is there twice, as most systems tell a leap second."""
    for seconds in (0, 1, 1, *range(2, 1000)):
        yield START + timedelta(seconds=seconds)


CLOCKS: dict[str, Callable[[], Iterator[datetime]]] = {
    "+1 h": lambda: stepping(HOUR),
    "-1 h": lambda: stepping(-HOUR),
    "+1 day": lambda: stepping(DAY),
    "-1 day": lambda: stepping(-DAY),
    "+10 years": lambda: stepping(YEARS),
    "-10 years": lambda: stepping(-YEARS),
    "there and back": lambda: stepping(YEARS, -YEARS),
    "frozen": lambda: at_speed(0),
    "twice as fast": lambda: at_speed(2),
    "half as fast": lambda: at_speed(0.5),
    "backwards": lambda: at_speed(-1),
    "leap second": leap_second,
}


@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_wall_clock_that_jumps_changes_no_order_and_no_lease(
    url: str, state: Path, tmp_path: Path, clock: str, report_n: Callable[..., None]
) -> None:
    """B13."""
    times = CLOCKS[clock]()
    ticks, lock = Ticks(), lock_state(tmp_path)
    epochs = []
    for start in range(2):
        journal = await Journal.open(url, state, now=lambda: next(times))
        leases = await Leases.start(lock, journal, ticks)
        epochs.append(leases.epoch)
        lease = leases.take("prod")
        for n in range(5):
            await journal.append("s", [Entry("n", {"n": start * 5 + n})])
            ticks.now_s += 1.0
            assert lease.holds()
        assert [r.body["n"] for r in await journal.read("s")] == list(range(start * 5 + 5))
        assert [r.seq for r in await journal.tail()] == list(range(1, journal.head + 1))
        assert (await journal.verify()).intact
        await journal.close()
    assert epochs == [1, 2]
    report_n("B13 clock", 1)


@pytest.mark.parametrize("jump_s", [-1e9, -0.1, 0.0, 1e9])
async def test_a_monotonic_clock_that_is_none_only_makes_us_look_again(
    journal: Journal, tmp_path: Path, jump_s: float
) -> None:
    """A process that was stopped, or a clock that lies: the lock itself is asked, never a guess."""
    ticks, lock = Ticks(), lock_state(tmp_path)
    lease = (await Leases.start(lock, journal, ticks)).take("prod")
    assert lease.holds()
    ticks.now_s += jump_s
    assert lease.holds()
    lock.release()
    ticks.now_s += jump_s or 2.0
    assert not lease.holds()
