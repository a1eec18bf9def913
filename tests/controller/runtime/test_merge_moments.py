"""A forge moves the tracked branch first and calls the pull request merged a moment later: what is looked at in
between must neither end a report early nor take back what the review cleared (I2, I19)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.forges.forge import Forge, PullRequest, PullState
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Priority
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB, DB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


class Late:
    """While patched in, pull requests that were merged are still told as open."""

    def __init__(self, forge: Forge) -> None:
        self._pull, self._pulls = forge.pull, forge.pulls

    async def pull(self, number: int) -> PullRequest | None:
        found = await self._pull(number)
        return found and _open(found)

    async def pulls(self) -> tuple[PullRequest, ...]:
        return tuple(_open(p) for p in await self._pulls())


def _open(pull: PullRequest) -> PullRequest:
    return replace(pull, state=PullState.OPEN, merge_sha=None) if pull.state is PullState.MERGED else pull


async def merged_but_told_late(home: Estate, repo: Repo, text: str, late: pytest.MonkeyPatch) -> None:
    repo.push({SHOP: text}, "ipr/next")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    told = Late(home.controller.forges["infra"])
    late.setattr(home.controller.forges["infra"], "pull", told.pull)
    late.setattr(home.controller.forges["infra"], "pulls", told.pulls)
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()


async def test_a_merge_that_the_forge_tells_late_gets_its_final_state(home: Estate, repo: Repo) -> None:
    with pytest.MonkeyPatch.context() as late:
        await merged_but_told_late(home, repo, blueprint(WEB_2, DB), late)
        assert "Final state" not in await home.comment(1)
    await home.settle()
    assert (await home.comment(1)).count("Final state: done") == 1


async def test_what_a_review_listed_is_cleared_by_a_merge_that_the_forge_tells_late(home: Estate, repo: Repo) -> None:
    with pytest.MonkeyPatch.context() as late:
        await merged_but_told_late(home, repo, blueprint(WEB), late)
        assert (await home.runs())[-1].word is RunWord.WAITING
        assert "1 to destroy" in await home.comment(1)
    await home.settle()
    assert (await home.runs())[-1].word is RunWord.DONE
    assert "simulation/database:prod-shop-db" not in home.world


async def test_a_pull_request_is_not_final_while_its_run_goes_on(home: Estate, repo: Repo) -> None:
    records = home.controller.install.records
    with pytest.MonkeyPatch.context() as late:
        await merged_but_told_late(home, repo, blueprint(WEB), late)
        waiting = (await home.runs())[-1]
        # As an older version left it: a review made after the branch had moved lists nothing.
        await records.save("t", replace(await home.ipr(1), reviewed=()))
    await home.settle()
    assert (await home.runs())[-1].run == waiting.run and (await home.runs())[-1].word is RunWord.WAITING
    assert not (await home.ipr(1)).final
    await home.ask("confirm", run=waiting.run)
    await home.settle()
    assert (await home.comment(1)).count("Final state: done") == 1


async def test_an_open_pull_request_whose_content_came_by_another_way_is_reviewed_again(
    home: Estate, repo: Repo
) -> None:
    repo.push({SHOP: blueprint(WEB_2, DB)}, "ipr/next")
    await home.settle()
    assert "1 to update" in await home.comment(1)
    with pytest.MonkeyPatch.context() as late:
        told = Late(home.controller.forges["infra"])
        late.setattr(home.controller.forges["infra"], "pull", told.pull)
        late.setattr(home.controller.forges["infra"], "pulls", told.pulls)
        repo.push({SHOP: blueprint(WEB_2, DB)})
        await home.settle(120)
        assert "1 to update" not in await home.comment(1)
