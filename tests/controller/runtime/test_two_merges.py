"""B12: a second merge at any moment of the first one's run: no two runs of a scope at once, the last tree wins, and
each commit that was looked at has an outcome."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, Estate, Repo, blueprint, estate
from tests.controller.runtime.moments import reaching

SHOP = "prod/shop.yaml"
_APPENDS_MOST = 40  # more than a run of these blueprints takes
_PAIRS = 12  # of one estate: its journal grows
_ENDS = (RunWord.DONE, RunWord.UNDONE, RunWord.SUPERSEDED)


@dataclass(frozen=True)
class Content:
    """What one merge brings. One that is not `good` never becomes healthy."""

    image: str
    with_db: bool
    good: bool

    @property
    def text(self) -> str:
        health = "" if self.good else ", simulate: {health: never}"
        web = WEB.replace("web:1.0", self.image).replace("cpu: 1", f"cpu: 1{health}")
        return blueprint(web, *([DB] if self.with_db else []))


@pytest.mark.parametrize("seed", range(4))
async def test_two_merges_one_after_the_other_end_as_the_last_one_says(
    seed: int, tmp_path: Path, report_n: Callable[..., None], full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    for number in range(21 if full else 1):
        folder = tmp_path / str(number)
        repo = Repo.make(folder / "git", {"alma.yaml": ALMA_YAML, SHOP: Content("web:0", True, True).text})
        async with estate(repo, folder / "state") as home:
            await home.settle()
            for pair in range(_PAIRS):
                await _merged_twice(home, repo, chance, f"{number}.{pair}", monkeypatch)
        report_n("B12 two merges", _PAIRS)


async def _merged_twice(
    home: Estate, repo: Repo, chance: random.Random, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _image(home)
    # A destroy waits for a person, which is another row: the database stays.
    one, two = (Content(f"web:{name}.{n}", True, chance.random() < 0.7) for n in "ab")
    moment = chance.randint(1, _APPENDS_MOST)
    first = repo.push({SHOP: one.text})
    async with reaching(home, moment, monkeypatch) as reached:
        passes = asyncio.create_task(home.settle(120))
        await asyncio.wait({reached, passes}, return_when=asyncio.FIRST_COMPLETED)
        second = repo.push({SHOP: two.text})
        await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
        await passes
    await home.settle(120)
    told = f"{one} then {two} at append {moment}"
    allowed = {two.image} if two.good else {before, *([one.image] if one.good else [])}
    assert _image(home) in allowed, told
    runs = await home.runs()
    assert all(run.word in _ENDS for run in runs), told
    spans = [(run.created, str(run.ended)) for run in runs]
    assert not any(max(a[0], b[0]) < min(a[1], b[1]) for a, b in itertools.combinations(spans, 2)), told
    outcome = {run.revision: run.word for run in runs}
    assert outcome[second] is (RunWord.DONE if two.good else RunWord.UNDONE), told
    assert first not in outcome or one.good or outcome[first] is not RunWord.DONE, told


def _image(home: Estate) -> str:
    return str(home.world["simulation/container:prod-shop-web"]["fields"]["image"])
