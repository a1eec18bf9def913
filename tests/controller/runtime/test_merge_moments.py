"""A forge moves the tracked branch first and calls the pull request merged a moment later: what is looked at in
between must neither end a report early nor take back what the review cleared (I2, I19)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.forges.forge import Forge, ForgeUnavailable, PullRequest, PullState
from controller.plan.resource import Snapshot
from controller.runtime.records import IprRecord
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from engines.engine import Ask
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, WEB_BROKEN, Estate, Repo, blueprint, estate

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


# --- before the run begins ------------------------------------------------------------------------------------------


async def state_in_status(home: Estate) -> str:
    (scope,) = (await home.ask("status"))["scopes"]
    return str(scope["state"])


async def test_a_merge_that_waits_for_its_pass_is_queued_and_one_being_planned_says_so(
    home: Estate, repo: Repo
) -> None:
    loop, queue = home.controller.loop, home.controller.queue
    repo.push({SHOP: blueprint(WEB_2, DB)}, "ipr/next")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    queue.add("repo:infra", Priority.WEBHOOK)
    await loop.one(Item("repo:infra", Priority.WEBHOOK))
    await loop.one(Item("ipr:infra/1", Priority.WEBHOOK))
    assert "**⏳ State: queued**" in await home.comment(1)
    engine = home.controller.install.engines["sim"]
    observe = engine.observe

    async def meanwhile(ask: Ask) -> Snapshot:
        moment.undo()
        await loop.one(Item("ipr:infra/1", Priority.WEBHOOK))
        seen.extend([await state_in_status(home), await home.comment(1)])
        return await observe(ask)

    seen: list[str] = []
    with pytest.MonkeyPatch.context() as moment:
        moment.setattr(engine, "observe", meanwhile)
        await home.settle()
    assert seen[0] == "planning" and "**⏳ State: planning**" in seen[1]
    assert (await home.comment(1)).count("Final state: done") == 1
    assert await state_in_status(home) == ""


async def test_a_merge_into_a_paused_scope_says_why_it_does_not_go(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2, DB)}, "ipr/next")
    await home.settle()
    await home.ask("pause", scope="prod", reason="maintenance")
    await home.ask("ipr.merge", number=1)
    await home.settle(60)
    text = await home.comment(1)
    assert "State: queued" in text and "maintenance" in text
    await home.ask("resume", scope="prod")
    await home.settle(60)
    assert (await home.comment(1)).count("Final state: done") == 1


# --- merged before anyone looked -----------------------------------------------------------------------------------


async def merged_unseen(home: Estate, repo: Repo, text: str) -> None:
    """A pull request that is opened and merged between two looks."""
    repo.push({SHOP: text}, "ipr/next")
    forge = home.controller.forges["infra"]
    (pull,) = await forge.pulls()
    await forge.merge(pull.number, pull.head_sha)


async def test_a_merge_before_any_review_is_reported_once_and_says_so(home: Estate, repo: Repo) -> None:
    await merged_unseen(home, repo, blueprint(WEB_2, DB))
    await home.settle(60)
    text = await home.comment(1)
    assert text.count("Final state: done") == 1
    assert "merged before it was reviewed" in text and "`prod`" in text
    assert len((await home.ask("ipr.show", number=1))["comments"]) == 1
    record = await home.ipr(1)
    assert record.final
    assert [(r.scope, r.digest, r.listed) for r in record.reviewed] == [("prod", "", ())]


async def test_a_merge_before_any_review_clears_nothing(home: Estate, repo: Repo) -> None:
    await merged_unseen(home, repo, blueprint(WEB))
    await home.settle(60)
    waiting = (await home.runs())[-1]
    assert waiting.word is RunWord.WAITING
    assert "simulation/database:prod-shop-db" in home.world
    assert not (await home.ipr(1)).final and waiting.run in await home.comment(1)
    await home.ask("confirm", run=waiting.run)
    await home.settle(60)
    assert (await home.comment(1)).count("Final state: done") == 1


async def test_an_unreviewed_merge_whose_run_is_over_before_the_look_gets_that_run_s_end(
    home: Estate, repo: Repo
) -> None:
    """The forge is silent until the run is over, and the run went to a newer commit than the merge."""
    await merged_unseen(home, repo, blueprint(WEB_BROKEN, DB))
    repo.push({"README.md": "beside every scope"})
    with pytest.MonkeyPatch.context() as silent:

        async def down(*_: object) -> None:
            raise ForgeUnavailable("down", 3.0)

        silent.setattr(home.controller.forges["infra"], "pulls", down)
        await home.settle(90)
        assert (await home.runs())[-1].word is RunWord.UNDONE
    await home.settle(60)
    assert (await home.runs())[-1].pulls == ()
    assert (await home.comment(1)).count("Final state: undone") == 1
    assert (await home.ipr(1)).final


async def test_an_unreviewed_merge_that_brings_nothing_to_run_gets_its_final_state(home: Estate, repo: Repo) -> None:
    await merged_unseen(home, repo, blueprint(WEB, DB) + "# a remark\n")
    await home.settle(60)
    assert len(await home.runs()) == 1
    text = await home.comment(1)
    assert text.count("Final state: done") == 1 and "Nothing had to run" in text


async def test_a_look_at_an_unreviewed_merge_that_is_killed_is_made_by_the_next_process(
    repo: Repo, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with estate(repo, state) as home:
        await home.settle()
        await merged_unseen(home, repo, blueprint(WEB_2, DB))
        await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    async with estate(repo, state) as home:
        await home.settle(60)
        assert (await home.comment(1)).count("Final state: done") == 1


async def test_what_was_merged_before_the_first_look_is_left_alone(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "first") as home:
        await home.settle()
        await merged_unseen(home, repo, blueprint(WEB_2, DB))
        first = home.controller.forges["infra"]
        pulls = await first.pulls()
    async with estate(repo, tmp_path / "second") as home:

        async def the_same() -> tuple[PullRequest, ...]:
            return pulls

        with pytest.MonkeyPatch.context() as told:
            told.setattr(home.controller.forges["infra"], "pulls", the_same)
            await home.settle(60)
            assert await home.controller.install.records.all(IprRecord) == ()


async def test_a_pull_request_seen_open_only_after_its_merge_reports_its_run(home: Estate, repo: Repo) -> None:
    """The forge tells of the merge late, and no review was made before the branch moved."""
    with pytest.MonkeyPatch.context() as late:
        await merged_unseen(home, repo, blueprint(WEB))
        told = Late(home.controller.forges["infra"])
        late.setattr(home.controller.forges["infra"], "pull", told.pull)
        late.setattr(home.controller.forges["infra"], "pulls", told.pulls)
        await home.settle(20)
    await home.settle(40)
    assert not (await home.ipr(1)).final and (await home.runs())[-1].run in await home.comment(1)
