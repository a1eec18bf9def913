"""Who may say what: people of every role × every command × every way to write it, never beyond the table (E3, I6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.errors import AlmaError, RefusedByPolicy
from controller.forges.forge import Account, ForgeUnavailable
from controller.forges.local import LocalForge
from controller.forges.local_record import comment_to_json
from controller.local_forge import JournalStore
from controller.operations.access import Actor, Role, os_actor
from controller.operations.answering import OF_COMMENT, role_for
from controller.operations.rights import RIGHTS, UNDER_OTHER_NAMES
from controller.runtime.command import VERBS
from controller.runtime.work_queue import Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

PEOPLE = {"eve": Role.NONE, "rita": Role.READ, "oli": Role.OPERATE, "ada": Role.ADMIN}
ROLES = {"infra": {"read": ("os:rita",), "operate": ("os:oli",), "admin": ("os:ada",)}}
ARGUMENTS = {"pause": '--reason "why" --until 2h', "unlock": "nothing", "rollback": "", "explain": ""}


def command(verb: str) -> str:
    return f"/alma {verb} {ARGUMENTS.get(verb, '')}".strip()


def needed(verb: str) -> Role:
    return role_for(verb)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Estate]:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, "prod/shop.yaml": blueprint(WEB)})
    async with estate(repo, tmp_path / "state", roles=ROLES) as opened:
        await opened.settle()
        repo.push({"prod/shop.yaml": blueprint(WEB_2)}, "ipr/two")
        await opened.settle()
        yield opened


def forge(home: Estate) -> LocalForge:
    found = home.controller.forges["infra"]
    assert isinstance(found, LocalForge)
    return found


async def say(home: Estate, bodies: Sequence[str], who: Account, *, edited: bool = False) -> None:
    """Comments on pull request 1, and the look that follows."""
    store = JournalStore(home.controller.install.journal, "infra")
    for body in bodies:
        comment = await forge(home).comment(1, who, body)
        if edited:
            key = f"comment/{1:09d}/{int(comment.id):09d}"
            await store.put(key, comment_to_json(replace(comment, edited=True), ()))
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()


async def noted(home: Estate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await home.ask("audit.list", limit=1000))["entries"]
    return found


async def answers(home: Estate) -> list[str]:
    return [c.body for c in await forge(home).comments(1) if c.author.bot][1:]


@pytest.mark.parametrize("who", PEOPLE)
async def test_a_command_does_what_the_role_of_its_author_allows_and_no_more(
    home: Estate, who: str, report_n: Callable[..., None]
) -> None:
    before = await home.scope()
    for verb in VERBS:
        await say(home, [command(verb)], Account(f"os:{who}", who))
        if PEOPLE[who] < Role.OPERATE:
            after = await home.scope()
            assert (after.pause, after.pin, after.accepted) == (before.pause, before.pin, before.accepted), verb
    said = await answers(home)
    assert len(said) == len(VERBS)
    for verb, answer in zip(VERBS, said, strict=True):
        refused = f"{verb} needs the role" in answer
        assert refused == (PEOPLE[who] < needed(verb)), (who, verb, answer)
    refusals = {e["verb"] for e in await noted(home) if e["outcome"] == "refused" and "needs the role" in e["why"]}
    assert refusals == {v for v in VERBS if PEOPLE[who] < needed(v)}
    report_n("E3", len(VERBS))


WAYS: dict[str, Callable[[str], str]] = {
    "quoted": lambda c: f"> {c}",
    "in code": lambda c: f"```\n{c}\n```",
    "indented": lambda c: f"    {c}",
    "second line": lambda c: f"please\n{c}",
    "in prose": lambda c: f"please {c}",
    "in a link": lambda c: f"[{c}](https://example.org)",
    "hidden": lambda c: f"<!-- {c} -->",
    "other name": lambda c: c.replace("/alma", "/almanac"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_no_command_commands_nothing_even_by_an_admin(
    home: Estate, way: str, report_n: Callable[..., None]
) -> None:
    await say(home, [WAYS[way](command(v)) for v in VERBS], Account("os:ada", "ada"))
    assert (await noted(home), await answers(home)) == ([], [])
    report_n("E3", len(VERBS))


@pytest.mark.parametrize("case", ["edited", "by a bot", "our own"])
async def test_edited_comments_bots_and_our_own_text_command_nothing(
    home: Estate, case: str, report_n: Callable[..., None]
) -> None:
    who = {"edited": Account("os:ada", "ada"), "by a bot": Account("os:ada", "ada", bot=True)}
    ours = (await forge(home).about()).account
    await say(home, [command(v) for v in VERBS], who.get(case, ours), edited=case == "edited")
    assert await noted(home) == []
    assert (await home.scope()).pause is None
    report_n("E3", len(VERBS))


async def test_while_rights_cannot_be_looked_up_nothing_is_carried_out(
    home: Estate, monkeypatch: pytest.MonkeyPatch, report_n: Callable[..., None]
) -> None:
    async def down(account: Account) -> None:
        raise ForgeUnavailable("down", 3.0)

    monkeypatch.setattr(forge(home), "standing", down)
    await say(home, [command(v) for v in VERBS], Account("os:ada", "ada"))
    assert (await noted(home), await answers(home)) == ([], [])
    report_n("E3", len(VERBS))


async def test_a_command_on_a_pull_request_reaches_no_scope_of_another_repository(
    home: Estate, report_n: Callable[..., None]
) -> None:
    records = home.controller.install.records
    other = replace(await home.scope(), scope="other", repository="elsewhere")
    await records.save("t", other)
    acts = [v for v in VERBS if v in OF_COMMENT and v not in ("cancel", "confirm", "unlock")]
    await say(home, [f"{command(v)} -s other" for v in acts], Account("os:ada", "ada"))
    assert await home.scope("other") == other
    report_n("E3", len(acts))


async def test_a_command_that_is_seen_twice_acts_once(home: Estate, report_n: Callable[..., None]) -> None:
    await say(home, [command(v) for v in VERBS], Account("os:ada", "ada"))
    before = len(await noted(home))
    for _ in range(3):
        home.controller.queue.add("ipr:infra/1", Priority.PERSON)
        await home.settle()
    assert len(await noted(home)) == before
    report_n("E3", len(VERBS))


DESK = [verb for verb in RIGHTS if verb not in UNDER_OTHER_NAMES]


@pytest.mark.parametrize("who", [*PEOPLE, "eve dressed up"])
async def test_at_the_desk_a_verb_needs_its_role(home: Estate, who: str, report_n: Callable[..., None]) -> None:
    """Also for someone whose name looks like a rule: names of people are never rules."""
    role = PEOPLE.get(who, Role.NONE)
    actor = os_actor(who, ()) if who in PEOPLE else Actor("os:x", "os:root", frozenset({"os:x", "os:forge:admin"}))
    run = (await home.runs())[0].run
    arguments: dict[str, Any] = {"scope": "prod", "run": run, "number": 1, "branch": "ipr/two", "body": "hello"}
    everywhere = ("doctor", "journal verify", "audit list")  # of the whole install, not of one repository
    for verb in DESK:
        args = {**arguments, "reason": "why", "revision": "0" * 40}
        try:
            await home.ask(verb.replace(" ", "."), actor, **args)
            told = ""
        except RefusedByPolicy as e:
            told = str(e)
        except AlmaError:
            told = ""  # it was let in, and there was nothing to do
        filtered = verb in ("status", "drift", "history", "events")
        refused = "needs the role" in told
        if verb in everywhere:
            assert refused or role >= RIGHTS[verb].role, (who, verb)
        elif not filtered:
            assert refused == (role < RIGHTS[verb].role), (who, verb, told)
    if role is Role.NONE:
        assert (await home.ask("status", actor))["scopes"] == []
        assert (await home.ask("history", actor))["runs"] == []
        assert (await home.ask("events", actor))["events"] == []
    report_n("E3", len(DESK))
