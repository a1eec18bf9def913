"""I7, E30: two admins and a reason let a waiting run go, with the plan they saw, for a while; nothing less does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.errors import AlmaError, InvalidInput, RefusedByPolicy
from controller.forges.forge import Account
from controller.forges.local import LocalForge
from controller.operations.access import Actor, os_actor
from controller.runtime.glass import broken
from controller.runtime.records import Breaker, RunRecord
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Priority
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
RULES = ALMA_YAML + "policy: {approvals: {required: 2}}\n"
ROLES = {"read": ("os:rita",), "operate": ("os:oli",), "admin": ("os:ada", "os:ben", "os:cyd")}
PEOPLE = {"alice": ("t@example.org",)}
WITHIN_S = 900
Report = Callable[..., None]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    """A push past all pull requests waits for two approvals that nobody can give it."""
    async with waiting(repo, tmp_path, break_glass={"within": "15m"}) as opened:
        yield opened


def waiting(repo: Repo, tmp_path: Path, **more: Any) -> Any:
    return _Waiting(repo, estate(repo, tmp_path / "state", roles={"infra": ROLES}, people=PEOPLE, **more))


class _Waiting:
    def __init__(self, repo: Repo, opening: Any) -> None:
        self._repo, self._opening = repo, opening

    async def __aenter__(self) -> Estate:
        home: Estate = await self._opening.__aenter__()
        await home.settle()
        self._repo.push({"alma.yaml": RULES})
        await home.settle()
        self._repo.push({SHOP: blueprint(WEB_2)})
        await home.settle()
        assert (await last(home)).word is RunWord.WAITING
        return home

    async def __aexit__(self, *error: object) -> None:
        await self._opening.__aexit__(*error)


async def last(home: Estate) -> RunRecord:
    return (await home.runs())[-1]


def someone(name: str) -> Actor:
    return os_actor(name, ())


async def breaks(home: Estate, who: Actor, reason: str = "the shop is down") -> None:
    await home.ask("break-glass", who, run=(await last(home)).run, reason=reason)
    await home.settle()


def image(home: Estate) -> str:
    return str(home.world["simulation/container:prod-shop-web"]["fields"]["image"])


async def test_two_admins_let_it_run_and_everyone_sees_who_and_why(home: Estate, report_n: Report) -> None:
    await breaks(home, someone("ada"), "the shop is down")
    assert image(home) == "web:1.0" and (await last(home)).word is RunWord.WAITING
    await breaks(home, someone("ben"), "seen it, go")
    run = await last(home)
    assert image(home) == "web:2.0" and run.word is RunWord.DONE
    assert run.glass == "glass broken by ada (the shop is down) and ben (seen it, go)"
    assert run.remarks[0] == run.glass
    noted = (await home.ask("audit.list", limit=50))["entries"]
    assert [e["outcome"] for e in noted if e["verb"] == "break-glass"] == ["allowed", "allowed"]
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ada", None),
        ("ada", "ada"),
        ("ada", "ADA"),
        ("ada", "oli"),
        ("oli", "ada"),
        ("rita", "ada"),
        ("eve", "ada"),
        ("eve", "eve"),
    ],
)
async def test_one_admin_is_not_two(first: str, second: str | None, home: Estate, report_n: Report) -> None:
    for name in filter(None, (first, second)):
        try:
            await breaks(home, someone(name))
        except AlmaError as e:
            assert isinstance(e, RefusedByPolicy)
    await home.settle(60)
    assert image(home) == "web:1.0" and (await last(home)).word is RunWord.WAITING
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize("nobody", [os_actor("root", ()), os_actor("ada", (), controller=True)], ids=lambda a: a.shown)
async def test_who_anyone_with_rights_may_become_is_no_person(nobody: Actor, home: Estate, report_n: Report) -> None:
    """An admin who may become root, or who runs the controller, has one vote."""
    await breaks(home, someone("ben"))
    with pytest.raises(RefusedByPolicy):
        await breaks(home, nobody)
    assert image(home) == "web:1.0"
    report_n("E30 breaking glass", 1)


async def test_one_person_by_two_doors_is_not_two(home: Estate, report_n: Report) -> None:
    await breaks(home, someone("ada"))
    with pytest.raises(RefusedByPolicy, match="another door"):
        await breaks(home, Actor("gitea:7", "ada-at-the-forge", frozenset({"os:ben"})))
    assert image(home) == "web:1.0"
    report_n("E30 breaking glass", 1)


async def test_what_the_first_one_said_expires(home: Estate, report_n: Report) -> None:
    await breaks(home, someone("ada"))
    await home.settle(WITHIN_S + 1)
    await breaks(home, someone("ben"))
    assert image(home) == "web:1.0" and [b.name for b in (await last(home)).breakers] == ["ben"]
    report_n("E30 breaking glass", 1)


async def test_a_push_after_the_first_one_needs_both_again(home: Estate, repo: Repo, report_n: Report) -> None:
    await breaks(home, someone("ada"))
    repo.push({SHOP: blueprint(WEB_2.replace("256MB", "1GB"))})
    await home.settle()
    await breaks(home, someone("ben"))
    assert image(home) == "web:1.0" and (await last(home)).word is RunWord.WAITING
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize(("digest", "minutes", "counts"), [("d1", 14, True), ("d2", 14, False), ("d1", 16, False)])
def test_it_holds_for_the_plan_they_saw_and_for_a_while(
    digest: str, minutes: int, counts: bool, report_n: Report
) -> None:
    """The live state may move, and what would run is then another plan."""
    began = datetime(2026, 3, 1, 12, tzinfo=UTC)
    both = tuple(Breaker(f"os:{n}", n, "down", began.isoformat(), "c" * 40, "d1") for n in ("ada", "ben"))
    run = RunRecord("r1", "prod", "infra", "c" * 40, RunWord.WAITING, breakers=both)
    now = began + timedelta(minutes=minutes)
    assert bool(broken(run, "c" * 40, digest, now, WITHIN_S)) is counts
    assert not broken(run, "e" * 40, digest, now, WITHIN_S), "an equal plan of another commit"
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize("reason", ["", "   "])
async def test_without_a_reason_it_is_refused(reason: str, home: Estate, report_n: Report) -> None:
    with pytest.raises(InvalidInput, match="needs a reason"):
        await breaks(home, someone("ada"), reason)
    report_n("E30 breaking glass", 1)


async def test_it_is_off_unless_the_server_says_so(repo: Repo, tmp_path: Path, report_n: Report) -> None:
    async with waiting(repo, tmp_path) as home:
        for name in ("ada", "ben"):
            with pytest.raises(RefusedByPolicy, match="nobody may break the glass here"):
                await breaks(home, someone(name))
        assert image(home) == "web:1.0"
    report_n("E30 breaking glass", 1)


async def test_a_run_that_does_not_wait_has_no_glass(home: Estate, report_n: Report) -> None:
    for name in ("ada", "ben"):
        await breaks(home, someone(name))
    with pytest.raises(InvalidInput, match="does not wait"):
        await breaks(home, someone("cyd"))
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize("hold", ["pause", "quarantine"])
async def test_what_holds_a_scope_is_not_behind_the_glass(hold: str, home: Estate, report_n: Report) -> None:
    await breaks(home, someone("ada"))
    if hold == "pause":
        await home.ask("pause", someone("cyd"), scope="prod", reason="maintenance")
    else:
        await home.ask("cancel", someone("cyd"), run=(await last(home)).run)
    await home.settle()
    with pytest.raises(AlmaError):
        await breaks(home, someone("ada"))
    try:
        await breaks(home, someone("ben"))
    except AlmaError as e:
        assert "does not wait" in str(e)
    await home.settle(60)
    assert image(home) == "web:1.0"
    report_n("E30 breaking glass", 1)


@pytest.mark.parametrize(
    "said",
    [
        "/alma confirm --break-glass",
        "/alma deploy --force",
        '/alma break-glass --reason "x" --within 9d',
        "> /alma break-glass --reason x",
        "please\n/alma break-glass --reason x",
    ],
)
async def test_no_flag_in_a_comment_weakens_a_rule(said: str, home: Estate, repo: Repo, report_n: Report) -> None:
    repo.push({SHOP: blueprint(WEB_2.replace("cpu: 1", "cpu: 2"))}, "ipr/one")
    await home.settle()
    for name in ("ada", "ben"):
        await comment(home, name, said)
    assert image(home) == "web:1.0" and not (await last(home)).breakers
    report_n("E30 breaking glass", 1)


async def test_in_comments_it_takes_the_same_two_people(home: Estate, repo: Repo, report_n: Report) -> None:
    repo.push({SHOP: blueprint(WEB_2.replace("cpu: 1", "cpu: 2"))}, "ipr/one")
    await home.settle()
    run = (await last(home)).run
    for name, expected in (("ada", "web:1.0"), ("oli", "web:1.0"), ("ben", "web:2.0")):
        await comment(home, name, f'/alma break-glass {run} --reason "the shop is down"')
        assert image(home) == expected
    report_n("E30 breaking glass", 1)


async def test_who_is_no_admin_any_more_when_the_second_one_asks_does_not_count(
    repo: Repo, tmp_path: Path, report_n: Report
) -> None:
    glass: dict[str, Any] = {"break_glass": {"within": "15m"}}
    async with waiting(repo, tmp_path, **glass) as home:
        repo.push({SHOP: blueprint(WEB_2.replace("cpu: 1", "cpu: 2"))}, "ipr/one")
        await home.settle()
        run = (await last(home)).run
        await comment(home, "ada", f'/alma break-glass {run} --reason "the shop is down"')
    roles = {"infra": {**ROLES, "admin": ("os:ben", "os:cyd")}}
    clock = VirtualClock()
    clock.wall_offset = timedelta(minutes=5)
    async with estate(repo, tmp_path / "state", clock=clock, roles=roles, people=PEOPLE, **glass) as home:
        await comment(home, "ben", f'/alma break-glass {run} --reason "go"')
        with pytest.raises(RefusedByPolicy, match="which ada does not have here"):
            await breaks(home, someone("ben"))
        assert image(home) == "web:1.0" and len((await last(home)).breakers) == 1
        await home.settle(WITHIN_S + 1)  # over: those who are admins may begin anew
        for name in ("ben", "cyd"):
            await comment(home, name, f'/alma break-glass {run} --reason "go"')
        assert image(home) == "web:2.0"
    report_n("E30 breaking glass", 1)


async def comment(home: Estate, name: str, body: str) -> None:
    forge = home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    await forge.comment(1, Account(f"os:{name}", name), body)
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()
