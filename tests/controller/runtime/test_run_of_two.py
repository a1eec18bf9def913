"""A run whose events two processes write, a controller and the worker of a site: both are where the journal is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from controller.runtime.legs import Legs
from controller.runtime.live_run import LiveRun, Means
from controller.runtime.run import Cancelled
from controller.runtime.run_machine import replayed, todos
from tests.controller.runtime.running import KEY, Asked, Field, a_field, an_engine
from tests.controller.runtime.test_executor import SHOP
from tests.engines.running import Held


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def a_live_run(here: Field, folder: Path) -> LiveRun:
    means = Means({"one": an_engine(folder)}, here.log, KEY.sealer, here.clock)
    return LiveRun(means, Held(), Asked())


@pytest.mark.parametrize("seed", range(4))
async def test_both_hear_of_every_event_in_the_order_of_the_journal(seed: int, tmp_path: Path) -> None:
    async with a_field(tmp_path) as here:
        begun = await here.begun(tmp_path, SHOP)
        both = [a_live_run(here, tmp_path) for _ in range(2)]
        for live in both:
            await live.recall(begun)
        turn = seed
        while todo := todos(both[0].state):
            # One carries the first leg out, and the other, which has heard of nothing, the next one beside it.
            legs = todo[:2] if seed % 2 else todo[:1]
            await asyncio.gather(*(Legs(both[(turn + n) % 2]).to_its_end(leg) for n, leg in enumerate(legs)))
            turn += 1
            for live in both:
                await live.catch_up()
        events = await here.log.read(begun.run)
        assert [live.events for live in both] == [list(events)] * 2
        assert [live.state for live in both] == [replayed(events)] * 2
        assert both[0].state.word.value == "done"


async def test_what_is_written_by_another_comes_before_what_is_written_next(tmp_path: Path) -> None:
    """The one that cancels has not heard that the other carried out a leg meanwhile, and the other hears at once."""
    async with a_field(tmp_path) as here:
        begun = await here.begun(tmp_path, SHOP)
        one, other = a_live_run(here, tmp_path), a_live_run(here, tmp_path)
        await one.recall(begun)
        await other.recall(begun)
        await Legs(one).to_its_end(todos(one.state)[0])
        await other.emit(Cancelled("ann"))
        await one.catch_up()
        assert one.events == other.events == list(await here.log.read(begun.run))
        assert one.state.draining and other.state.draining
        assert isinstance(one.events[-1], Cancelled)
