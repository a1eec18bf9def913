"""Whose change is planned and whose words command: rights are those of the forge at that moment (I3, I5, I6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.runtime.at_gitea import at_gitea, pushed
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint

SHOP = "prod/shop.yaml"
ADA, WILL, RITA = 2, 3, 4  # may administrate, write, read
PAUSE = '/alma pause --reason "look first"'


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
def server() -> FakeGitea:
    return FakeGitea()


@pytest.fixture
async def home(repo: Repo, server: FakeGitea, tmp_path: Path) -> AsyncIterator[Estate]:
    pushed(repo, server, {})
    async with at_gitea(repo, server, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


async def a_fork(repo: Repo, server: FakeGitea, user: int) -> int:
    pushed(repo, server, {SHOP: blueprint(WEB_2)}, "theirs")
    return server.add_pull("theirs", user=user, fork=True)


async def said(server: FakeGitea, home: Estate, number: int, user: int, *, edited: bool) -> None:
    """A comment, and a look at its pull request."""
    server.clock.now_s += 60
    comment = server.say(number, user, PAUSE)
    server.comments[comment].updated += 30 if edited else 0
    await home.settle(60)


async def test_a_fork_of_someone_who_may_not_write_is_not_planned(home: Estate, repo: Repo, server: FakeGitea) -> None:
    number = await a_fork(repo, server, RITA)
    await home.settle(60)
    (ours,) = server.bodies(number, 1)
    assert "from a fork whose author may not write here" in ours
    assert "web:2.0" not in ours
    assert not (await home.ipr(number)).reviewed


async def test_a_fork_of_a_writer_is_planned(home: Estate, repo: Repo, server: FakeGitea) -> None:
    number = await a_fork(repo, server, WILL)
    await home.settle(60)
    (ours,) = server.bodies(number, 1)
    assert "web:2.0" in ours


@pytest.mark.parametrize(("user", "edited", "paused"), [(ADA, False, True), (RITA, False, False), (ADA, True, False)])
async def test_an_edited_comment_commands_nothing(
    home: Estate, repo: Repo, server: FakeGitea, user: int, edited: bool, paused: bool
) -> None:
    """Nor does one of somebody who may only read."""
    pushed(repo, server, {SHOP: blueprint(WEB_2)}, "ipr/one")
    number = server.add_pull("ipr/one", user=WILL)
    await home.settle(60)
    await said(server, home, number, user, edited=edited)
    assert ((await home.scope()).pause is not None) is paused
