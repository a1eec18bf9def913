"""One pass per key, the most urgent first, and no clock but the monotonic one (B6, B13, I23)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.work_queue import Item, Priority, WorkQueue
from tests.controller.runtime.clocks import VirtualClock

Report = Callable[..., None]
asks = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Priority), st.integers(0, 5)), max_size=20)


@given(asks)
def test_a_key_comes_once_with_its_most_urgent_asking_and_its_shortest_delay(
    given_asks: list[tuple[str, Priority, int]],
) -> None:
    clock = VirtualClock()
    queue = WorkQueue(clock)
    for key, priority, delay_s in given_asks:
        queue.add(key, priority, delay_s)
    came: dict[str, tuple[Priority, float]] = {}
    while (wait_s := queue.until_next_s()) is not None:
        clock.passed_s += wait_s
        item = queue.due()
        assert item is not None and item.key not in came
        came[item.key] = (item.priority, clock.now_s())
    for key in {k for k, _, _ in given_asks}:
        mine = [(p, d) for k, p, d in given_asks if k == key]
        assert came[key] == (min(p for p, _ in mine), min(d for _, d in mine))


def test_the_urgent_go_first_and_equals_in_the_order_of_asking() -> None:
    queue = WorkQueue(VirtualClock())
    for key, priority in (("a", Priority.POLL), ("b", Priority.DRIFT), ("c", Priority.DRIFT), ("d", Priority.PERSON)):
        queue.add(key, priority)
    assert [queue.due() for _ in range(5)] == [
        Item("d", Priority.PERSON),
        Item("b", Priority.DRIFT),
        Item("c", Priority.DRIFT),
        Item("a", Priority.POLL),
        None,
    ]


def test_what_is_asked_for_during_its_pass_comes_once_more_afterwards() -> None:
    queue = WorkQueue(VirtualClock())
    queue.add("a", Priority.POLL)
    assert queue.due() == Item("a", Priority.POLL)
    for _ in range(1000):
        queue.add("a", Priority.WEBHOOK)
    assert queue.due() is None and queue.depth()[Priority.WEBHOOK] == 1
    queue.over("a")
    assert queue.due() == Item("a", Priority.WEBHOOK)
    queue.over("a")
    assert queue.due() is None


async def test_who_waits_is_woken_by_an_asking() -> None:
    queue = WorkQueue(VirtualClock())
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add("a", Priority.PERSON)
    assert await waiting == Item("a", Priority.PERSON)


JUMPS = [
    timedelta(hours=-1),
    timedelta(hours=1),
    timedelta(days=-1),
    timedelta(days=1),
    timedelta(3650),
    timedelta(-3650),
]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_a_wall_clock_that_jumps_moves_no_retry(jump: timedelta, report_n: Report) -> None:
    clock = VirtualClock()
    queue = WorkQueue(clock)
    queue.add("a", Priority.POLL, 60)
    clock.wall_offset = jump
    assert queue.due() is None and queue.until_next_s() == 60
    clock.passed_s += 60
    assert queue.due() is not None
    report_n("B13 clock", 1)
