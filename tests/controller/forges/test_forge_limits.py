"""B7 and B6: no request before the permitted time, growing waits where none is named, and back at work soon after."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from controller.forges.forge import ForgeUnavailable, Status, StatusState
from controller.forges.gitea import GiteaForge
from tests.controller.forges.fake_forge import Fault, FaultPlan, at_first
from tests.controller.forges.fake_gitea import FakeGitea

Report = Callable[..., None]
Deed = Callable[[GiteaForge, FakeGitea], Coroutine[Any, Any, None]]

STATED = (Fault.LIMIT_RETRY_AFTER, Fault.LIMIT_RETRY_DATE, Fault.LIMIT_RESET, Fault.UNAVAILABLE_RETRY_AFTER)
UNSTATED = (Fault.LIMIT_BARE, Fault.LIMIT_SECONDARY)


async def look(forge: GiteaForge, gitea: FakeGitea) -> None:
    await forge.pulls()


async def comment(forge: GiteaForge, gitea: FakeGitea) -> None:
    await forge.write_comment(1, "alma:infra:1", "plan")


async def final_status(forge: GiteaForge, gitea: FakeGitea) -> None:
    sha = gitea.branches["ipr/one"]
    await forge.write_status(sha, Status("alma/deploy", StatusState.SUCCESS, "done"))


async def rights(forge: GiteaForge, gitea: FakeGitea) -> None:
    await forge.standing((await forge.about()).account)


DEEDS: tuple[Deed, ...] = (look, comment, final_status, rights)


async def impatiently(deed: Deed, forge: GiteaForge, gitea: FakeGitea, every_s: float) -> None:
    """Someone who does not care for `retry_after_s` and asks again and again."""
    for _ in range(20_000):
        try:
            await deed(forge, gitea)
            return
        except ForgeUnavailable:
            await gitea.clock.sleep(every_s)
    raise AssertionError("never done")


def until(back_s: float, fault: Fault, gitea: FakeGitea) -> FaultPlan:
    return lambda method, path: fault if gitea.clock.now_s < back_s else None


def wrong_clock(gitea: FakeGitea, wrong_s: float) -> Callable[[], float]:
    return lambda: gitea.clock.wall() + wrong_s


def too_early(gitea: FakeGitea) -> int:
    """Requests that left before the moment the forge had named."""
    permitted_s, early = 0.0, 0
    for seen in gitea.ledger:
        early += seen.at_s < permitted_s
        if seen.fault in STATED:
            permitted_s = max(permitted_s, seen.at_s + gitea.limit_s)
    return early


async def test_no_request_leaves_before_the_moment_the_forge_names(report_n: Report) -> None:
    points = failures = 0
    for deed, fault, limit_s, times in itertools.product(DEEDS, STATED, (5, 61, 600, 3600), (1, 2, 3, 5)):
        gitea = FakeGitea()
        gitea.add_pull("ipr/one")
        gitea.limit_s = limit_s
        gitea.fault = at_first(*[fault] * times)
        await impatiently(deed, gitea.forge(), gitea, every_s=limit_s / 37)
        points, failures = points + 1, failures + bool(too_early(gitea))
        assert sum(seen.fault is not None for seen in gitea.ledger) == times
    report_n("B7 gitea, stated", points, failures)
    assert failures == 0
    assert points >= 200


async def test_a_used_up_limit_stops_the_next_request_before_it_is_refused(report_n: Report) -> None:
    gitea = FakeGitea()
    gitea.per_window = 4
    forge = gitea.forge()
    for _ in range(5):
        await impatiently(look, forge, gitea, every_s=1.0)
    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(gitea.ledger)]
    assert max(gaps) >= gitea.limit_s
    report_n("B7 gitea, stated", 1)


async def test_a_limit_that_names_no_moment_waits_a_minute_and_longer_each_time(report_n: Report) -> None:
    points = failures = 0
    for deed, fault, times, every_s in itertools.product(DEEDS, UNSTATED, (1, 2, 4, 8), (0.5, 3.0, 59.0)):
        gitea = FakeGitea()
        gitea.add_pull("ipr/one")
        gitea.fault = at_first(*[fault] * times)
        await impatiently(deed, gitea.forge(), gitea, every_s)
        limited = [i for i, seen in enumerate(gitea.ledger) if seen.fault]
        waits = [gitea.ledger[i + 1].at_s - gitea.ledger[i].at_s for i in limited]
        grows = all(b > a or a >= 300 for a, b in itertools.pairwise(waits))
        points, failures = points + 1, failures + (min(waits) < 60 or not grows)
    report_n("B7 gitea, unstated", points, failures)
    assert failures == 0


async def test_after_an_outage_of_an_hour_one_comment_follows_within_five_minutes(report_n: Report) -> None:
    points = failures = 0
    for fault, every_s in itertools.product((Fault.REFUSED, Fault.BAD_GATEWAY, Fault.TIMEOUT_AFTER), (1.0, 7.0, 30.0)):
        gitea = FakeGitea()
        gitea.add_pull("ipr/one")
        back_s = gitea.clock.now_s + 3600
        gitea.fault = until(back_s, fault, gitea)
        await impatiently(comment, gitea.forge(), gitea, every_s)
        in_outage = sum(seen.at_s < back_s for seen in gitea.ledger)
        late_s = gitea.clock.now_s - back_s
        points += 1
        failures += len(gitea.bodies(1, 1)) != 1 or late_s > 300 + every_s or in_outage > 60
    report_n("B7 gitea, outage", points, failures)
    assert failures == 0


async def test_a_page_that_fails_for_ever_stops_no_other_page() -> None:
    gitea = FakeGitea()
    gitea.add_pull("ipr/one")
    gitea.fault = lambda method, path: Fault.SERVER_ERROR if path.endswith("comments") else None
    forge = gitea.forge()
    for _ in range(1800):
        try:
            await comment(forge, gitea)
        except ForgeUnavailable:
            await gitea.clock.sleep(1.0)
        assert len(await forge.pulls()) == 1
    assert sum(seen.path.endswith("comments") for seen in gitea.ledger) <= 60


async def test_the_forges_clock_counts_where_ours_is_wrong() -> None:
    for wrong_s in (-315_360_000.0, -3600.0, 3600.0, 315_360_000.0):
        gitea = FakeGitea()
        skewed = replace(gitea.binding(), wall=wrong_clock(gitea, wrong_s))
        gitea.fault = at_first(Fault.LIMIT_RESET)
        await impatiently(look, gitea.forge(skewed), gitea, every_s=1.0)
        gap_s = gitea.ledger[1].at_s - gitea.ledger[0].at_s
        assert gitea.limit_s <= gap_s <= gitea.limit_s + 3
