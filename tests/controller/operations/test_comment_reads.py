"""The reading verbs of a comment, each answered in the thread from the tools and the review."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.forges.forge import Account
from controller.forges.local import LocalForge
from controller.runtime.run import RunWord
from tests.controller.operations.talking import said, said_all
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_BROKEN, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
BIGGER = (
    WEB.replace("web:1.0", "web:1.1")
    .replace("256MB", "2GB")
    .replace("cpu: 1", "cpu: 4, env: {API_TOKEN: hunter2horse}")
)
_ID = re.compile(r"\b[0-9a-f]{12,64}\b")
READS = (
    "audit",
    "cost",
    "explain",
    "explain web",
    "compare",
    "compliance",
    "compliance SOC2",
    "capacity",
    "capacity users=100000",
    "suggest",
    "suggest a redis cache, we're in a hurry",
    "forecast 61 64 66 71 limit=80 steps=6",
    "troubleshoot Bind for 0.0.0.0:8080 failed: port is already allocated",
    "council Is this safe, and isn't it too expensive?",
    "status",
    "plan",
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        repo.push({SHOP: blueprint(BIGGER, DB)}, "ipr/bigger")
        await opened.settle()
        yield opened


async def test_every_reading_verb_answers_in_the_thread_and_changes_nothing(
    home: Estate, golden: Callable[[str, str, str], None], report_n: Callable[..., None]
) -> None:
    before = dict(home.world)
    told = []
    answers = await said_all(home, 1, [f"/alma {line}" for line in READS])
    for line, text in zip(READS, answers, strict=True):
        assert "was refused" not in text and "hunter2horse" not in text, text
        told.append(f"> /alma {line}\n\n{text}\n")
    golden("answers", "reads.md", _ID.sub("<id>", "\n".join(told)))
    assert home.world == before
    report_n("M16 reading verbs", len(READS))


REFUSED = {
    "compliance ISO9": "is no framework here",
    "capacity users=none": "users",
    "capacity height=3": "takes no height",
    "capacity lots": "takes `key=value",
    "forecast": "no measurements are kept here",
    "forecast 1 2": "values",
    "troubleshoot": "no run of this pull request failed",
    "audit -s base": "touches no scope base",
}


async def test_what_cannot_be_answered_is_refused_with_a_reason(home: Estate) -> None:
    answers = await said_all(home, 1, [f"/alma {line}" for line in REFUSED])
    for why, text in zip(REFUSED.values(), answers, strict=True):
        assert "was refused" in text and why in text and "Nothing was done." in text


async def test_who_may_not_read_gets_a_refusal(repo: Repo, tmp_path: Path) -> None:
    roles = {"infra": {"read": ("os:ada",), "operate": ("os:ada",), "admin": ("os:ada",)}}
    async with estate(repo, tmp_path / "state", roles=roles) as home:
        await home.settle()
        repo.push({SHOP: blueprint(BIGGER)}, "ipr/bigger")
        await home.settle()
        forge = home.controller.forges["infra"]
        assert isinstance(forge, LocalForge)
        comment = await forge.comment(1, Account("os:nobody", "nobody"), "/alma compare")
        await home.settle()
        [text] = [c.body for c in await forge.comments(1) if f":answer:{comment.id} " in c.body]
        assert "needs the role read" in text and "web:1.1" not in text


async def test_a_failed_run_is_explained_from_the_engine_s_own_words(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)}, "ipr/bad")
    await home.settle()
    await home.ask("ipr.merge", number=2)
    await home.settle(120)
    run = (await home.runs())[-1]
    assert run.word is RunWord.UNDONE
    comment = await home.comment(2)
    assert "Probable cause: it did not become healthy in time" in comment
    text = await said(home, 2, "/alma troubleshoot")
    assert run.run in text and "it did not become healthy in time" in text
