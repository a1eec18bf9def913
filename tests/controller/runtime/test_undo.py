"""A6: an undo that is killed goes on, one that cannot go on is parked with what is left to do, and neither touches what
the run had not changed (I11, I15)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.plan.resource import ObjectKey
from controller.plan.step import Fence, OpId, Prior, Receipt, Step
from controller.runtime.run import Begun, Event, RunState, RunWord
from engines.engine import Conflict, Refused, Transient, Values
from engines.simulation import SimulationEngine
from engines.simulation.tamper import place, tamper
from engines.simulation.world import World
from tests.controller.runtime.running import Asked, Field, a_field, platform_like, world
from tests.engines.conformance import entry
from tests.engines.running import Held
from tests.engines.simulated import SimulatedPlatform, binding

Report = Callable[..., None]
DB = entry("db", "database", specs={"image": "pg:15", "storage": "1GB"})
DB_2 = entry("db", "database", specs={"image": "pg:15", "storage": "2GB"})
CACHE = entry("cache", "container", specs={"image": "redis:7"})  # in no plan of these runs


def web(image: str, **more: Any) -> Entry:
    return entry("web", "container", wave=1, specs={"image": image, "memory": "1GB", **more})


START = (DB, CACHE, web("web:1"))
BROKEN = (DB_2, CACHE, web("web:2", simulate={"health": "never"}), entry("new", "container", specs={"image": "new:1"}))
BYSTANDERS = ("simulation/container:prod-shop-cache", "simulation/container:not-ours")


class Killed(BaseException):
    """The process ends here, past every handler."""


@dataclass
class Undoing:
    """Hooks and engine of one run that watch its way back, and may end it or make it fail at one place."""

    event: int = 0  # die once this many batches of events of the undo are durable
    request: int = 0  # die at this request of the undo …
    after: bool = False  # … once it has acted
    fails: Callable[[str], Exception | None] = lambda text: None  # `VERB NAME` of a request → what it meets for ever
    first: Callable[[], Any] | None = None  # what someone else does as the undo begins
    began: bool = False
    events: int = 0
    requests: list[str] = field(default_factory=list)

    def heard(self, state: RunState, events: Sequence[Event]) -> None:
        self.began = self.began or state.word is RunWord.UNDOING
        self.events += self.began
        if self.began and self.events == self.event:
            raise Killed

    def engine(self, folder: Path) -> SimulationEngine:
        watch = self

        class Watched(SimulationEngine):
            async def prior(self, step: Step, seal: Any) -> Prior:
                if watch.began and watch.first:
                    meddle, watch.first = watch.first, None
                    await meddle()
                return await super().prior(step, seal)

            async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
                if not watch.began:
                    return await super().do(op, step, prior, values, fence)
                watch.requests.append(text := described(step))
                mine = len(watch.requests) == watch.request
                if mine and not watch.after:
                    raise Killed
                if error := watch.fails(text):
                    raise error
                receipt = await super().do(op, step, prior, values, fence)
                if mine:
                    raise Killed
                return receipt

        return Watched.open(binding(folder))


def described(step: Step) -> str:
    name, _, suffix = step.key.name.partition(".")
    return f"{step.request['call']} {name}{'.' + suffix.rpartition('.')[2] if suffix else ''}"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Field]:
    async with a_field(tmp_path) as opened:
        yield opened


@pytest.fixture
async def template(here: Field, tmp_path: Path) -> Path:
    """The platform as it stands before each run, with a container beside it that is not ours."""
    folder = tmp_path / "start"
    assert (await here.run(folder, await here.begun(folder, START))).word is RunWord.DONE
    key = ObjectKey("simulation/container", "not-ours")
    await place(World(SimulatedPlatform(folder).path), key, {"image": "theirs:1"})
    return folder


async def run(here: Field, folder: Path, begun: Begun, watch: Undoing) -> RunState:
    return await here.executor(watch.engine(folder)).run(begun, Held(), Asked(watch.heard))


async def begun_on(here: Field, template: Path, folder: Path) -> Begun:
    return await here.begun(platform_like(template, folder), BROKEN)


async def watched_undo(here: Field, template: Path, folder: Path) -> Undoing:
    """An undo that nothing disturbs."""
    watch = Undoing()
    state = await run(here, folder, await begun_on(here, template, folder), watch)
    assert state.word is RunWord.UNDONE and len(watch.requests) >= 5, watch.requests
    return watch


def assert_bystanders(folder: Path, template: Path) -> None:
    """To the last version: nothing was even written to them."""
    now, before = SimulatedPlatform(folder).data()["objects"], SimulatedPlatform(template).data()["objects"]
    assert {k: now[k] for k in BYSTANDERS} == {k: before[k] for k in BYSTANDERS}


def assert_as_before(folder: Path, template: Path, point: str) -> None:
    assert world(folder, uids=True) == world(template, uids=True), point
    assert_bystanders(folder, template)
    ledger = [row["op"] for row in SimulatedPlatform(folder).data()["ledger"]]
    assert len(ledger) == len(set(ledger)), f"{point}: a request acted twice"


async def test_an_undo_killed_after_any_of_its_events_goes_on(
    here: Field, template: Path, tmp_path: Path, report_n: Report
) -> None:
    events = (await watched_undo(here, template, tmp_path / "calm")).events
    for k in range(1, events + 1):
        folder = tmp_path / f"k{k}"
        begun = await begun_on(here, template, folder)
        with pytest.raises(Killed):
            await run(here, folder, begun, Undoing(event=k))
        assert (await run(here, folder, begun, Undoing())).word is RunWord.UNDONE
        assert_as_before(folder, template, f"k={k}")
    report_n("A6 rollback killed", events)
    assert events > 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_undo_killed_at_any_of_its_requests_goes_on(
    after: bool, here: Field, template: Path, tmp_path: Path, report_n: Report
) -> None:
    requests = len((await watched_undo(here, template, tmp_path / "calm")).requests)
    for k in range(1, requests + 1):
        folder = tmp_path / f"k{k}"
        begun = await begun_on(here, template, folder)
        with pytest.raises(Killed):
            await run(here, folder, begun, Undoing(request=k, after=after))
        assert (await run(here, folder, begun, Undoing())).word is RunWord.UNDONE
        assert_as_before(folder, template, f"k={k}")
    report_n("A6 rollback killed", requests)


@pytest.mark.parametrize("error", [Refused, Conflict, Transient])
async def test_an_inverse_that_fails_for_ever_is_parked_with_what_is_left_to_do(
    error: type[Exception], here: Field, template: Path, tmp_path: Path, report_n: Report
) -> None:
    for number, text in enumerate(dict.fromkeys((await watched_undo(here, template, tmp_path / "calm")).requests)):
        folder = tmp_path / str(number)
        watch = Undoing(fails=lambda sent, text=text: error("no") if sent == text else None)  # type: ignore[misc]  # lambda default
        began_s = here.clock.now_s()
        state = await run(here, folder, await begun_on(here, template, folder), watch)
        assert state.word is RunWord.PARKED, text
        name = text.split()[1].partition(".")[0]
        assert any(name in stuck and "no" in stuck for stuck in state.stuck), (text, state.stuck)
        if error is Transient:
            assert here.clock.now_s() - began_s < 600, "bounded by time: a platform that restarts is waited for"
        else:
            assert watch.requests.count(text) <= 5
        assert_bystanders(folder, template)
        assert_the_rest_is_back(folder, template, name)
        report_n("A6 rollback that fails for ever", 1)


def assert_the_rest_is_back(folder: Path, template: Path, stuck: str) -> None:
    now, before = world(folder, uids=True), world(template, uids=True)
    others = {k for k in {*now, *before} if stuck not in k}
    assert {k: now.get(k) for k in others} == {k: before.get(k) for k in others}


async def test_what_someone_changed_since_is_not_overwritten_but_parked(
    here: Field, template: Path, tmp_path: Path, report_n: Report
) -> None:
    folder = tmp_path / "p"
    begun = await begun_on(here, template, folder)
    key = ObjectKey("simulation/database", "prod-shop-db")

    async def meddle() -> None:
        await tamper(World(SimulatedPlatform(folder).path), key, "storage", "7GB")

    state = await run(here, folder, begun, Undoing(first=meddle))
    assert state.word is RunWord.PARKED
    (stuck,) = state.stuck
    assert stuck.startswith("prod-shop-db is not what was planned against")
    assert SimulatedPlatform(folder).data()["objects"][str(key)]["fields"]["storage"] == "7GB"
    assert_bystanders(folder, template)
    assert_the_rest_is_back(folder, template, "prod-shop-db")
    report_n("A6 changed by someone since", 1)
