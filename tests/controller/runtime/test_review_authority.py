"""Who may let what run: roles by every door, confirmations that end with what they were given for, replayed commands
(I1-I7, I17, I21)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.errors import AlmaError, RefusedByPolicy
from controller.forges.forge import Account, ForgeUnavailable
from controller.forges.local import LocalForge
from controller.operations.access import Actor
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, WEB_BROKEN, Estate, Repo, blueprint, estate

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


async def answers(home: Estate, number: int) -> list[str]:
    shown = await home.ask("ipr.show", number=number)
    return [c["body"] for c in shown["comments"] if c["author"]["bot"]]


async def two(tmp_path: Path) -> tuple[Repo, dict[str, Any]]:
    one = Repo.make(tmp_path / "one", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    other = Repo.make(
        tmp_path / "two",
        {"alma.yaml": "version: 1\nscopes:\n  - {name: other, path: prod}\n", SHOP: blueprint(WEB_BROKEN)},
    )
    local = {"kind": "local"}
    more: dict[str, Any] = {
        "repositories": (
            {"name": "infra", "url": str(one.remote), "forge": local},
            {"name": "second", "url": str(other.remote), "forge": local},
        ),
        "allow": {"infra": {"targets": ("sim",)}, "second": {"targets": ("sim",)}},
    }
    return one, more


async def test_a_comment_in_one_repository_does_not_retry_a_scope_of_another(tmp_path: Path) -> None:
    one, more = await two(tmp_path)
    async with estate(one, tmp_path / "state", **more) as home:
        home.controller.queue.add("repo:second", Priority.WEBHOOK)
        await home.settle(60)
        held = (await home.scope("other")).quarantine
        assert held
        one.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await home.settle()
        await home.ask("ipr.comment", number=1, repository="infra", body="/alma retry other")
        await home.settle(1)
        assert (await home.scope("other")).quarantine == held


async def test_comments_that_were_seen_stay_known_however_many_follow(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    record = await home.ipr(1)
    known = tuple(f"gone-{n}" for n in range(600))
    await home.controller.install.records.save("ipr.seen", replace(record, answered=known))
    await home.ask("ipr.comment", number=1, body="me too")
    await home.settle()
    assert set(known) < set((await home.ipr(1)).answered)


async def test_an_old_command_is_not_carried_out_again_when_the_journal_forgot_that_it_was_answered(
    home: Estate, repo: Repo
) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    await home.ask("ipr.comment", number=1, body='/alma pause --reason "look first"')
    await home.settle()
    await home.ask("resume", scope="prod")
    record = await home.ipr(1)
    await home.controller.install.records.save("ipr.seen", replace(record, answered=(), comment_id=None))
    await home.settle()
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()
    assert (await home.scope()).pause is None


async def test_a_rollback_is_carried_out_once_when_its_answer_could_not_be_sent(
    home: Estate, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert image(home) == "web:2.0"
    forge = home.controller.forges["infra"]
    reply = forge.reply

    async def down(*_: object) -> None:
        raise ForgeUnavailable("down", 3.0)

    monkeypatch.setattr(forge, "reply", down)
    await home.ask("ipr.comment", number=1, body="/alma rollback")
    await home.settle(2)
    assert image(home) == "web:1.0"
    monkeypatch.setattr(forge, "reply", reply)
    await home.settle(60)
    assert image(home) == "web:1.0"
    assert sum("Rolling back" in a for a in await answers(home, 1)) == 1


async def test_who_may_only_operate_does_not_unpark_a_scope_by_a_retry(home: Estate) -> None:
    records = home.controller.install.records
    await records.save("t", replace(await home.scope(), parked="abcdefabcdef"))
    operator = Actor("os:op", "op", frozenset({"forge:write"}))
    with pytest.raises(AlmaError):
        await home.ask("retry", operator, run="prod")
    assert (await home.scope()).parked


async def test_a_confirmation_ends_with_the_head_it_was_given_for(home: Estate, repo: Repo) -> None:
    many = [WEB] + [DB.replace("name: db", f"name: db{i}") for i in range(13)]
    repo.push({SHOP: blueprint(*many)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB_2, many[1])}, "ipr/less")
    await home.settle()
    await home.ask("ipr.comment", number=1, body="/alma confirm")
    await home.settle()
    assert (await home.ipr(1)).confirmed
    repo.push({SHOP: blueprint(WEB_2.replace("web:2.0", "web:evil"), many[1])}, "ipr/less")
    await home.settle()
    assert not (await home.ipr(1)).confirmed


async def test_a_confirmation_of_a_run_ends_with_the_content_it_was_given_for(home: Estate, repo: Repo) -> None:
    """The same removal in another commit is another plan, and nobody has confirmed that one (I2)."""
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle(60)
    repo.push({SHOP: blueprint(WEB)})
    await home.settle(60)
    await home.ask("confirm", run=str((await home.scope()).waiting))
    repo.push({SHOP: blueprint(WEB_2)})
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    await home.settle(60)
    assert (await home.scope()).waiting
    assert [r.confirmed for r in await home.runs() if r.word is RunWord.WAITING] == [()]
    assert image(home) == "web:1.0"


async def test_a_review_of_an_older_head_clears_nothing_of_what_was_merged(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB)}, "ipr/less")
    await home.settle()
    assert (await home.ipr(1)).reviewed
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/less")
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert any("database" in k for k in home.world)
    assert (await home.runs())[-1].word is RunWord.WAITING


async def test_a_read_only_target_is_not_destroyed_by_hand_either(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    repo.push({"alma.yaml": ALMA_YAML.replace("prod\n", "next\n", 1)})
    async with estate(repo, tmp_path / "state", targets={"sim": {"engine": "simulation", "read_only": True}}) as home:
        await home.settle()
        assert (await home.scope()).orphaned
        plan = (await home.ask("destroy", scope="prod"))["plan"]
        with pytest.raises(RefusedByPolicy):
            await home.ask("destroy", scope="prod", confirm=plan["digest"])
        assert home.world


async def test_observe_destroys_nothing_by_hand_either(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    repo.push({"alma.yaml": ALMA_YAML.replace("prod\n", "next\n", 1)})
    async with estate(repo, tmp_path / "state", observe=True) as home:
        await home.settle()
        plan = (await home.ask("destroy", scope="prod"))["plan"]
        with pytest.raises(RefusedByPolicy):
            await home.ask("destroy", scope="prod", confirm=plan["digest"])
        assert home.world


async def test_a_stranger_gets_no_readings_in_comments(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    forge = home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    await forge.comment(1, Account("os:nobody", "nobody"), "/alma status -s prod")
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()
    assert "synced" not in (await answers(home, 1))[-1]


async def asks(home: Estate) -> list[dict[str, Any]]:
    rows = await home.controller.install.journal.tail(kinds="ipr.asked")
    return [dict(r.body) for r in rows]


async def test_who_asked_for_a_merge_is_in_the_journal_and_in_the_comment(home: Estate, repo: Repo) -> None:
    operator = Actor("os:alice", "alice", frozenset({"forge:write"}))
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    head = (await home.ipr(1)).head_sha
    await home.ask("ipr.approve", operator, number=1)
    await home.ask("ipr.merge", operator, number=1)
    await home.settle()
    assert [(a["by"], a["verb"], a["head"]) for a in await asks(home)] == [
        ("os:alice", "approve", head),
        ("os:alice", "merge", head),
    ]
    text = await home.comment(1)
    assert "by alice `(os:alice)`" in text and text.count("Final state: done") == 1
    (approval,) = await home.controller.forges["infra"].approvals(1)
    assert (approval.account.id, approval.body) == ("os:alice", "approved by alice (os:alice)")
    (pull,) = await home.controller.forges["infra"].pulls()
    assert pull.merged_by and pull.merged_by.id == "os:alice"


async def test_who_asked_for_a_close_is_in_the_journal_and_who_may_not_is_not(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    with pytest.raises(AlmaError):
        await home.ask("ipr.close", Actor("os:eve", "eve", frozenset()), number=1)
    assert await asks(home) == []
    await home.ask("ipr.close", number=1)
    await home.settle()
    assert [(a["by"], a["verb"]) for a in await asks(home)] == [("os:root", "close")]
    assert (await home.ipr(1)).asked and (await home.ipr(1)).final


async def test_an_unnamed_confirm_does_not_reach_a_run_of_another_pull_request(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle()
    repo.push({SHOP: blueprint(WEB_2, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    assert (await home.runs())[-1].word is RunWord.WAITING
    await home.ask("ipr.comment", number=1, body="/alma confirm")
    await home.settle()
    assert any("database" in k for k in home.world)
