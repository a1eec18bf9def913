"""B11: whatever happens to branches, pull requests and the remote while a change is reviewed, applied, verified or
undone, no run is left in between, and the next good revision comes to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, Estate, Repo, blueprint, estate, git
from tests.controller.runtime.moments import reaching
from tests.crash import judging

SHOP, BRANCH = "prod/shop.yaml", "ipr/one"
_MOMENTS = (2, 9, 15, 21, 27)  # records of the journal: looked at, staged, cut, verified, undone
Event = Callable[[Estate, Repo], Awaitable[None]]


def web(image: str, health: str = "") -> str:
    return blueprint(WEB.replace("web:1.0", image).replace("cpu: 1", f"cpu: 1{health}"))


async def _pushed_again(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: web("web:other")}, BRANCH)


async def _branch_deleted(home: Estate, repo: Repo) -> None:
    git(repo.work, "push", "-q", "origin", f":{BRANCH}")


async def _deleted_and_there_again(home: Estate, repo: Repo) -> None:
    await _branch_deleted(home, repo)
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    await _pushed_again(home, repo)


async def _emptied(home: Estate, repo: Repo) -> None:
    repo.push({}, BRANCH)


async def _merged(home: Estate, repo: Repo) -> None:
    git(repo.work, "push", "-q", "-f", "origin", f"origin/{BRANCH}:main")


async def _rewritten(home: Estate, repo: Repo) -> None:
    git(repo.work, "checkout", "-q", "-B", "main", "origin/main~1")
    (repo.work / SHOP).write_text(web("web:rewritten"))
    git(repo.work, "commit", "-q", "-a", "-m", "rewritten")
    git(repo.work, "push", "-q", "-f", "origin", "main")


async def _taken_back(home: Estate, repo: Repo) -> None:
    git(repo.work, "push", "-q", "-f", "origin", "origin/main~1:main")


async def _tracked_branch_deleted(home: Estate, repo: Repo) -> None:
    tip = git(repo.remote, "rev-parse", "main")
    git(repo.remote, "update-ref", "-d", "refs/heads/main")
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    git(repo.remote, "update-ref", "refs/heads/main", tip)


async def _remote_away(home: Estate, repo: Repo) -> None:
    away = repo.remote.rename(repo.root / "away.git")
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    away.rename(repo.remote)


async def _pushed_on(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: web("web:on")})


async def _reverted(home: Estate, repo: Repo) -> None:
    git(repo.work, "fetch", "-q", "origin")
    git(repo.work, "checkout", "-q", "-B", "main", "origin/main")
    git(repo.work, "revert", "--no-edit", "HEAD")
    git(repo.work, "push", "-q", "origin", "main")


async def _another_branch(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: web("web:topic")}, "topic")


EVENTS: tuple[Event, ...] = (
    *(_pushed_again, _branch_deleted, _deleted_and_there_again, _emptied, _merged, _another_branch),
    *(_rewritten, _taken_back, _tracked_branch_deleted, _remote_away, _pushed_on, _reverted),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.__name__.strip("_"))
async def test_what_happens_to_the_history_leaves_no_run_in_between(
    event: Event, tmp_path: Path, report_n: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: web("web:0")})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        for moment in _MOMENTS:
            repo.push({SHOP: web(f"web:pull.{moment}")}, BRANCH)
            await home.settle()
            repo.push({SHOP: web(f"web:ill.{moment}", ", simulate: {health: never}")})
            async with reaching(home, moment, monkeypatch) as reached:
                passes = asyncio.create_task(home.settle(120))
                await asyncio.wait({reached, passes}, return_when=asyncio.FIRST_COMPLETED)
                await event(home, repo)
                await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
                await passes
            await home.settle(120)
            assert not await judging.wrongs(home), moment
            await _goes_on(home, repo, f"web:good.{moment}")
        report_n("B11 history", len(_MOMENTS))


async def _goes_on(home: Estate, repo: Repo, image: str) -> None:
    """The scope is free: the next revision runs, where the history was rewritten after a person has looked at it."""
    repo.push({SHOP: web(image)})
    await home.settle(60)
    if "rewritten" in (await home.scope()).message:
        await home.ask("reconcile", scope="prod")
        await home.settle(60)
    scope = await home.scope()
    assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == image, scope.message
    assert scope.sync == "synced"
