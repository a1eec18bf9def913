"""A run that was superseded before it cut anything leaves nothing behind: no part, no sealed prior state (I13, I27)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from controller.journal.projections import SEALED_OP
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
SLOWLY = "simulate: {task_polls: 2}, "
APP = '{name: app, type: container, specs: {image: "app:%s"}}'
SECRET = {"APP_PASSWORD": "hunter2-canary"}
OURS = WEB.replace("cpu: 1", 'env: {PASSWORD: {secret: "env:APP_PASSWORD"}}')


def image(version: int, more: str = "", *others: str) -> str:
    return blueprint(OURS.replace("web:1.0", f"web:{version}.0").replace("env:", f"{more}env:", 1), *others)


async def overtaken(home: Estate, repo: Repo, second: str, third: str) -> None:
    """`third` is pushed while `second` sleeps for the first time, and all comes to its end."""
    repo.push({SHOP: second})
    staging = home.clock.hold_after(0.1)
    passes = asyncio.create_task(home.settle(60))
    await staging
    repo.push({SHOP: third})
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    home.clock.release()
    await passes
    await home.settle()


async def superseded(home: Estate, repo: Repo, second: str, third: str) -> None:
    """`second` is overtaken while it stages, and what overtakes it comes to a good end."""
    await overtaken(home, repo, second, third)
    assert sorted(r.word for r in await home.runs()) == [RunWord.DONE, RunWord.DONE, RunWord.SUPERSEDED]


async def test_a_run_superseded_while_it_stages_keeps_no_prior_state(tmp_path: Path) -> None:
    """What it staged with a secret is taken away; the newer run inherits nothing, and still nothing stays sealed."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: image(1)})
    async with estate(repo, tmp_path / "state", environment=SECRET) as home:
        await home.settle()
        await superseded(home, repo, image(2, SLOWLY), image(3))
        (web,) = home.world.values()
        assert web["fields"]["image"] == "web:3.0"
        assert not await home.controller.install.journal.documents(SEALED_OP)


async def test_the_newer_run_does_not_count_on_what_the_older_one_only_staged(tmp_path: Path) -> None:
    """It stands under its own name when the newer one is planned, and is taken away before that begins."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: image(1)})
    async with estate(repo, tmp_path / "state", environment=SECRET) as home:
        await home.settle()
        await superseded(home, repo, image(2, SLOWLY, APP % 1), image(3, "", APP % 2))
        assert not (await home.scope()).quarantine
        assert home.world["simulation/container:prod-shop-app"]["fields"]["image"] == "app:2"


def refusing(*calls: str) -> dict[str, object]:
    rules = [{"match": call, "error": "refused", "times": 0} for call in calls]
    return {"sim": {"engine": "simulation", "fail": rules}}


async def test_nothing_stays_sealed_of_what_a_parked_run_took_over(tmp_path: Path) -> None:
    """The overtaken one had cut already: its prior state passes to the newer run, and goes when a person unlocks."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: image(1)})
    more: dict[str, Any] = {
        "targets": refusing("start prod-shop-app", "remove prod-shop-app"),
        "reconcile": {"health_timeout": "12h"},  # Git is read in real time, while this one passes
    }
    async with estate(repo, tmp_path / "state", environment=SECRET, **more) as home:
        await home.settle()
        await overtaken(home, repo, image(2, "simulate: {health: never}, "), image(3, "", APP % 1))
        await home.settle(300)
        parked = (await home.scope()).parked
        assert [r.word for r in await home.runs()] == [RunWord.DONE, RunWord.SUPERSEDED, RunWord.PARKED]
        assert await home.controller.install.journal.documents(SEALED_OP)
        await home.ask("unlock", run=parked)
        assert not await home.controller.install.journal.documents(SEALED_OP)


async def test_a_scope_whose_runs_never_came_to_a_good_end_takes_the_next_revision(tmp_path: Path) -> None:
    """The first run is overtaken, what it made stands in the way of the next one: all of it is known."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML})
    state = tmp_path / "state"
    async with estate(repo, state, targets=refusing("remove prod-shop-web")) as home:
        await home.settle()
        slow = '{name: app, type: container, specs: {image: "app:1", simulate: {task_polls: 2}}}'
        await overtaken(home, repo, blueprint(WEB, slow), blueprint(WEB_2))
        assert [r.word for r in await home.runs()][-1] is RunWord.UNDONE
    repo.push({SHOP: blueprint(WEB)})
    async with estate(repo, state) as home:
        await home.settle(60)
        scope = await home.scope()
        assert scope.good_revision == scope.seen_revision and scope.sync == "synced"
