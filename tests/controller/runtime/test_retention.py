"""What is over is pruned by rule, what anything still needs stays, and the chain verifies as before (I46)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.records import IprRecord, RunRecord, ScopeRecord
from controller.runtime.retention import Keep, prunable_runs
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_BROKEN, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEEP: dict[str, Any] = {"keep": {"days": 30, "runs": 1}}
ENDS = [w for w in RunWord if w.ended]


def a_run(number: int, word: RunWord = RunWord.DONE, days_ago: int = 400, **more: object) -> RunRecord:
    """The `number`-th run of scope prod, of a content of its own."""
    at = (NOW - timedelta(days=days_ago, seconds=-number)).isoformat()
    run = RunRecord(f"run{number:03}", "prod", "infra", f"rev{number}", word, fingerprint=f"content{number}")
    return replace(run, **{"created": at, "ended": at, **more})  # type: ignore[arg-type]  # fields by name


def pruned(
    runs: list[RunRecord], scope: ScopeRecord | None = None, iprs: tuple[IprRecord, ...] = (), keep: int = 1
) -> set[str]:
    scopes = {"prod": scope or ScopeRecord("prod", "infra")}
    found = prunable_runs(runs, scopes, iprs, Keep(90, keep), NOW - timedelta(days=90))
    return {r.run for r in found}


def test_old_runs_go_but_the_newest_and_those_that_were_verified_last_stay() -> None:
    assert pruned([a_run(n) for n in range(6)]) == {"run000", "run001", "run002", "run003"}
    assert pruned([a_run(n) for n in range(6)], keep=4) == {"run000", "run001"}


def test_young_runs_stay() -> None:
    assert pruned([a_run(n, days_ago=89) for n in range(6)]) == set()


@pytest.mark.parametrize("word", [w for w in RunWord if not w.ended])
def test_a_run_that_is_not_over_stays(word: RunWord) -> None:
    assert "run000" not in pruned([a_run(0, word), *(a_run(n) for n in range(1, 6))])


@pytest.mark.parametrize(
    "scope",
    [
        ScopeRecord("prod", "infra", run="run000"),
        ScopeRecord("prod", "infra", waiting="run000"),
        ScopeRecord("prod", "infra", parked="run000"),
        ScopeRecord("prod", "infra", revert_due="run000"),
        ScopeRecord("prod", "infra", quarantine=("content0",)),
    ],
    ids=["run", "waiting", "parked", "revert", "quarantine"],
)
def test_what_its_scope_stands_on_stays(scope: ScopeRecord) -> None:
    runs = [a_run(0, RunWord.UNDONE), *(a_run(n) for n in range(1, 6))]
    assert "run000" in pruned(runs)
    assert "run000" not in pruned(runs, scope)


def test_what_an_unfinished_report_tells_of_stays() -> None:
    runs = [a_run(0, RunWord.UNDONE, pulls=(7,)), *(a_run(n) for n in range(1, 6))]
    assert "run000" not in pruned(runs, iprs=(IprRecord("infra", 7, final=False),))
    assert "run000" in pruned(runs, iprs=(IprRecord("infra", 7, final=True),))


@given(st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 400), st.booleans()), max_size=30), st.integers(1, 10))
def test_the_newest_runs_of_a_scope_always_stay(story: list[tuple[RunWord, int, bool]], keep: int) -> None:
    runs = [a_run(n, word, days, heal=heal) for n, (word, days, heal) in enumerate(story)]
    gone = pruned(runs, keep=keep)
    newest = sorted(runs, key=lambda r: r.created, reverse=True)[:keep]
    assert not gone & {r.run for r in newest}
    assert not gone & {r.run for r in runs if NOW - datetime.fromisoformat(r.ended) < timedelta(days=90)}


# --- the whole estate ----------------------------------------------------------------------------------------------


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    """Five deploys by pull requests, one of which failed, 100 days ago."""
    async with estate(repo, tmp_path / "state", **KEEP) as opened:
        await opened.settle()
        for number, text in enumerate((web(2), WEB_BROKEN, web(3), web(4)), start=1):
            repo.push({SHOP: blueprint(text)}, f"ipr/n{number}")
            await opened.settle()
            pulls = (await opened.ask("ipr.list"))["iprs"]
            ours = next(p["number"] for p in pulls if p["head"] == f"ipr/n{number}")
            await opened.ask("ipr.merge", number=ours)
            await opened.settle(60)
        opened.clock.wall_offset += timedelta(days=100)
        yield opened


def web(number: int) -> str:
    return WEB.replace("web:1.0", f"web:{number}.0")


async def prune(home: Estate) -> None:
    home.controller.queue.add("prune:", Priority.POLL)
    await home.controller.loop.one(Item("prune:", Priority.POLL))


async def test_pruned_runs_leave_history_and_the_chain_still_verifies(home: Estate) -> None:
    journal = home.controller.install.journal
    before = await home.runs()
    events = (await journal.verify()).records
    await prune(home)
    kept = await home.runs()
    assert 0 < len(kept) < len(before)
    assert [r.run for r in kept if r.run not in {b.run for b in before}] == []
    assert (await home.scope()).quarantine == () or any(r.word is RunWord.UNDONE for r in kept)
    told = await home.ask("history")
    assert {r["run"] for r in told["runs"]} == {r.run for r in kept}
    report = await journal.verify()
    assert report.intact and report.records > events, "the events of what was pruned are still there"
    assert await journal.documents("takeover") == {}


async def test_a_rollback_finds_the_revision_before_after_a_pruning(home: Estate) -> None:
    await prune(home)
    await home.ask("rollback", scope="prod", reason="too new")
    await home.settle(60)
    assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == "web:3.0"


async def test_pull_requests_that_are_over_go_with_their_reviews_and_are_not_told_of_again(home: Estate) -> None:
    records = home.controller.install.records
    comments = [(await home.ask("ipr.show", number=n))["comments"] for n in (1, 2)]
    await prune(home)
    left = {i.number for i in await records.all(IprRecord)}
    assert 1 not in left
    assert set(await records.journal.documents("review")) <= {f"infra/{n}" for n in left}
    await home.settle(300)
    assert 1 not in {i.number for i in await records.all(IprRecord)}
    assert [(await home.ask("ipr.show", number=n))["comments"] for n in (1, 2)] == comments


async def test_a_pruned_journal_opens_again_and_goes_on(repo: Repo, tmp_path: Path) -> None:
    state, clock = tmp_path / "state", VirtualClock()
    async with estate(repo, state, clock=clock, **KEEP) as home:
        await home.settle()
        for number in (2, 3, 4):
            repo.push({SHOP: blueprint(web(number))})
            await home.settle()
        clock.wall_offset += timedelta(days=100)
        await prune(home)
        kept = {r.run for r in await home.runs()}
    async with estate(repo, state, clock=clock, **KEEP) as home:
        assert {r.run for r in await home.runs()} == kept
        repo.push({SHOP: blueprint(web(5))})
        await home.settle(60)
        assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == "web:5.0"
        assert (await home.controller.install.journal.verify()).intact


async def test_what_a_merge_cleared_stays_while_its_scope_has_not_verified_it(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state", **KEEP) as home:
        await home.settle()
        repo.push({SHOP: blueprint(WEB_BROKEN)}, "ipr/bad")
        await home.settle()
        await home.ask("ipr.merge", number=1)
        await home.settle(60)
        assert (await home.ipr(1)).final
        home.clock.wall_offset += timedelta(days=100)
        await prune(home)
        assert (await home.ipr(1)).reviewed
