"""The executor under every fault of the platform: each run ends done, undone or parked, and the world says the same."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.blueprint.value import Output, Secret
from controller.journal.projections import SEALED_OP
from controller.plan.step import Fence, OpId, Phase, Prior, Receipt, Step
from controller.runtime.live_run import LeaseLost
from controller.runtime.progress import change_results
from controller.runtime.run import Event, Intended, NeverActed, RunState, RunWord
from controller.runtime.run_machine import open_intents
from engines.engine import Conflict, Transient, Values
from engines.simulation import SimulationEngine
from engines.simulation.tamper import tamper
from engines.simulation.world import World
from tests.controller.runtime.running import Asked, Field, a_field, a_stage, an_engine, platform_like, world
from tests.engines.conformance import entry
from tests.engines.running import Held
from tests.engines.simulated import SimulatedPlatform, binding

Report = Callable[..., None]
DB = entry("db", "database", specs={"image": "pg:15", "storage": "1GB"})
WEB = {"image": "web:1", "memory": "1GB", "ports": ["8080:80"], "env": {"DB": Output("prod/shop/db", "address")}}
SECRET = {**WEB, "env": {"PASSWORD": Secret("env:APP_PASSWORD")}}


def web(**more: Any) -> Entry:
    return entry("web", "container", wave=1, dependencies=("prod/shop/db",), specs={**WEB, **more})


SHOP = (DB, web())
NEWER = (entry("db", "database", specs={"image": "pg:15", "storage": "2GB"}), web(image="web:2"))
RUNS: Mapping[str, tuple[Sequence[Entry], Sequence[Entry]]] = {
    "create": ((), SHOP),
    "change": (SHOP, NEWER),
    "destroy": (SHOP, ()),
}
FAULTS = [(e, w) for e in ("refused", "transient", "unclear", "conflict", "hang") for w in ("before", "after")]


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power, so none waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Field]:
    async with a_field(tmp_path) as opened:
        yield opened


async def standing(here: Field, folder: Path, entries: Sequence[Entry]) -> Path:
    """A platform on which `entries` run."""
    if entries:
        state = await here.run(folder, await here.begun(folder, entries))
        assert state.word is RunWord.DONE, state.failure
    return folder


@pytest.mark.parametrize("name", RUNS)
async def test_one_fault_at_any_call_ends_at_the_target_or_at_the_start(
    name: str, here: Field, tmp_path: Path, report_n: Report
) -> None:
    start, end = RUNS[name]
    template = await standing(here, tmp_path / "start", start)
    calm = platform_like(template, tmp_path / "calm")
    done = await here.run(calm, await here.begun(calm, end))
    assert done.word is RunWord.DONE
    before = SimulatedPlatform(template).data()["calls"] if start else 0
    for number in range(1, len(done.ops) + 1):
        for error, when in FAULTS:
            folder = platform_like(template, tmp_path / f"{number}-{error}-{when}")
            rule = {"call": before + number, "error": error, "when": when}
            state = await here.run(folder, await here.begun(folder, end), fail=[rule])
            assert_over(state, folder, calm, template, f"{number} {error} {when}")
            report_n("B1 executor", 1)


def assert_over(state: RunState, folder: Path, target: Path, start: Path, point: str) -> None:
    """Done means the target, undone the start with its very objects; a RETIRE that failed is told."""
    if state.word is RunWord.DONE:
        if not state.warnings:
            assert world(folder) == world(target), point
    else:
        assert state.word is RunWord.UNDONE, (point, state.word, state.stuck)
        assert world(folder, uids=True) == world(start, uids=True), point
        assert state.failure is not None, point
    ledger = [row["op"] for row in SimulatedPlatform(folder).data()["ledger"]]
    assert len(ledger) == len(set(ledger)), point


@pytest.mark.parametrize("error", ["refused", "transient", "unclear", "conflict"])
async def test_a_call_that_fails_for_ever_is_undone(error: str, here: Field, tmp_path: Path, report_n: Report) -> None:
    template = await standing(here, tmp_path / "start", SHOP)
    calm = platform_like(template, tmp_path / "calm")
    steps = [s for c in (await here.begun(calm, NEWER)).plan.changes for s in c.effect.steps]
    assert (await here.run(calm, await here.begun(calm, NEWER))).word is RunWord.DONE
    for number, step in enumerate(steps):
        folder = platform_like(template, tmp_path / str(number))
        begun = await here.begun(folder, NEWER)
        name = step.key.name.replace(".${run}.new", "").replace(".${run}.old", "")
        times = 0 if step.phase is Phase.RETIRE else 12
        rule = {"match": f"{step.request['call']} {name}", "error": error, "times": times}
        state = await here.run(folder, begun, fail=[rule])
        assert state.word.ended and state.word is not RunWord.SUPERSEDED
        if state.word is RunWord.PARKED:
            assert state.stuck and all(name in text for text in state.stuck)
        elif step.phase is Phase.RETIRE:
            assert state.word is RunWord.DONE and state.warnings
        else:
            assert_over(state, folder, calm, template, f"{number} {error}")
        report_n("B1 executor", 1)


async def test_an_output_of_one_step_reaches_a_later_one(here: Field, tmp_path: Path) -> None:
    hooks = Asked()
    state = await here.run(tmp_path / "p", await here.begun(tmp_path / "p", SHOP), hooks)
    assert state.word is RunWord.DONE
    told = [values for values in hooks.seen if values]
    address = told[0]["prod/shop/db", "address"]
    assert world(tmp_path / "p")["simulation/container:prod-shop-web"]["fields"]["env.DB"] == address


async def test_what_is_never_healthy_is_undone_in_bounded_time(here: Field, tmp_path: Path) -> None:
    template = await standing(here, tmp_path / "start", SHOP)
    folder = platform_like(template, tmp_path / "p")
    began_s = here.clock.now_s()
    state = await here.run(
        folder, await here.begun(folder, (DB, web(image="web:2", env={}, simulate={"health": "never"})))
    )
    assert state.word is RunWord.UNDONE
    assert state.failure is not None and "healthy" in state.failure.reason
    assert here.clock.now_s() - began_s < 60
    assert world(folder, uids=True) == world(template, uids=True)


async def test_a_cancel_while_running_is_undone(here: Field, tmp_path: Path) -> None:
    executor = here.executor(an_engine(tmp_path / "p"))
    begun = await here.begun(tmp_path / "p", SHOP)

    def cancel_at_the_third_intent(state: RunState, events: Sequence[Event]) -> None:
        if sum(1 for r in state.ops if r.undo < 0) == 3:
            executor.cancel(begun.run, "os:alice")

    state = await executor.run(begun, Held(), Asked(cancel_at_the_third_intent))
    assert (state.word, state.cancelled_by) == (RunWord.UNDONE, "os:alice")
    assert world(tmp_path / "p") == {}


@pytest.mark.parametrize("number", range(1, 12))
async def test_a_run_that_is_told_to_rest_ends_the_step_under_way_and_goes_on_later(
    number: int, here: Field, tmp_path: Path
) -> None:
    """At its n-th event: health that takes an hour is not waited for."""
    template = await standing(here, tmp_path / "start", SHOP)
    folder = platform_like(template, tmp_path / "p")
    begun = await here.begun(folder, (DB, web(image="web:2", env={}, simulate={"health": "never"})))
    executor = here.executor(an_engine(folder), health_timeout_s=3600.0)
    told = itertools.count(1)

    def rest_at_the_nth(state: RunState, events: Sequence[Event]) -> None:
        if next(told) == number:
            executor.rest()
            executor.cancel(begun.run, "os:alice")  # not any more: the next process is asked

    left = await executor.run(begun, Held(), Asked(rest_at_the_nth))
    assert not left.word.ended and not open_intents(left)
    state = await here.run(folder, begun)
    assert state.word is RunWord.UNDONE
    assert world(folder, uids=True) == world(template, uids=True)


async def test_a_lost_lease_sends_nothing_more_and_another_goes_on(here: Field, tmp_path: Path) -> None:
    folder, lease = tmp_path / "p", Held()
    begun = await here.begun(folder, SHOP)

    def lose_it_after_two(state: RunState, events: Sequence[Event]) -> None:
        lease.held = len([op for op in state.ops.values() if op.over]) < 2

    with pytest.raises(LeaseLost):
        await here.executor(an_engine(folder)).run(begun, lease, Asked(lose_it_after_two))
    sent = len(SimulatedPlatform(folder).data()["ledger"])
    assert sent == 2
    state = await here.run(folder, begun)
    assert state.word is RunWord.DONE
    ledger = [row["op"] for row in SimulatedPlatform(folder).data()["ledger"]]
    assert len(ledger) == len(set(ledger)) > sent


async def test_a_conflict_is_tried_again_at_most_five_times(here: Field, tmp_path: Path) -> None:
    for times, word in ((4, RunWord.DONE), (5, RunWord.UNDONE)):
        folder = tmp_path / str(times)
        rule = {"match": "start prod-shop-db", "error": "conflict", "times": times}
        state = await here.run(folder, await here.begun(folder, SHOP), fail=[rule])
        assert state.word is word


async def test_what_moved_since_the_plan_is_not_touched(here: Field, tmp_path: Path) -> None:
    template = await standing(here, tmp_path / "p", SHOP)
    begun = await here.begun(template, NEWER)
    key = next(s.key for s in (await a_stage(template).look()).objects if s.key.name == "prod-shop-web")
    await tamper(World(SimulatedPlatform(template).path), key, "image", "evil:6.6")
    before = world(template, uids=True)
    state = await here.run(template, begun)
    assert state.word is RunWord.UNDONE
    assert state.failure is not None and "not what" in state.failure.reason
    assert world(template, uids=True) == before


async def test_never_more_calls_at_once_than_in_flight(here: Field, tmp_path: Path) -> None:
    class Counting(SimulationEngine):
        now = most = 0

        async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
            Counting.now += 1
            Counting.most = max(Counting.most, Counting.now)
            try:
                return await super().do(op, step, prior, values, fence)
            finally:
                Counting.now -= 1

    entries = [entry(f"n{i}", "container", specs={"image": "x:1"}) for i in range(9)]
    engine = Counting.open(binding(tmp_path / "p", latency_ms=1))
    state = await here.executor(engine, in_flight=3).run(await here.begun(tmp_path / "p", entries), Held(), Asked())
    assert state.word is RunWord.DONE
    assert Counting.most == 3


async def test_an_undo_that_fails_for_ever_is_parked_after_five_tries(here: Field, tmp_path: Path) -> None:
    class Stubborn(SimulationEngine):
        tries = 0

        async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
            if step.request["call"] == "remove":
                Stubborn.tries += 1
                raise Conflict("held by someone")
            return await super().do(op, step, prior, values, fence)

    broken = (DB, web(simulate={"health": "never"}))
    engine = Stubborn.open(binding(tmp_path / "p"))
    state = await here.executor(engine).run(await here.begun(tmp_path / "p", broken), Held(), Asked())
    assert state.word is RunWord.PARKED
    assert Stubborn.tries == 10, "five for each of the two objects"
    assert {text.split(":")[0] for text in state.stuck} == {"prod-shop-web", "prod-shop-db"}


async def test_an_undo_outlasts_a_platform_that_restarts(here: Field, tmp_path: Path) -> None:
    class Restarting(SimulationEngine):
        back_s = 0.0

        async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
            Restarting.back_s = Restarting.back_s or (
                here.clock.now_s() + 45 if step.request["call"] == "remove" else 0
            )
            if here.clock.now_s() < Restarting.back_s:
                raise Transient("nobody answers")
            return await super().do(op, step, prior, values, fence)

    engine = Restarting.open(binding(tmp_path / "p"))
    broken = (DB, web(simulate={"health": "never"}))
    state = await here.executor(engine).run(await here.begun(tmp_path / "p", broken), Held(), Asked())
    assert state.word is RunWord.UNDONE


@pytest.mark.parametrize("name", ["change", "destroy"])
@pytest.mark.parametrize("error", ["refused", "transient", "unclear", "conflict", "hang"])
async def test_a_removal_that_fails_a_few_times_is_tried_again_until_it_is_done(
    name: str, error: str, here: Field, tmp_path: Path, report_n: Report
) -> None:
    start, end = RUNS[name]
    template = await standing(here, tmp_path / "start", start)
    calm = platform_like(template, tmp_path / "calm")
    assert (await here.run(calm, await here.begun(calm, end))).word is RunWord.DONE
    for times in (1, 4):
        folder = platform_like(template, tmp_path / f"{times}")
        rule = {"match": "remove *", "error": error, "times": times}
        state = await here.run(folder, await here.begun(folder, end), fail=[rule])
        assert (state.word, state.warnings) == (RunWord.DONE, ())
        assert world(folder) == world(calm)
        report_n("B1 retire", 1)


async def test_a_removal_that_fails_for_ever_is_reported_in_bounded_time_and_nothing_is_undone(
    here: Field, tmp_path: Path
) -> None:
    folder = await standing(here, tmp_path / "p", SHOP)
    began_s = here.clock.now_s()
    rule = {"match": "remove prod-shop-web", "error": "refused", "times": 0}
    state = await here.run(folder, await here.begun(folder, NEWER), fail=[rule])
    assert state.word is RunWord.DONE
    assert 60 <= here.clock.now_s() - began_s < 180
    (warning,) = state.warnings
    assert warning.startswith(f"prod-shop-web.{state.run[:12]}.old: ")
    assert world(folder)["simulation/container:prod-shop-web"]["fields"]["image"] == "web:2"
    results = {line.resource: line.result for line in change_results(state, {})}
    assert results == {"prod/shop/web": "kept", "prod/shop/db": "done"}


async def test_a_removal_goes_on_after_a_kill_between_two_tries(here: Field, tmp_path: Path) -> None:
    folder = await standing(here, tmp_path / "p", SHOP)
    begun = await here.begun(folder, NEWER)
    rule = {"match": "remove prod-shop-web", "error": "transient", "times": 3}

    def killed(state: RunState, events: Sequence[Event]) -> None:
        if state.word is RunWord.RETIRING and any(isinstance(e, NeverActed) for e in events):
            raise KilledHere

    with pytest.raises(KilledHere):
        await here.run(folder, begun, Asked(killed), fail=[rule])
    state = await here.run(folder, begun, fail=[rule])
    assert (state.word, state.warnings) == (RunWord.DONE, ())
    assert not [k for k in world(folder) if ".old" in k]


class KilledHere(Exception):
    """The process ends."""


async def test_sealed_priors_go_when_no_undo_can_need_them(here: Field, tmp_path: Path) -> None:
    folder = await standing(here, tmp_path / "p", (DB, entry("web", "container", specs=SECRET)))
    changed = (DB, entry("web", "container", specs={**SECRET, "image": "web:2"}))
    begun = await here.begun(folder, changed)
    state = await here.run(folder, begun)
    assert state.word is RunWord.DONE
    sealed = [op for op in await here.journal.documents(SEALED_OP) if op.startswith(begun.run)]
    assert sealed and b"hunter2" not in (tmp_path / "alma.db").read_bytes()
    await here.log.forget_priors(begun.run)
    assert not [op for op in await here.journal.documents(SEALED_OP) if op.startswith(begun.run)]
    assert any(isinstance(e, Intended) for e in await here.log.read(begun.run))
