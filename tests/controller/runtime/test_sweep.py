"""A run dies in its middle and its journal with it: what it left on the platform is ended by a sweep."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.plan.health import HealthState, SyncState
from controller.plan.resource import Part
from controller.runtime.run import RunWord
from engines.simulation import SimulationEngine
from engines.simulation.world import World
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
KEY = "simulation/container:prod-shop-web"
DB_KEY = "simulation/database:prod-shop-db"
DB_2 = DB.replace("pg:15", "pg:16")
BEFORE_THE_NAME_MOVED = 3  # requests of its replacement: create beside, stop, rename away; then the new one is renamed
MANY = 20


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


@contextlib.contextmanager
def _stuck_after(requests: int) -> Any:
    """The platform answers that many requests; whoever sends another waits for ever. The event tells of it."""
    sent, stuck, real = 0, asyncio.Event(), SimulationEngine.do

    async def do(self: SimulationEngine, *args: Any) -> Any:
        nonlocal sent
        if sent >= requests:
            stuck.set()
            await asyncio.Event().wait()
        sent += 1
        return await real(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulationEngine, "do", do)
        yield stuck


async def _killed(home: Estate, requests: int) -> None:
    """The controller works until that many requests have acted, and is gone in the middle of the next."""
    with _stuck_after(requests) as stuck:
        passes = asyncio.create_task(home.settle(60))
        await asyncio.wait_for(stuck.wait(), timeout=30)
        passes.cancel()
        await asyncio.gather(passes, return_exceptions=True)


def _lose_journal(state: Path) -> None:
    for file in state.glob("alma.db*"):
        file.unlink()


async def _dead_run(repo: Repo, state: Path, resources: tuple[str, ...], requests: int) -> dict[str, Any]:
    """The world after a run towards `resources` was killed and its journal is gone; what it was before."""
    async with estate(repo, state) as home:
        await home.settle()
        before = home.world
        repo.push({SHOP: blueprint(*resources)})
        await _killed(home, requests)
    _lose_journal(state)
    return before


def _parts(home: Estate) -> set[str]:
    return {k for k, record in home.world.items() if record["part"] != Part.CURRENT.value}


async def _reconciled(home: Estate) -> None:
    await home.settle(60)
    await home.ask("reconcile", scope="prod")
    await home.settle(60)


async def _is_clean(home: Estate) -> bool:
    record = await home.scope()
    return (record.sync, record.health, _parts(home)) == (SyncState.SYNCED, HealthState.HEALTHY, set())


def platform(home: Estate) -> World:
    return World(home.state / "simulation" / "sim.json")


async def _place(home: Estate, key: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """A copy of the object `key` under another name, changed."""
    async with platform(home).writing() as data:
        record = {**data["objects"][key], "name": name, "uid": f"by-hand-{name}"}
        record["fields"], record["mark"] = dict(record["fields"]), dict(record["mark"])
        change(record)
        data["objects"][f"{record['kind']}:{name}"] = record
        platform(home).save(data)


async def _stage(home: Estate, run: str = "deadrun") -> str:
    name = f"prod-shop-web.{run}.new"
    await _place(home, KEY, name, lambda r: r.update(part="staged", running=False))
    return f"simulation/container:{name}"


async def _set_aside(home: Estate, **fields: Any) -> str:
    """The object was replaced by a run that then vanished: only the kept part is there."""

    def kept(record: dict[str, Any]) -> None:
        record.update(part="kept", running=False)
        record["fields"].update(fields)

    await _place(home, KEY, "prod-shop-web.deadrun.old", kept)
    async with platform(home).writing() as data:
        del data["objects"][KEY]
        platform(home).save(data)
    return f"{KEY}.deadrun.old"


# --- a run without its journal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", range(1, BEFORE_THE_NAME_MOVED + 1))
async def test_after_a_kill_without_a_journal_the_world_is_made_clean_and_healthy(
    repo: Repo, tmp_path: Path, requests: int, report_n: Callable[..., None]
) -> None:
    await _dead_run(repo, tmp_path / "state", (WEB_2,), requests)
    async with estate(repo, tmp_path / "state") as home:
        assert _parts(home), "the run left something"
        await _reconciled(home)
        assert await _is_clean(home)
        assert home.world[KEY]["fields"]["image"] == "web:2.0"
        assert sorted(home.world) == [KEY]
    report_n("A1 sweep after a lost journal", 1)


@pytest.mark.parametrize("requests", range(1, 12))
async def test_two_replacements_killed_together_are_swept_together(
    repo: Repo, tmp_path: Path, requests: int, report_n: Callable[..., None]
) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await _dead_run(repo, tmp_path / "state", (WEB_2, DB_2), requests)
    async with estate(repo, tmp_path / "state") as home:
        await _reconciled(home)
        record = await home.scope()
        assert (record.sync, record.health) == (SyncState.SYNCED, HealthState.HEALTHY)
        assert {home.world[KEY]["fields"]["image"], home.world[DB_KEY]["fields"]["image"]} == {"web:2.0", "pg:16"}
        for part in _parts(home):
            assert home.world[part]["part"] == Part.KEPT.value, "nothing staged is left"
            assert part.partition(":")[2] in record.message, "what is kept beside its successor is told"
    report_n("A1 sweep after a lost journal", 1)


@pytest.mark.parametrize("requests", range(1, BEFORE_THE_NAME_MOVED + 1))
async def test_what_was_set_aside_comes_back_as_the_same_object(repo: Repo, tmp_path: Path, requests: int) -> None:
    before = await _dead_run(repo, tmp_path / "state", (WEB_2,), requests)
    repo.push({SHOP: blueprint(WEB)})
    async with estate(repo, tmp_path / "state") as home:
        await _reconciled(home)
        assert await _is_clean(home)
        assert home.world[KEY]["uid"] == before[KEY]["uid"]


async def test_without_a_journal_nothing_is_swept_or_created_before_a_person_says_so(
    repo: Repo, tmp_path: Path
) -> None:
    """Even where only a kept part tells that the scope is not new: a plan alone would create a second object."""
    await _dead_run(repo, tmp_path / "state", (WEB_2,), BEFORE_THE_NAME_MOVED)
    async with estate(repo, tmp_path / "state") as home:
        before = home.world
        await home.settle(60)
        assert home.world == before
        assert "knows nothing of this scope" in (await home.scope()).message
        assert await home.runs() == []


async def test_the_sweep_is_a_heal_of_its_own_before_the_deploy(repo: Repo, tmp_path: Path) -> None:
    await _dead_run(repo, tmp_path / "state", (WEB_2,), BEFORE_THE_NAME_MOVED)
    async with estate(repo, tmp_path / "state") as home:
        await _reconciled(home)
        deploy, sweep = sorted(await home.runs(), key=lambda r: r.heal)
        assert (sweep.heal, sweep.word, deploy.heal, deploy.word) == (True, RunWord.DONE, False, RunWord.DONE)
        assert sorted(c.action for c in sweep.changes) == ["create", "destroy"]


@pytest.mark.parametrize("requests", [1, 2, 3])
async def test_a_sweep_that_is_killed_goes_on(repo: Repo, tmp_path: Path, requests: int) -> None:
    await _dead_run(repo, tmp_path / "state", (WEB_2,), BEFORE_THE_NAME_MOVED)
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(60)
        await home.ask("reconcile", scope="prod")
        await _killed(home, requests)
    async with estate(repo, tmp_path / "state") as home:
        await _reconciled(home)
        assert await _is_clean(home)
        assert {r.word for r in await home.runs()} == {RunWord.DONE}


# --- leftovers beside a journal that knows the scope -----------------------------------------------------------------


async def test_a_staged_leftover_goes_and_the_object_is_not_touched(home: Estate) -> None:
    before = home.world[KEY]
    await _stage(home)
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert home.world == {KEY: before}
    assert await _is_clean(home)


async def test_a_sweep_of_many_waits_for_no_confirmation(home: Estate) -> None:
    for number in range(MANY):
        await _stage(home, f"dead{number}")
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert await _is_clean(home)
    assert [(r.heal, r.word, len(r.changes)) for r in (await home.runs())[1:]] == [(True, RunWord.DONE, MANY)]


async def test_what_is_kept_beside_its_successor_is_reported_and_stays(home: Estate) -> None:
    await _place(home, KEY, "prod-shop-web.deadrun.old", lambda r: r.update(part="kept", running=False))
    before = home.world
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert home.world == before
    record = await home.scope()
    assert record.sync is SyncState.SYNCED
    assert "prod-shop-web.deadrun.old" in record.message and "by hand" in record.message
    assert len(await home.runs()) == 1


async def test_parts_of_another_scope_or_install_stay(home: Estate) -> None:
    def of(owner: str, value: str) -> Callable[[dict[str, Any]], None]:
        def change(record: dict[str, Any]) -> None:
            record.update(part="staged", running=False)
            record["mark"][owner] = value
            if owner == "scope":
                record["mark"]["resource"] = f"{value}/shop/web"

        return change

    await _place(home, KEY, "prod-shop-web.theirs1.new", of("install", "another"))
    await _place(home, KEY, "prod-shop-web.theirs2.new", of("scope", "another"))
    before = home.world
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert home.world == before
    assert (await home.scope()).message == ""


async def test_a_paused_scope_is_not_swept_and_says_so(home: Estate) -> None:
    part = await _stage(home)
    await home.ask("pause", scope="prod", reason="looking at it")
    await home.ask("reconcile", scope="prod")
    await home.settle(60)
    assert part in home.world
    assert "not swept yet" in (await home.scope()).message
    await home.ask("resume", scope="prod")
    await home.settle(60)
    assert await _is_clean(home)


@pytest.mark.parametrize(
    "more", [{"observe": True}, {"targets": {"sim": {"engine": "simulation", "read_only": True}}}], ids=str
)
async def test_what_may_only_be_looked_at_is_not_swept(repo: Repo, tmp_path: Path, more: dict[str, Any]) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        await _stage(home)
        await _set_aside(home)
        before = home.world
    async with estate(repo, tmp_path / "state", **more) as home:
        await home.ask("reconcile", scope="prod")
        await home.settle(60)
        assert home.world == before


async def test_where_what_was_kept_cannot_run_again_a_new_one_is_made_beside_it(home: Estate) -> None:
    """The failed sweep takes its rename back; the plan then heals, and the part is told."""
    kept = await _set_aside(home, **{"simulate.fail": "start"})
    uid = home.world[kept]["uid"]
    await home.ask("reconcile", scope="prod")
    await home.settle(60)
    assert home.world[kept]["uid"] == uid
    assert home.world[KEY]["uid"] != uid
    assert home.world[KEY]["running"] is True
    record = await home.scope()
    assert record.sync is SyncState.SYNCED and record.parked is None
    assert "prod-shop-web.deadrun.old" in record.message
    assert sorted(r.word for r in await home.runs()) == [RunWord.DONE, RunWord.DONE, RunWord.UNDONE]


async def test_leftovers_are_swept_while_the_branch_holds_a_mistake(home: Estate, repo: Repo) -> None:
    kept = await _set_aside(home)
    uid = home.world[kept]["uid"]
    repo.push({SHOP: blueprint(WEB.replace("memory", "memroy"))})
    await home.settle(60)
    assert home.world[KEY]["uid"] == uid
    assert home.world[KEY]["running"] is True


async def test_a_review_never_sweeps(home: Estate, repo: Repo) -> None:
    await home.ask("pause", scope="prod", reason="only reviews")
    part = await _stage(home)
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    assert part in home.world
    assert "deadrun" not in await home.comment(1)


# --- what a run could not remove --------------------------------------------------------------------------------------


def _refusing(verb: str) -> dict[str, Any]:
    """Targets whose platform refuses `verb` for ever."""
    rule = {"match": verb, "error": "refused", "times": 0}
    return {"targets": {"sim": {"engine": "simulation", "fail": (rule,)}}}


async def test_a_kept_part_that_could_not_be_removed_is_told_in_the_comment_and_by_later_looks(
    repo: Repo, tmp_path: Path
) -> None:
    async with estate(repo, tmp_path / "state", **_refusing("remove prod-shop-web")) as home:
        await home.settle()
        repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await home.settle()
        await home.ask("ipr.merge", number=1)
        await home.settle(180)
        run = (await home.runs())[-1]
        assert run.word is RunWord.DONE and "later look finds it" in run.next_step
        text = await home.comment(1)
        assert text.count("Final state: done") == 1
        assert f"⚠️ `prod-shop-web.{run.run[:12]}.old: " in text and "Next step: remove by hand" in text
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert f"prod-shop-web.{run.run[:12]}.old" in (await home.scope()).message


async def test_an_object_that_could_not_be_destroyed_is_planned_away_again(repo: Repo, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with estate(repo, state, **_refusing("remove prod-shop-db")) as home:
        repo.push({SHOP: blueprint(WEB, DB)})
        await home.settle()
        repo.push({SHOP: blueprint(WEB)}, "ipr/less")
        await home.settle()
        await home.ask("ipr.merge", number=1)
        await home.settle(180)
        assert "⚠️ `prod-shop-db: " in await home.comment(1)
        assert DB_KEY in home.world
    async with estate(repo, state) as home:
        await home.settle(700)
        waiting = (await home.runs())[-1]
        assert (waiting.word, waiting.heal) == (RunWord.WAITING, True)
        await home.ask("confirm", run=waiting.run)
        await home.settle()
        assert DB_KEY not in home.world
