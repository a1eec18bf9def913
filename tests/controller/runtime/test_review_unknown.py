"""What could not be read is neither gone nor new (I9), and what a person said is not lost beside a pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.errors import InvalidInput
from controller.plan.resource import Snapshot
from controller.runtime.observe import Observer, TargetUnreadable
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from controller.telemetry import Metrics
from controller.token_bucket import TokenBucket
from engines.engine import Ask
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import (
    ALMA_YAML,
    DB,
    WEB,
    WEB_2,
    WEB_BROKEN,
    Estate,
    Repo,
    blueprint,
    estate,
)

SHOP = "prod/shop.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


def image(home: Estate, name: str = "prod-shop-web") -> str:
    return str(home.world[f"simulation/container:{name}"]["fields"]["image"])


async def test_a_scope_is_not_orphaned_because_its_repository_was_not_read_yet(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    repo.remote.rename(repo.root / "away.git")
    async with estate(repo, tmp_path / "state") as home:
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert not (await home.scope()).orphaned


async def test_a_run_that_was_left_behind_ends_while_git_is_down(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        repo.push({SHOP: blueprint(WEB_BROKEN)})
        held = home.clock.hold_after(1.0)
        passes = asyncio.create_task(home.settle(60))
        await asyncio.wait_for(held, 10)
        assert (await home.scope()).run
        passes.cancel()
        await asyncio.gather(passes, return_exceptions=True)
    repo.remote.rename(repo.root / "away.git")
    async with estate(repo, tmp_path / "state") as home:
        assert await home.controller.loop.left_behind() == ("prod",)
        await home.controller.loop.one(Item("scope:prod", Priority.PERSON))
        assert (await home.scope()).run is None
        assert image(home) == "web:1.0"


async def test_a_scope_whose_repository_left_the_server_is_shown_as_orphaned(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    other = Repo.make(tmp_path / "other", {"alma.yaml": "version: 1\nscopes: [{name: x, path: x}]\n"})
    repositories = ({"name": "second", "url": str(other.remote), "forge": {"kind": "local"}},)
    async with estate(repo, tmp_path / "state", repositories=repositories, allow={}) as home:
        assert await home.controller.loop.left_behind() == ("prod",)
        await home.controller.loop.one(Item("scope:prod", Priority.PERSON))
        assert (await home.scope()).orphaned


async def test_a_deleted_alma_yaml_creates_nothing_a_second_time(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(DB, WEB.replace(', ports: ["8080:80"]', ""))})
    await home.settle()
    before = set(home.world)
    repo.push({"alma.yaml": None})
    await home.settle(120)
    assert set(home.world) == before


async def test_a_pause_that_comes_while_a_pass_plans_is_kept(
    home: Estate, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = home.controller.install.engines["sim"]
    observe = engine.observe

    async def slowly(ask: Ask) -> Snapshot:
        monkeypatch.setattr(engine, "observe", observe)
        await home.ask("pause", scope="prod", reason="stop")
        return await observe(ask)

    repo.push({SHOP: blueprint(WEB_2)})
    monkeypatch.setattr(engine, "observe", slowly)
    await home.settle()
    assert (await home.scope()).pause
    assert image(home) == "web:1.0"


async def test_a_head_that_cannot_be_read_does_not_stop_the_run_under_way(tmp_path: Path) -> None:
    """The first deploy waits for health when a broken alma.yaml is pushed."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB_BROKEN)})
    async with estate(repo, tmp_path / "state") as home:
        held = home.clock.hold_after(0.5)
        passes = asyncio.create_task(home.settle(60))
        await asyncio.wait_for(held, 10)
        repo.push({"alma.yaml": "version: 1\nscopes: 7\n"})
        await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
        run = (await home.scope()).run
        assert run
        home.controller.install.executor.nudge(run)
        home.clock.release()
        await passes
        assert [r.word for r in await home.runs()] == [RunWord.UNDONE]
        assert (await home.scope()).run is None


async def test_a_pause_is_no_consent_to_live_objects_that_the_journal_does_not_know(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    for file in (tmp_path / "state").glob("alma.db*"):
        file.unlink()
    repo.push({SHOP: blueprint(WEB_2)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        await home.ask("pause", scope="prod", reason="look first")
        await home.settle()
        await home.ask("resume", scope="prod")
        await home.settle(120)
        assert image(home) == "web:1.0"
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert image(home) == "web:2.0"


async def test_a_scope_that_was_destroyed_and_comes_back_is_deployed(home: Estate, repo: Repo) -> None:
    repo.push({"alma.yaml": ALMA_YAML.replace("prod\n", "next\n", 1)})
    await home.settle()
    plan = (await home.ask("destroy", scope="prod"))["plan"]
    await home.ask("destroy", scope="prod", confirm=plan["digest"])
    assert "simulation/container:prod-shop-web" not in home.world
    repo.push({"alma.yaml": ALMA_YAML}, "ipr/back")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle(60)
    assert image(home) == "web:1.0"
    assert (await home.ipr(1)).final


async def test_a_rollback_does_not_wait_for_scopes_to_be_as_they_were_then(tmp_path: Path) -> None:
    alma = "version: 1\nscopes:\n  - {name: base, path: base}\n  - {name: apps, path: apps, depends_on: [base]}\n"
    files = {"alma.yaml": alma, "base/d.yaml": blueprint(DB, name="data"), "apps/shop.yaml": blueprint(WEB)}
    repo = Repo.make(tmp_path / "git", files)
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(120)
        first = (await home.scope("apps")).good_revision
        repo.push({"apps/shop.yaml": blueprint(WEB_2), "base/d.yaml": blueprint(DB.replace("1GB", "2GB"), name="data")})
        await home.settle(120)
        assert image(home, "apps-shop-web") == "web:2.0"
        await home.ask("rollback", scope="apps", revision=first)
        await home.settle(120)
        assert image(home, "apps-shop-web") == "web:1.0"


async def test_a_run_that_is_about_to_go_on_is_not_said_to_be_cancelled(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    held = home.clock.hold_after(1.0)
    passes = asyncio.create_task(home.settle(60))
    await asyncio.wait_for(held, 10)
    run = (await home.scope()).run
    passes.cancel()
    await asyncio.gather(passes, return_exceptions=True)
    home.clock.release()
    with pytest.raises(InvalidInput):
        await home.ask("cancel", run=run)
    await home.ask("reconcile", scope="prod")
    await home.settle(60)
    assert (await home.runs())[-1].word is RunWord.UNDONE


class _Odd:
    async def observe(self, ask: Ask) -> Snapshot:
        await asyncio.sleep(0)
        raise KeyError("defect")


async def test_a_defect_of_an_engine_leaves_nobody_waiting_for_its_reading() -> None:
    engines: Any = {"t": _Odd()}
    clock = VirtualClock()
    defects: list[str] = []
    buckets = {"t": TokenBucket(600, 50, clock.now_s)}
    observer = Observer(engines, {"t": "odd"}, buckets, Metrics(), clock, defects.append)
    ask = Ask(install="home", scopes=frozenset(), keys=frozenset(), claims=frozenset())
    reads = [asyncio.ensure_future(observer.read({"t": ask})) for _ in range(3)]
    results = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 2)
    assert [type(r) for r in results] == [TargetUnreadable] * 3
    assert set(defects) == {"t"}
