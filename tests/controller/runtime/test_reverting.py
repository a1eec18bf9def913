"""Revert pull requests while forge or Git remote are away: opened once, later, and only while they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.forges.forge import ForgeUnavailable
from controller.forges.local import LocalForge
from controller.runtime.run import RunWord
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, WEB_BROKEN, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
MINUTES_5 = 300.0


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


@contextmanager
def forge_away() -> Iterator[None]:
    """Nobody answers at the forge, in any process."""

    async def down(*_: object, **__: object) -> None:
        raise ForgeUnavailable("down", 3.0)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("pulls", "pull", "open_pull", "write_comment", "write_status", "comments"):
            patch.setattr(LocalForge, name, down)
        yield


async def failed_while_away(home: Estate, repo: Repo) -> None:
    """A push fails and is undone; its revert pull request could not be opened."""
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    with forge_away():
        await home.settle(60)
        assert (await home.runs())[-1].word is RunWord.UNDONE
        assert (await home.scope()).revert_due == (await home.runs())[-1].run


async def reverts(home: Estate) -> list[str]:
    pulls = await home.controller.forges["infra"].pulls()
    return [p.title for p in pulls if p.title.startswith("Revert")]


async def test_a_revert_that_could_not_be_opened_is_opened_within_five_minutes_once(home: Estate, repo: Repo) -> None:
    good = (await home.scope()).good_revision or ""
    await failed_while_away(home, repo)
    await home.settle(MINUTES_5)
    assert await reverts(home) == [f"Revert prod to {good[:8]}"]
    run = (await home.runs())[-1]
    assert run.revert_pull == 1 and (await home.scope()).revert_due is None
    await home.settle(3 * MINUTES_5)
    assert len(await reverts(home)) == 1


async def test_a_revert_that_could_not_be_opened_is_opened_by_the_next_process(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        await failed_while_away(home, repo)
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(MINUTES_5)
        assert len(await reverts(home)) == 1
        assert (await home.scope()).revert_due is None


async def test_a_kill_between_the_forge_s_answer_and_the_journal_makes_no_second_one(
    repo: Repo, tmp_path: Path
) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        await failed_while_away(home, repo)
        before = await home.scope(), (await home.runs())[-1]
        await home.settle(MINUTES_5)
        await home.controller.install.records.save("t", *before)  # as if the answer was never written down
        number = 1
        await home.controller.forges["infra"].close_pull(number)
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(MINUTES_5)
        assert len(await reverts(home)) == 1
        assert (await home.runs())[-1].revert_pull == number


async def test_the_remote_is_away_as_a_run_fails(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    held = home.clock.hold_after(1.0)
    away = repo.root / "away.git"
    passes = asyncio.create_task(home.settle(60))
    await held
    repo.remote.rename(away)
    home.clock.release()
    await passes
    assert (await home.runs())[-1].word is RunWord.UNDONE
    away.rename(repo.remote)
    await home.settle(MINUTES_5)
    assert len(await reverts(home)) == 1


async def test_a_rollback_while_the_forge_is_away_gets_its_revert_later(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    await home.ask("rollback", scope="prod", reason="too slow")
    with forge_away():
        await home.settle(60)
        assert (await home.scope()).revert_due
    await home.settle(MINUTES_5)
    assert len(await reverts(home)) == 1


@pytest.mark.parametrize("how", ["moved", "retried"])
async def test_a_revert_that_has_become_needless_is_not_opened(home: Estate, repo: Repo, how: str) -> None:
    await failed_while_away(home, repo)
    with forge_away():
        if how == "moved":
            repo.push({SHOP: blueprint(WEB_2)})
        else:
            await home.ask("pause", scope="prod", reason="so that it does not fail again")
            await home.ask("retry", run="prod")
        await home.settle(MINUTES_5)
    await home.settle(2 * MINUTES_5)
    assert await reverts(home) == []
    assert (await home.scope()).revert_due is None


async def test_a_rollback_that_was_resumed_meanwhile_gets_no_revert(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    await home.ask("rollback", scope="prod", reason="too slow")
    with forge_away():
        await home.settle(60)
        await home.ask("resume", scope="prod")
        await home.settle(60)
    await home.settle(2 * MINUTES_5)
    assert await reverts(home) == []
