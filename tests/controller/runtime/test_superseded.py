"""A run that was superseded before it cut anything leaves nothing behind: no part, no sealed prior state (I13, I27)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from controller.journal.projections import SEALED_OP
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
SECRET = {"APP_PASSWORD": "hunter2-canary"}
OURS = WEB.replace("cpu: 1", 'env: {PASSWORD: {secret: "env:APP_PASSWORD"}}')


def image(version: int, more: str = "") -> str:
    return blueprint(OURS.replace("web:1.0", f"web:{version}.0").replace("env:", f"{more}env:", 1))


async def test_a_run_superseded_while_it_stages_keeps_no_prior_state(tmp_path: Path) -> None:
    """What it staged with a secret is taken away; the newer run inherits nothing, and still nothing stays sealed."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: image(1)})
    async with estate(repo, tmp_path / "state", environment=SECRET) as home:
        await home.settle()
        repo.push({SHOP: image(2, "simulate: {task_polls: 2}, ")})
        staging = home.clock.hold_after(0.1)
        passes = asyncio.create_task(home.settle(60))
        await staging
        repo.push({SHOP: image(3)})
        await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
        home.clock.release()
        await passes
        await home.settle()
        assert [r.word for r in await home.runs()].count(RunWord.SUPERSEDED) == 1
        (web,) = home.world.values()
        assert web["fields"]["image"] == "web:3.0"
        assert not await home.controller.install.journal.documents(SEALED_OP)
