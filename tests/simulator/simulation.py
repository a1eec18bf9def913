"""One seed: the real controller between a drawn world and drawn people, killed and started again, until all is well.

First safety, while everything fails at random; then nothing fails any more, and it must come to what the branch says
within ten virtual minutes, with nothing doubled, lost, foreign or left over on the way.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from controller import targets
from controller.forges.forge import Forge, ForgeBinding
from controller.forges.gitea import GiteaForge
from controller.runtime.records import RunRecord, ScopeRecord
from controller.seal import make_key
from tests.controller.runtime.at_gitea import ENVIRONMENT, GIT_URL, repositories
from tests.controller.runtime.clocks import START, VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, Estate, Repo, estate
from tests.simulator import oracles
from tests.simulator.fate import Fate, Rates
from tests.simulator.outside import Outside
from tests.simulator.story import LAST, SHOP, Story, drawn
from tests.simulator.virtual_loop import VirtualLoop
from tests.simulator.wires import ForgeWire, Wires

_CONVERGES_WITHIN_S = 600.0
_LOOKS_EVERY_S = 15.0
_REPORTED_AFTER_S = 330.0  # the final comment follows at most five minutes after the forge is back (I19)
_DOWN_MOST_S = 30.0


class LoopClock(VirtualClock):
    """The loop's own time; a process that was started again may find another wall clock."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now_s()) + self.wall_offset

    def jitter(self) -> float:
        return self._fate.chance.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class Outcome:
    """What a seed came to."""

    seed: int
    trace_hash: str
    wrongs: list[str]
    marks: Counter[str]
    virtual_s: float
    told: list[str] = field(default_factory=list)


def simulated(seed: int, home: Path, wires: Wires, *, telling: bool = False) -> Outcome:
    """Play one seed in the folder `home`, which is made anew. `telling` keeps the whole trace."""
    shutil.rmtree(home, ignore_errors=True)
    chance = random.Random(seed)
    fate = Fate(chance, _rates(chance), [] if telling else None, crashes_left=chance.randint(0, 4))
    wires.fate = fate
    with patch.object(targets, "entropy", chance):
        return _Simulation(seed, fate, home).play()


def _rates(chance: random.Random) -> Rates:
    """Some worlds are calm in one respect and wild in another."""

    def drawn_rate(most: float) -> float:
        return chance.choice((0.0, most / 4, most))

    return Rates(
        drawn_rate(0.25), drawn_rate(0.06), drawn_rate(0.2), drawn_rate(0.15), chance.choice((0.01, 0.03, 0.1))
    )


class _Simulation:
    def __init__(self, seed: int, fate: Fate, home: Path) -> None:
        self._seed, self._fate, self._home = seed, fate, home
        self._outside = Outside.begin(home, {"alma.yaml": ALMA_YAML, SHOP: drawn(fate)[SHOP]})
        self._story = Story.drawn(fate, self._outside, 0.0)
        self._wrongs: list[str] = []
        self._lives = 0
        make_key(home / "state" / "key", entropy=fate.chance.randbytes)

    def play(self) -> Outcome:
        now_s = 0.0
        while True:
            loop = VirtualLoop(now_s, self._fate.latency_s)
            over = loop.live(self._life())
            if over is not None:
                break
            now_s = loop.time() + self._fate.chance.random() * _DOWN_MOST_S
            self._lives += 1
        fate = self._fate
        return Outcome(self._seed, fate.trace_hash, self._wrongs, fate.marks, loop.time(), fate.told or [])

    async def _life(self) -> bool:
        """One process, from its start to its end or its death."""
        if not self._outside.foreign:
            await self._outside.settle_others()
        async with self._opened() as home:
            if self._lives:
                self._wrongs += await oracles.unannounced(home)
            stop = asyncio.Event()
            serving = asyncio.create_task(home.controller.loop.run(stop))
            living = asyncio.create_task(self._lived(home))
            await asyncio.wait({serving, living}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await serving
            await living
            await self._judge(home)
        return True

    async def _lived(self, home: Estate) -> None:
        loop, story = asyncio.get_running_loop(), self._story
        while story.done < len(story.moments):
            await asyncio.sleep(max(0.0, story.moments[story.done] - loop.time()))
            self._outside.now_s = loop.time()
            self._outside.arrived()
            await story.act(home)
        self._calm()
        began_s = loop.time()
        while not await self._is_well(home):
            if loop.time() - began_s > _CONVERGES_WITHIN_S:
                self._wrongs.append(f"not well after {_CONVERGES_WITHIN_S:.0f} s: {await self._says(home)}")
                return
            await story.help_out(home)
            await asyncio.sleep(_LOOKS_EVERY_S)
        await self._reported()

    def _calm(self) -> None:
        """From now on nothing fails any more, and the branch says something good."""
        if not self._fate.calm:
            self._fate.calm = True
            self._fate.note("calm")
            self._outside.commit("main", LAST)

    async def _is_well(self, home: Estate) -> bool:
        scope = await home.controller.install.records.get(ScopeRecord, "prod")
        if scope is None or scope.good_revision != self._outside.server.branches["main"]:
            return False
        return not (scope.run or scope.waiting or scope.parked) and scope.sync == "synced"

    async def _says(self, home: Estate) -> str:
        scope = await home.controller.install.records.get(ScopeRecord, "prod")
        runs = [(r.run, r.word, r.reason) for r in await home.controller.install.records.all(RunRecord)]
        return f"{scope and (scope.sync, scope.message, scope.run, scope.waiting, scope.parked)} {runs[-3:]}"

    async def _reported(self) -> None:
        """Until every pull request that is over has its final comment, or its time is over."""
        for _ in range(int(_REPORTED_AFTER_S / _LOOKS_EVERY_S)):
            if not oracles.unreported(self._outside):
                return
            await asyncio.sleep(_LOOKS_EVERY_S)

    async def _judge(self, home: Estate) -> None:
        self._wrongs += await oracles.wrongs(home, self._outside)
        for run in await home.runs():
            self._fate.marks[f"run {run.word}"] += 1

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Estate]:
        fate, outside = self._fate, self._outside
        clock = LoopClock(fate)

        def opened(kind: str, binding: ForgeBinding) -> Forge:
            there = replace(binding, git_url=GIT_URL, wall=lambda: clock.wall().timestamp(), jitter=clock.jitter)
            return GiteaForge.open(there, transport=ForgeWire(fate, outside.server))

        repo = Repo(self._home / "git")
        environment = {**ENVIRONMENT, "APP_P": "hunter2-canary"}
        async with AsyncExitStack() as stack:
            stack.enter_context(patch("controller.wiring.open_forge", opened))
            more: dict[str, Any] = {"repositories": repositories(repo)}
            yield await stack.enter_async_context(
                estate(repo, self._home / "state", clock=clock, environment=environment, **more)
            )
