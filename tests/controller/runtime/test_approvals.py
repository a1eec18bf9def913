"""Required approvals: of one head and one plan, by people who neither wrote it nor asked for it (I3, E4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.forges.forge import Account, Approval, ForgeUnavailable
from controller.forges.local import LocalForge
from controller.operations.access import Actor, os_actor
from controller.runtime.approving import seen_now
from controller.runtime.records import IprRecord, Reviewed
from controller.runtime.run import RunWord
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, Estate, Repo, blueprint, estate, git

SHOP = "prod/shop.yaml"
RULES = ALMA_YAML + "policy: {approvals: {required: 1}}\n"
ROLES = {"read": ("os:rita",), "operate": ("os:oli", "os:otto"), "admin": ("os:ada",)}
PEOPLE = {"alice": ("t@example.org",), "oli": ("oli@example.org",), "otto": ("otto@example.org",)}
BOT = Account("alma", "alma", bot=True)


def account(name: str) -> Account:
    return Account(f"os:{name}", name)


def actor(name: str) -> Actor:
    return os_actor(name, ())


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


def wired(**more: Any) -> dict[str, Any]:
    return {"roles": {"infra": ROLES}, "people": PEOPLE, **more}


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    """What is there was deployed before approvals were asked for; pull request 1 is open and reviewed."""
    async with estate(repo, tmp_path / "state", **wired()) as opened:
        await opened.settle()
        repo.push({"alma.yaml": RULES})
        await opened.settle()
        repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await opened.settle()
        yield opened


def image(home: Estate) -> str:
    return str(home.world["simulation/container:prod-shop-web"]["fields"]["image"])


def forge(home: Estate) -> LocalForge:
    found = home.controller.forges["infra"]
    assert isinstance(found, LocalForge)
    return found


async def approve(home: Estate, who: Account) -> None:
    await forge(home).approve(1, (await home.ipr(1)).head_sha, "fine", who)
    await home.settle()


async def merged(home: Estate) -> str:
    """Merges pull request 1; why its run waits, or empty when it has run."""
    await home.ask("ipr.merge", number=1)
    await home.settle()
    last = (await home.runs())[-1]
    return last.reason if last.word is RunWord.WAITING else ""


async def test_the_review_says_what_will_be_needed(home: Estate) -> None:
    assert "Deploying needs 1 approvals of this head and this plan" in await home.comment(1)


async def test_approved_by_another_it_runs(home: Estate, report_n: Callable[..., None]) -> None:
    await approve(home, account("oli"))
    assert (await merged(home), image(home)) == ("", "web:2.0")
    report_n("E4", 1)


@pytest.mark.parametrize(
    "who",
    [None, account("alice"), account("rita"), account("eve"), BOT, Account("os:oli", "oli", bot=True)],
    ids=["nobody", "the author", "a reader", "a stranger", "us", "a bot"],
)
async def test_what_does_not_count_lets_nothing_run(
    home: Estate, who: Account | None, report_n: Callable[..., None]
) -> None:
    if who:
        await approve(home, who)
    assert "#1 has 0 of 1 approvals of this head and plan" in await merged(home)
    assert image(home) == "web:1.0"
    report_n("E4", 1)


@pytest.mark.parametrize("place", ["author", "committer", "co-commit", "noreply"])
async def test_whoever_stands_in_a_commit_does_not_approve_it(
    home: Estate, repo: Repo, place: str, report_n: Callable[..., None]
) -> None:
    email = "7+oli@users.noreply.github.com" if place == "noreply" else "oli@example.org"
    git(repo.work, "checkout", "-q", "ipr/two")
    given = ("--author", f"x <{email}>") if place != "committer" else ()
    settings = ("-c", f"user.email={email}") if place == "committer" else ()
    git(repo.work, *settings, "commit", "-q", "--allow-empty", "-m", "more", *given)
    if place == "co-commit":
        git(repo.work, "commit", "-q", "--allow-empty", "-m", "on top, by the author")
    git(repo.work, "push", "-q", "origin", "ipr/two")
    await home.settle()
    await approve(home, account("oli"))
    assert "has 0 of 1 approvals" in await merged(home)
    report_n("E4", 1)


async def test_an_address_that_belongs_to_nobody_known_leaves_no_approval(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    git(repo.work, "checkout", "-q", "ipr/two")
    git(repo.work, "commit", "-q", "--allow-empty", "-m", "more", "--author", "x <who@else.example>")
    git(repo.work, "push", "-q", "origin", "ipr/two")
    await home.settle()
    await approve(home, account("oli"))
    assert "has an address that `people` of the server does not name" in await merged(home)
    report_n("E4", 1)


@pytest.mark.parametrize(("who", "lacks"), [("oli", True), ("otto", False)])
async def test_who_asked_for_a_commit_of_ours_has_written_it(
    home: Estate, who: str, lacks: bool, report_n: Callable[..., None]
) -> None:
    await home.ask("ipr.comment", actor("oli"), number=1, body="/alma set web memory=512MB")
    await home.settle()
    assert list((await home.ipr(1)).proposed.values()) == ["oli"]
    await approve(home, account(who))
    assert ("has 0 of 1 approvals" in await merged(home)) == lacks
    report_n("E4", 1)


async def test_an_address_like_ours_in_a_commit_that_is_not_is_nobody_s(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    git(repo.work, "checkout", "-q", "ipr/two")
    git(repo.work, "commit", "-q", "--allow-empty", "-m", "more", "--author", "ALMA <alma@localhost>")
    git(repo.work, "push", "-q", "origin", "ipr/two")
    await home.settle()
    await approve(home, account("otto"))
    assert "has an address that `people` of the server does not name" in await merged(home)
    report_n("E4", 1)


async def test_approve_then_push_does_not_count(home: Estate, repo: Repo, report_n: Callable[..., None]) -> None:
    await approve(home, account("oli"))
    repo.push({SHOP: blueprint(WEB_2.replace("web:2.0", "web:evil"))}, "ipr/two")
    await home.settle()
    assert "has 0 of 1 approvals" in await merged(home)
    assert image(home) == "web:1.0"
    await approve(home, account("otto"))  # after the merge it counts too: for what the comment shows
    await home.settle(120)
    assert image(home) == "web:evil"
    report_n("E4", 2)


async def test_a_plan_that_changed_since_needs_another_approval(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    await approve(home, account("oli"))
    repo.push({"prod/more.yaml": blueprint(DB, name="more")})  # waits as well, and would run with it
    await home.settle()
    assert "has 0 of 1 approvals" in await merged(home)
    assert image(home) == "web:1.0"
    await home.ask("ipr.approve", actor("oli"), number=1)
    await home.settle(120)
    assert image(home) == "web:2.0"
    report_n("E4", 2)


async def test_approved_again_it_counts_for_what_is_shown_now() -> None:
    old = IprRecord("infra", 1, head_sha="h", reviewed=(Reviewed("prod", "d1", "f"),))
    seen = seen_now(old, [Approval(account("oli"), "h", "", "1"), Approval(account("otto"), "g", "", "2")])
    assert [bool(a.plan) for a in seen.approvals] == [True, False]
    new = replace(seen, reviewed=(Reviewed("prod", "d2", "f"),))
    again = seen_now(new, [Approval(account("oli"), "h", "", "1"), Approval(account("oli"), "h", "", "3")])
    assert again.approvals[0] == seen.approvals[0] and again.approvals[1].plan != seen.approvals[0].plan
    assert seen_now(new, []).approvals == ()


async def test_who_had_it_opened_is_as_good_as_its_author(home: Estate, report_n: Callable[..., None]) -> None:
    await home.ask("ipr.open", actor("oli"), branch="ipr/two", title="Two")
    await home.settle()
    await approve(home, account("oli"))
    assert "has 0 of 1 approvals" in await merged(home)
    report_n("E4", 1)


async def test_a_right_that_was_lost_or_cannot_be_looked_up_counts_no_more(
    repo: Repo, tmp_path: Path, home: Estate, monkeypatch: pytest.MonkeyPatch, report_n: Callable[..., None]
) -> None:
    await approve(home, account("oli"))

    async def down(who: Account) -> None:
        raise ForgeUnavailable("down", 3.0)

    monkeypatch.setattr(forge(home), "standing", down)
    assert "cannot be looked up now: down" in await merged(home)
    monkeypatch.undo()
    await home.settle(120)
    assert image(home) == "web:2.0"
    report_n("E4", 2)


@pytest.mark.parametrize(("who", "runs"), [("alice", False), ("oli", True)])
async def test_a_push_past_every_pull_request_is_confirmed_by_another(
    home: Estate, repo: Repo, who: str, runs: bool, report_n: Callable[..., None]
) -> None:
    repo.push({SHOP: blueprint(WEB.replace("web:1.0", "web:3.0"))})
    await home.settle()
    last = (await home.runs())[-1]
    assert last.word is RunWord.WAITING and "which no pull request showed" in last.reason
    may = Actor(f"os:{who}", who, frozenset({"os:oli"}))
    await home.ask("confirm", may, run=last.run)
    await home.settle()
    assert (image(home) == "web:3.0") is runs
    report_n("E4", 1)


async def test_an_operator_who_confirms_approves_no_plan_above_the_prune_limits(home: Estate, repo: Repo) -> None:
    many = [WEB] + [DB.replace("name: db", f"name: db{i}") for i in range(5)]
    repo.push({SHOP: blueprint(*many)})
    await home.settle()
    await home.ask("confirm", actor("oli"), run=(await home.runs())[-1].run)
    await home.settle()
    repo.push({SHOP: blueprint(WEB)})
    await home.settle()
    last = (await home.runs())[-1]
    assert last.over_budget and last.word is RunWord.WAITING
    with pytest.raises(Exception, match="needs the role admin"):
        await home.ask("confirm", actor("oli"), run=last.run)


async def test_a_pull_request_that_drops_the_rule_is_judged_by_the_rule(
    home: Estate, repo: Repo, report_n: Callable[..., None]
) -> None:
    repo.push({"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    assert "has 0 of 1 approvals" in await merged(home)
    report_n("E4", 1)


async def test_the_server_may_ask_for_approvals_whatever_alma_yaml_says(
    repo: Repo, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    local = {"name": "infra", "url": str(repo.remote), "forge": {"kind": "local"}, "approvals": 1}
    async with estate(repo, tmp_path / "state", **wired(repositories=(local,))) as home:
        await home.settle()
        assert not home.world
        assert "which no pull request showed" in (await home.runs())[-1].reason
    report_n("E4", 1)


@pytest.mark.parametrize(
    ("owners", "by", "runs"),
    [
        ("{prod/**: [otto]}", ("oli",), False),
        ("{prod/**: [otto]}", ("otto",), True),
        ("{prod/**: [otto], other/**: [nobody]}", ("otto",), True),
        ("{prod/*: [otto], '**/shop.yaml': [ada]}", ("otto",), False),
        ("{prod/*: [otto], '**/shop.yaml': [ada]}", ("otto", "ada"), True),
        ("{prod/**: [alice]}", ("alice", "oli"), False),
    ],
)
async def test_what_has_owners_is_approved_by_one_of_them(
    repo: Repo, tmp_path: Path, owners: str, by: tuple[str, ...], runs: bool, report_n: Callable[..., None]
) -> None:
    async with estate(repo, tmp_path / "state", **wired()) as home:
        await home.settle()
        repo.push({"alma.yaml": ALMA_YAML + f"policy: {{approvals: {{required: 1, owners: {owners}}}}}\n"})
        await home.settle()
        repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await home.settle()
        for name in by:
            await approve(home, account(name))
        why = await merged(home)
        assert (image(home) == "web:2.0") is runs
        assert runs or "approvals" in why or "needs an approval by" in why
    report_n("E4", 1)


async def test_two_approvals_are_two_people(repo: Repo, tmp_path: Path, report_n: Callable[..., None]) -> None:
    async with estate(repo, tmp_path / "state", **wired()) as home:
        await home.settle()
        repo.push({"alma.yaml": ALMA_YAML + "policy: {approvals: {required: 2}}\n"})
        await home.settle()
        repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await home.settle()
        await approve(home, account("oli"))
        await approve(home, account("oli"))
        assert "has 1 of 2 approvals" in await merged(home)
        await home.ask("confirm", actor("ada"), run=(await home.runs())[-1].run)
        await home.settle(120)
        assert image(home) == "web:1.0"
        await approve(home, account("otto"))
        await home.settle(120)
        assert image(home) == "web:2.0"
    report_n("E4", 3)


async def test_healing_waits_for_no_approval(home: Estate) -> None:
    file = home.state / "simulation" / "sim.json"
    file.write_text(file.read_text().replace("web:1.0", "web:tampered"))
    await home.settle(1200)
    assert image(home) == "web:1.0"
