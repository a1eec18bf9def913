"""B7 and B6: no request before the permitted time, growing waits where none is named, and back at work soon after."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.forges.forge import Forge, ForgeUnavailable, Status, StatusState
from tests.controller.forges.fake_forge import Fault, FaultPlan, at_first
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.memory_forges import FORGES

Report = Callable[..., None]
Deed = Callable[[Forge, FakeRepository], Coroutine[Any, Any, None]]

STATED = (Fault.LIMIT_RETRY_AFTER, Fault.LIMIT_RETRY_DATE, Fault.LIMIT_RESET, Fault.UNAVAILABLE_RETRY_AFTER)
UNSTATED = (Fault.LIMIT_BARE, Fault.LIMIT_SECONDARY)


async def look(forge: Forge, server: FakeRepository) -> None:
    await forge.pulls()


async def comment(forge: Forge, server: FakeRepository) -> None:
    await forge.write_comment(1, "alma:infra:1", "plan")


async def final_status(forge: Forge, server: FakeRepository) -> None:
    sha = server.branches["ipr/one"]
    await forge.write_status(sha, Status("alma/deploy", StatusState.SUCCESS, "done"))


async def rights(forge: Forge, server: FakeRepository) -> None:
    await forge.standing((await forge.about()).account)


DEEDS: tuple[Deed, ...] = (look, comment, final_status, rights)


async def impatiently(deed: Deed, forge: Forge, server: FakeRepository, every_s: float) -> None:
    """Someone who does not care for `retry_after_s` and asks again and again."""
    for _ in range(20_000):
        try:
            await deed(forge, server)
            return
        except ForgeUnavailable:
            await server.clock.sleep(every_s)
    raise AssertionError("never done")


def until(back_s: float, fault: Fault, server: FakeRepository) -> FaultPlan:
    return lambda method, path: fault if server.clock.now_s < back_s else None


def wrong_clock(server: FakeRepository, wrong_s: float) -> Callable[[], float]:
    return lambda: server.clock.wall() + wrong_s


def too_early(server: FakeRepository) -> int:
    """Requests that left before the moment the forge had named."""
    permitted_s, early = 0.0, 0
    for seen in server.ledger:
        early += seen.at_s < permitted_s
        if seen.fault in STATED:
            permitted_s = max(permitted_s, seen.at_s + server.limit_s)
    return early


@pytest.mark.parametrize("kind", FORGES)
async def test_no_request_leaves_before_the_moment_the_forge_names(kind: str, report_n: Report) -> None:
    points = failures = 0
    for deed, fault, limit_s, times in itertools.product(DEEDS, STATED, (5, 61, 600, 3600), (1, 2, 3, 5)):
        server = FORGES[kind]()
        server.add_pull("ipr/one")
        server.limit_s = limit_s
        server.fault = at_first(*[fault] * times)
        await impatiently(deed, server.forge(), server, every_s=limit_s / 37)
        points, failures = points + 1, failures + bool(too_early(server))
        assert sum(seen.fault is not None for seen in server.ledger) == times
    report_n(f"B7 {kind}, stated", points, failures)
    assert failures == 0
    assert points >= 200


@pytest.mark.parametrize("kind", FORGES)
async def test_a_used_up_limit_stops_the_next_request_before_it_is_refused(kind: str, report_n: Report) -> None:
    server = FORGES[kind]()
    server.per_window = 4
    forge = server.forge()
    for _ in range(5):
        await impatiently(look, forge, server, every_s=1.0)
    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(server.ledger)]
    assert max(gaps) >= server.limit_s
    report_n(f"B7 {kind}, stated", 1)


@pytest.mark.parametrize("kind", FORGES)
async def test_a_limit_that_names_no_moment_waits_a_minute_and_longer_each_time(kind: str, report_n: Report) -> None:
    points = failures = 0
    for deed, fault, times, every_s in itertools.product(DEEDS, UNSTATED, (1, 2, 4, 8), (0.5, 3.0, 59.0)):
        server = FORGES[kind]()
        server.add_pull("ipr/one")
        server.fault = at_first(*[fault] * times)
        await impatiently(deed, server.forge(), server, every_s)
        limited = [i for i, seen in enumerate(server.ledger) if seen.fault]
        waits = [server.ledger[i + 1].at_s - server.ledger[i].at_s for i in limited]
        grows = all(b > a or a >= 300 for a, b in itertools.pairwise(waits))
        points, failures = points + 1, failures + (min(waits) < 60 or not grows)
    report_n(f"B7 {kind}, unstated", points, failures)
    assert failures == 0


@pytest.mark.parametrize("kind", FORGES)
async def test_after_an_outage_of_an_hour_one_comment_follows_within_five_minutes(kind: str, report_n: Report) -> None:
    points = failures = 0
    for fault, every_s in itertools.product((Fault.REFUSED, Fault.BAD_GATEWAY, Fault.TIMEOUT_AFTER), (1.0, 7.0, 30.0)):
        server = FORGES[kind]()
        server.add_pull("ipr/one")
        back_s = server.clock.now_s + 3600
        server.fault = until(back_s, fault, server)
        await impatiently(comment, server.forge(), server, every_s)
        in_outage = sum(seen.at_s < back_s for seen in server.ledger)
        late_s = server.clock.now_s - back_s
        points += 1
        failures += len(server.bodies(1, 1)) != 1 or late_s > 300 + every_s or in_outage > 60
    report_n(f"B7 {kind}, outage", points, failures)
    assert failures == 0


@pytest.mark.parametrize("kind", FORGES)
async def test_a_thousand_waiting_comments_neither_storm_an_outage_nor_its_end(kind: str, report_n: Report) -> None:
    """B6: each is tried again when its refusal says so, for half an hour; then all of them are written."""
    server = FORGES[kind]()
    numbers = [server.add_pull(f"ipr/{n}") for n in range(1000)]
    back_s = server.clock.now_s + 1800
    server.fault = until(back_s, Fault.BAD_GATEWAY, server)
    await in_their_turns(server, server.forge(), numbers)
    asked_in_outage = Counter(seen.path.rpartition("/")[0] for seen in server.ledger if seen.at_s < back_s)
    after = [seen.at_s for seen in server.ledger if seen.at_s >= back_s]
    in_a_second = Counter(int(at_s) for at_s in after)
    written = sum(len(server.bodies(n, 1)) == 1 for n in numbers)
    report_n(f"B6 {kind}, waiting", len(numbers), len(numbers) - written)
    assert written == len(numbers)
    assert max(asked_in_outage.values()) <= 60
    assert after[0] - back_s <= 300
    assert max(in_a_second.values()) <= 10


async def in_their_turns(server: FakeRepository, forge: Forge, numbers: Sequence[int]) -> None:
    """Comments on all of `numbers`, each tried again after the time its failure names."""
    due = [(server.clock.now_s, number) for number in numbers]
    while due:
        at_s, number = heapq.heappop(due)
        await server.clock.sleep(max(0.0, at_s - server.clock.now_s))
        try:
            await forge.write_comment(number, f"alma:infra:{number}", "plan")
        except ForgeUnavailable as e:
            heapq.heappush(due, (server.clock.now_s + max(1.0, e.retry_after_s), number))


@pytest.mark.parametrize("kind", FORGES)
async def test_a_page_that_fails_for_ever_stops_no_other_page(kind: str) -> None:
    server = FORGES[kind]()
    server.add_pull("ipr/one")
    server.fault = lambda method, path: Fault.SERVER_ERROR if path.endswith(("comments", "notes")) else None
    forge = server.forge()
    for _ in range(1800):
        try:
            await comment(forge, server)
        except ForgeUnavailable:
            await server.clock.sleep(1.0)
        assert len(await forge.pulls()) == 1
    assert sum(seen.path.endswith(("comments", "notes")) for seen in server.ledger) <= 60


@pytest.mark.parametrize("kind", FORGES)
async def test_the_forges_clock_counts_where_ours_is_wrong(kind: str) -> None:
    for wrong_s in (-315_360_000.0, -3600.0, 3600.0, 315_360_000.0):
        server = FORGES[kind]()
        skewed = replace(server.binding(), wall=wrong_clock(server, wrong_s))
        server.fault = at_first(Fault.LIMIT_RESET)
        await impatiently(look, server.forge(skewed), server, every_s=1.0)
        gap_s = server.ledger[1].at_s - server.ledger[0].at_s
        assert server.limit_s <= gap_s <= server.limit_s + 3
