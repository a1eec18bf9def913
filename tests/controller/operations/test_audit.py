"""The audit log: acts and refusals by every door, before and after, in the journal's chain (I46, I50)."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.errors import AlmaError, InvalidInput, RefusedByPolicy
from controller.forges.forge import Account
from controller.forges.local import LocalForge
from controller.journal.export import AUDIT_STREAM, exported, verified
from controller.journal.failure import JournalDamaged
from controller.journal.place import FilePlace
from controller.operations.access import Actor
from controller.operations.audit import Asked, audited
from controller.operations.rights import RIGHTS, UNDER_OTHER_NAMES
from controller.runtime.work_queue import Priority
from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
EVE = Actor("os:eve", "eve", frozenset())
OPERATOR = Actor("os:op", "op", frozenset({"forge:write"}))


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Estate]:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
        await opened.settle()
        yield opened


async def entries(home: Estate, **args: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await home.ask("audit.list", **args))["entries"]
    return found


async def test_an_act_is_there_with_who_where_and_of_what(home: Estate) -> None:
    await home.ask("pause", OPERATOR, scope="prod", reason="hunter2")
    (entry,) = await entries(home)
    told = {k: entry[k] for k in ("by", "name", "verb", "door", "repository", "about", "outcome")}
    assert told == {
        "by": "os:op",
        "name": "op",
        "verb": "pause",
        "door": "socket",
        "repository": "infra",
        "about": {"scope": "prod"},
        "outcome": "allowed",
    }
    assert "hunter2" not in json.dumps(entry)


async def test_what_fails_and_what_is_refused_is_there_with_the_reason(home: Estate) -> None:
    with pytest.raises(InvalidInput):
        await home.ask("pause", OPERATOR, scope="nowhere", reason="x")
    with pytest.raises(RefusedByPolicy):
        await home.ask("unlock", OPERATOR, run=(await home.runs())[0].run)
    failed, refused = await entries(home)
    assert (failed["outcome"], refused["outcome"]) == ("failed", "refused")
    assert "no scope nowhere" in failed["why"] and "unlock needs the role admin" in refused["why"]
    assert [e["verb"] for e in await entries(home, only="refused")] == ["unlock"]


async def test_a_question_is_there_only_if_it_was_refused(home: Estate) -> None:
    await home.ask("status")
    await home.ask("ipr.show", number=1)
    assert await entries(home) == []
    with pytest.raises(RefusedByPolicy):
        await home.ask("ipr.show", EVE, number=1)
    (entry,) = await entries(home)
    assert (entry["by"], entry["verb"], entry["outcome"]) == ("os:eve", "ipr show", "refused")


async def test_a_command_in_a_comment_is_there_with_its_pull_request(home: Estate) -> None:
    forge = home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    await home.ask("ipr.comment", number=1, body='/alma pause --reason "look"')
    await forge.comment(1, Account("os:eve", "eve"), "/alma resume")
    home.controller.queue.add("ipr:infra/1", Priority.PERSON)
    await home.settle()
    told = [(e["by"], e["verb"], e["door"], e["outcome"]) for e in await entries(home)]
    assert told == [
        ("os:root", "ipr comment", "socket", "allowed"),
        ("os:root", "pause", "comment infra#1", "allowed"),
        ("os:eve", "resume", "comment infra#1", "refused"),
    ]


async def test_an_act_that_a_kill_cut_off_is_there_as_asked(home: Estate) -> None:
    class Killed(BaseException):
        pass

    async def killed() -> None:
        raise Killed

    asked = Asked(OPERATOR, "pause", "socket", "infra", {"scope": "prod"})
    with pytest.raises(Killed):
        await audited(home.controller.install.journal, asked, True, killed)
    (entry,) = await entries(home)
    assert (entry["verb"], entry["outcome"]) == ("pause", "asked")


async def test_nothing_is_done_while_nothing_can_be_noted(home: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def damaged(*_: object, **__: object) -> None:
        raise JournalDamaged("a record is gone")

    done = []

    async def act() -> None:
        done.append(1)

    monkeypatch.setattr(home.controller.install.journal, "append", damaged)
    with pytest.raises(JournalDamaged):
        await audited(home.controller.install.journal, Asked(OPERATOR, "pause", "socket"), True, act)
    assert not done


async def test_the_log_is_for_admins(home: Estate) -> None:
    with pytest.raises(RefusedByPolicy, match="audit list needs the role admin"):
        await home.ask("audit.list", OPERATOR)
    admin = Actor("os:boss", "boss", frozenset({"forge:admin"}))
    await home.ask("pause", OPERATOR, scope="prod", reason="x")
    told = [(e["verb"], e["outcome"]) for e in (await home.ask("audit.list", admin))["entries"]]
    assert told == [("audit list", "refused"), ("pause", "allowed")]


async def test_the_newest_are_shown_and_each_act_once(home: Estate) -> None:
    for _ in range(5):
        await home.ask("reconcile", scope="prod")
    await home.ask("resume", scope="prod")
    assert [e["verb"] for e in await entries(home, limit=2)] == ["reconcile", "resume"]


async def test_an_export_of_the_log_is_checked_by_anyone(home: Estate, report_n: Callable[..., None]) -> None:
    for _ in range(10):
        await home.ask("reconcile", scope="prod")
    with pytest.raises(AlmaError):
        await home.ask("resume", EVE, scope="prod")
    path = home.controller.install.state / "alma.db"
    lines = list(exported(FilePlace(path), stream=AUDIT_STREAM))
    assert verified(lines, AUDIT_STREAM).records == len(lines) == 22
    chance, missed = random.Random(21), 0
    for number in range(200):
        place = chance.randrange(1, len(lines) - 1)
        row = json.loads(lines[place])
        changed = {
            0: [*lines[:place], json.dumps({**row, "body": row["body"].replace("os:", "xx:")}), *lines[place + 1 :]],
            1: [*lines[:place], *lines[place + 1 :]],
            2: [*lines[:place], lines[place], *lines[place:]],
            3: [*lines[: place - 1], lines[place], lines[place - 1], *lines[place + 1 :]],
        }[number % 4]
        missed += verified(changed, AUDIT_STREAM).intact
    report_n("E21 export", 200, missed)
    assert not missed


async def test_every_verb_of_the_desk_has_a_right_and_every_right_is_asked_for(home: Estate) -> None:
    desk = {verb.replace(".", " ") for verb in home.controller.desk._table()} - {"ping"}
    assert desk == set(RIGHTS) - UNDER_OTHER_NAMES
