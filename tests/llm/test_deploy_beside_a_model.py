"""B18: a run neither waits for a model nor for a review that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, Estate, Repo, blueprint, estate
from tests.llm.injections import CONTROL
from tests.llm.model_server import ModelServer, Request, hangs, model_server
from tests.llm.test_injections import KEY, files_of, llm


async def due(home: Estate) -> Item:
    """The next pass, at the time it is due."""
    while (item := home.controller.queue.due()) is None:
        home.clock.passed_s += max(home.controller.queue.until_next_s() or 0.0, 0.001)
    return item


async def test_a_run_ends_while_a_review_waits_for_a_model(tmp_path: Path, report_n: Callable[..., None]) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, "prod/shop.yaml": blueprint(WEB)})
    repo.push(files_of(CONTROL, ""), "ipr/control")
    asked = asyncio.Event()

    async def behave(server: ModelServer, request: Request, writer: Any) -> None:
        asked.set()
        await hangs(server, request, writer)

    known = {"APP_PASSWORD": "x-app-password", "MODEL_KEY": KEY}
    async with (
        model_server(behave) as server,
        estate(repo, tmp_path / "state", environment=known, **llm(server)) as home,
    ):
        loop = home.controller.loop
        runs: list[Item] = []
        reviews: list[asyncio.Task[None]] = []
        home.controller.queue.add("repo:infra", Priority.WEBHOOK)
        while not (runs and reviews):
            item = await due(home)
            if item.key.startswith("scope:"):
                runs.append(item)
            elif item.key.startswith("ipr:"):
                reviews.append(asyncio.create_task(loop.one(item)))
            else:
                await loop.one(item)
        await asked.wait()
        for item in runs:
            await loop.one(item)
        assert list(home.world) == ["simulation/container:prod-shop-web"]
        assert server.sent_bytes == 0, "the model has said nothing yet, and nobody minded"
        await server.end()
        await asyncio.gather(*reviews)
        assert "Written by `rules`" in await home.comment(1)
    report_n("B18 deploy", 1)
