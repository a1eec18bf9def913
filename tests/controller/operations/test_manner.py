"""A persona changes the manner of an answer, never what it says (M31, I29)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.forges.forge import Account
from controller.forges.local import LocalForge
from controller.runtime.command import VERBS
from controller.tools.persona import persona_of, personas
from tests.controller.operations.talking import said, said_all
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_BROKEN, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
READS = ("audit", "cost", "explain web", "compliance SOC2", "capacity", "suggest", "council Is it safe?", "status")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        repo.push({SHOP: blueprint(WEB.replace("256MB", "2GB"), DB)}, "ipr/bigger")
        await opened.settle()
        yield opened


def facts(text: str) -> dict[str, object]:
    [block] = re.findall(r"(?s)```json\n(.*?)\n```", text)
    told: dict[str, object] = json.loads(block)
    return told


async def test_whoever_answers_every_word_of_the_answer_stands_in_it(
    home: Estate, report_n: Callable[..., None]
) -> None:
    world, review = dict(home.world), await home.comment(1)
    plain = await said_all(home, 1, [f"/alma {line}" for line in READS])
    for name in personas():
        forced = await said_all(home, 1, [f"/alma as {name} {line}" for line in READS])
        for before, after in zip(plain, forced, strict=True):
            assert before in after
        assert any(before != after for before, after in zip(plain, forced, strict=True)), name
    assert home.world == world and await home.comment(1) == review
    report_n("M31 personas", len(READS) * len(personas()))


async def test_an_operator_is_short_and_gives_the_facts_as_json(home: Estate) -> None:
    text = await said(home, 1, "/alma as operator audit")
    told = facts(text)
    assert (told["verb"], told["pull_request"], told["head"]) == ("audit", 1, (await home.ipr(1)).head_sha[:12])
    assert told["changes"] == "1 to create, 1 to update" and isinstance(told["findings"], int)
    assert text.startswith("```json") and "<details><summary>In full</summary>" in text
    paused = await said(home, 1, "/alma pause --reason later")
    assert "Paused: prod." in paused and facts(paused)["verb"] == "pause"


async def test_a_medic_begins_with_what_failed_last(home: Estate, repo: Repo) -> None:
    assert (await said(home, 1, "/alma as medic cost")).startswith(
        "#### Diagnosis\n\nNo run of this pull request failed"
    )
    repo.push({SHOP: blueprint(WEB_BROKEN)}, "ipr/bad")
    await home.settle()
    await home.ask("ipr.merge", number=2)
    await home.settle(120)
    text = await said(home, 2, "/alma as medic cost")
    assert text.index("it did not become healthy in time") < text.index("Cost")
    assert await said(home, 2, "/alma as medic") == await said(home, 2, "/alma troubleshoot")


async def test_an_architect_ends_with_what_the_design_lacks(home: Estate) -> None:
    text = await said(home, 1, "/alma as architect cost")
    assert text.index("Cost") < text.index("#### Suggestions")
    assert await said(home, 1, "/alma as architect") == await said(home, 1, "/alma suggest")


async def test_a_persona_lends_no_right_and_carries_out_nothing_else(home: Estate) -> None:
    forge = home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    for name in personas():
        comment = await forge.comment(1, Account("os:nobody", "nobody"), f"/alma as {name} pause --reason later")
        await home.settle()
        [text] = [c.body for c in await forge.comments(1) if f":answer:{comment.id} " in c.body]
        assert "pause needs the role operate" in text
    assert (await home.scope()).pause is None
    assert "one of architect, medic, operator" in await said(home, 1, "/alma as root pause")
    assert "Speak as a medic" in await said(home, 1, "/alma as")


def test_a_verb_has_one_persona_at_most_and_each_has_a_verb_of_its_own() -> None:
    claimed = [verb for p in personas().values() for verb in p.verbs]
    assert len(claimed) == len(set(claimed)) and set(claimed) <= VERBS.keys()
    chosen = {verb: p.name for verb in claimed if (p := persona_of(verb))}
    assert {
        "create": "architect",
        "deploy": "operator",
        "troubleshoot": "medic",
        "fix": "medic",
    }.items() <= chosen.items()
    assert {p.alone for p in personas().values()} <= VERBS.keys()
