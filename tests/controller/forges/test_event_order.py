"""B8, B9 as far as the forge goes: whatever comes twice, late or in another order, the same is looked at and found."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from controller.forges.forge import Forge, ForgeHint
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.webhook_kinds import GITEA, KINDS, encoded

Report = Callable[..., None]
Event = tuple[dict[str, str], bytes]
ALL = {**KINDS, "gitea": GITEA}


def the_story(name: str) -> tuple[FakeRepository, list[Event]]:
    """Opened, pushed to, spoken on, merged, and the push of the merge; with the event of each."""
    kind = ALL[name]
    server = kind.server()
    for _ in range(6):
        server.add_pull("other")
    number = server.add_pull("ipr/one")  # 7, as the payloads say
    server.push("ipr/one")
    server.say(number, 3, "/alma plan")
    server.merge(number, 2)
    server.clock.now_s += 60.0
    names = list(kind.payloads)
    told = [names[1], names[1], names[-1], names[1], names[0]]
    bodies = [encoded({**kind.payloads[event], "delivery": i}) for i, event in enumerate(told)]
    return server, [(kind.headers(event, body), body) for event, body in zip(told, bodies, strict=True)]


async def found(forge: Forge, events: list[Event]) -> tuple[object, ...]:
    """What the hints lead to."""
    hints = {forge.read_event(headers, body) for headers, body in events}
    pulls = [await forge.pull(hint.pull) for hint in hints if hint and hint.pull]
    said = [await forge.comments(hint.pull) for hint in hints if hint and hint.pull]
    return frozenset(hints), pulls, said


@pytest.mark.parametrize("name", ALL)
async def test_every_order_of_the_events_leads_to_the_same(name: str, report_n: Report) -> None:
    server, events = the_story(name)
    expected = await found(server.forge(), events)
    assert expected[0] == {ForgeHint(pull=7), ForgeHint(branch="main")}
    orders = list(itertools.permutations(events))
    wrong = [order for order in orders if await found(server.forge(), list(order)) != expected]
    report_n(f"B9 {name}, hints", len(orders), len(wrong))
    assert (len(orders), wrong) == (120, [])


@pytest.mark.parametrize("name", ALL)
async def test_events_that_come_again_lead_to_the_same(name: str, report_n: Report) -> None:
    server, events = the_story(name)
    forge, draw, sent, wrong = server.forge(), random.Random(8), 0, 0
    expected = await found(forge, events)
    while sent < 5_000:
        again = [event for event in events for _ in range(draw.randint(1, 5))]
        draw.shuffle(again)
        sent += len(again)
        wrong += await found(forge, again) != expected
    report_n(f"B8 {name}, hints", sent, wrong)
    assert wrong == 0


@pytest.mark.parametrize("name", ALL)
async def test_without_any_event_the_list_tells_it_all(name: str, report_n: Report) -> None:
    server, _ = the_story(name)
    forge = server.forge()
    listed = {pull.number: pull for pull in await forge.pulls()}
    told, pull = listed[7], await forge.pull(7)
    assert pull is not None
    same = (told.state, told.head_sha, told.merge_sha) == (pull.state, pull.head_sha, pull.merge_sha)
    report_n(f"B10 {name}, list", 1, int(not same))
    assert same
