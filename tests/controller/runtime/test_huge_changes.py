"""A pull request with an enormous diff is planned from its trees: what no scope reads costs nothing (D11)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from tests.controller.runtime.estate import ALMA_YAML, WEB, WEB_2, Estate, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
_CHANCE = random.Random(11)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONG = "".join(f"{n}: {_CHANCE.choice(_LETTERS) * 60}\n" for n in range(100_000))
BINARY = "".join(chr(_CHANCE.randrange(256)) for _ in range(300_000))
MINIFIED = "var a=" + ",".join(str(n) for n in range(300_000)) + ";"
STORM = {f"docs/old/{n}.md": f"page {n}\n" for n in range(600)}
# What a pull request brings beside the one change that matters.
HUGE: Mapping[str, Mapping[str, str | None]] = {
    "a file of 100,000 lines": {"notes/long.txt": LONG},
    "a binary file": {"assets/picture.bin": BINARY},
    "a minified file on one line": {"site/app.min.js": MINIFIED},
    "600 new files": {k.replace("old", "more"): v for k, v in STORM.items()},
    "600 files renamed": {**dict.fromkeys(STORM), **{k.replace("old", "new"): v for k, v in STORM.items()}},
    "600 files deleted": dict.fromkeys(STORM),
    "a folder of 2,000 levels of text": {"deep/" + "d/" * 200 + "x.txt": "x"},
    "generated YAML outside of every scope": {"generated/all.yaml": LONG},
    "a lock file": {"package-lock.json": '{"a":' * 50_000 + "1" + "}" * 50_000},
    "lines without an end": {"notes/no-end.txt": "x" * 5_000_000},
}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB), **STORM})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


@pytest.mark.parametrize("what", HUGE)
async def test_a_huge_diff_is_planned_from_its_trees(
    home: Estate, repo: Repo, what: str, report_n: Callable[..., None]
) -> None:
    repo.push({**HUGE[what], SHOP: blueprint(WEB_2)}, "ipr/huge")
    await home.settle()
    comment = await home.comment(1)
    assert "1 to update" in comment and len(comment) < 10_000
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert (await home.comment(1)).count("Final state: done") == 1
    report_n("D11", 1)


@pytest.mark.parametrize("what", HUGE)
async def test_a_huge_diff_that_touches_no_scope_says_so(
    home: Estate, repo: Repo, what: str, report_n: Callable[..., None]
) -> None:
    repo.push(HUGE[what], "ipr/huge")
    await home.settle()
    assert "touches no scope" in await home.comment(1)
    report_n("D11", 1)


async def test_what_is_huge_inside_a_scope_is_refused_with_its_size(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB) + "# " + "x" * 2_000_000 + "\n"}, "ipr/huge")
    await home.settle()
    assert "invalid" in (text := await home.comment(1)) and "bytes" in text
