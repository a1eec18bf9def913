"""Runs as a process of its own: forks the processes that are killed, so that each starts within milliseconds.

Reads requests, one JSON object a line, and answers each with one line. `{"do": "prepare", "scenario": …, "home": …}`
makes the estate the others start from; `{"do": "point", …, "kills": [k, j, …]}` copies it, lets one process die at its
k-th boundary, the next (its recovery) at its j-th, then lets a last one finish, and tells what it found;
`{"do": "stop", …, "kills": [k]}` tells one to stop at its k-th instead.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from controller.blueprint.limits import Limits
from controller.blueprint.loader import ParsedBlueprint, parse_blueprint
from controller.runtime.parse_worker import ParseWorker
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, Repo, estate
from tests.crash import judging
from tests.crash.boundaries import Boundaries
from tests.crash.scenarios import SCENARIOS, SECRETS, SHOP, Scenario

Answer = dict[str, Any]
Settings = Mapping[str, Any]
_ALONE: Settings = {}
_STOPS_WITHIN_S = 30


def forked(job: Callable[[], Answer]) -> Answer | None:
    """What `job` told, from a process of its own; None if that was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            told = job()
        except BaseException:
            told = {"wrongs": [traceback.format_exc()]}
        with os.fdopen(write, "w") as pipe:
            json.dump(told, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def prepare(scenario: Scenario, home: Path) -> Answer:
    shutil.rmtree(home, ignore_errors=True)
    repo = Repo.make(home / "git", {"alma.yaml": ALMA_YAML, SHOP: ""})
    scenario.before(repo, home / "state")
    return {"wrongs": []}


def prepared(scenario: Scenario, home: Path) -> Answer:
    """Everything up to where the first killed process starts."""
    told = forked(lambda: prepare(scenario, home))
    assert told is not None, "nobody kills this one"
    if not told["wrongs"]:
        cut_short(scenario, home)
        keep(home)
    return told


def cut_short(scenario: Scenario, home: Path) -> None:
    """The last thing before is a process that died, and what was pushed while nobody was there."""
    if scenario.cut_short:
        dead = forked(lambda: process(scenario, home, Boundaries(kill_name=scenario.cut_short), 0))
        assert dead is None, f"{scenario.name} meets no {scenario.cut_short}"
    for content in scenario.pushed_meanwhile:
        Repo(home / "git").push({SHOP: content})


def keep(home: Path) -> None:
    """What every point starts from. It is put back under its own path: the mirror knows that of the remote."""
    shutil.rmtree(kept(home), ignore_errors=True)
    shutil.copytree(home, kept(home), symlinks=True, ignore=shutil.ignore_patterns("work", "hooks"))


def kept(home: Path) -> Path:
    return home.with_name(f"{home.name}-before")


def process(scenario: Scenario, home: Path, boundaries: Boundaries, number: int, more: Settings = _ALONE) -> Answer:
    """A controller from its start until all is calm, on the estate in `home`."""
    boundaries.watch()
    asyncio.run(_acting(scenario, home, number, more))
    return {"boundaries": boundaries.count, "names": dict(boundaries.passed)}


def last(scenario: Scenario, home: Path, number: int, more: Settings = _ALONE) -> Answer:
    """The process that is not killed, and what it leaves."""
    return asyncio.run(_judged(scenario, home, number, more))


async def _acting(scenario: Scenario, home: Path, number: int, more: Settings) -> None:
    async with estate(Repo(home / "git"), home / "state", environment=SECRETS, clock=_clock(number), **more) as opened:
        await scenario.act(opened)


async def _judged(scenario: Scenario, home: Path, number: int, more: Settings) -> Answer:
    async with estate(Repo(home / "git"), home / "state", environment=SECRETS, clock=_clock(number), **more) as opened:
        wrongs = await judging.unannounced(opened)
        await scenario.act(opened)
        told = await judging.story(opened)
        uids = {key: record["uid"] for key, record in opened.world.items()}
        wrongs += await judging.wrongs(opened)
        wrongs += await judging.unannounced(opened)
        wrongs += await judging.still_heals(opened)
    return {"story": told, "uids": uids, "wrongs": wrongs}


def _clock(number: int) -> VirtualClock:
    """Each process starts an hour after the one before it."""
    clock = VirtualClock()
    clock.wall_offset = timedelta(hours=1 + number)
    return clock


def point(scenario: Scenario, home: Path, kills: list[int], more: Settings = _ALONE) -> Answer:
    """One history: killed at each of `kills` in turn, then left alone. `killed` counts how many hit. `more` are
    settings of the controller."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(kept(home), home, symlinks=True)
    killed, reached = 0, None
    for number, kill_at in enumerate(kills):
        reached = forked(lambda n=number, k=kill_at: process(scenario, home, Boundaries(k), n, more))  # type: ignore[misc]  # lambda default
        if reached is not None:
            break
        killed += 1
    told = forked(lambda: last(scenario, home, len(kills), more))
    return {"killed": killed, "reached": reached, **(told or {"wrongs": ["the last process died"]})}


def stopped(scenario: Scenario, home: Path, stop_at: int) -> Answer:
    """One history: told to stop at its `stop_at`-th boundary, then started again. `open` are the ops nobody knew the
    end of when it had stopped."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(kept(home), home, symlinks=True)
    boundaries = Boundaries(stop_at, number=signal.SIGTERM)
    first = forked(lambda: asyncio.run(_stopped(home, boundaries)))
    told = forked(lambda: last(scenario, home, 1))
    return {**(told or {"wrongs": ["the last process died"]}), **(first or {"open": ["it did not stop"]})}


async def _stopped(home: Path, boundaries: Boundaries) -> Answer:
    """As `alma serve` runs, and stops."""
    signal.alarm(_STOPS_WITHIN_S)  # nothing handles this one: it ends a process that does not stop
    boundaries.watch()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with estate(Repo(home / "git"), home / "state", environment=SECRETS, clock=_clock(0)) as opened:
        await opened.controller.loop.run(stop)
        return {"open": await judging.open_ops(opened)}


async def parsed_here(self: ParseWorker, name: str, data: bytes, limits: Limits) -> ParsedBlueprint:
    """Without the confined worker, whose start would cost more than all the rest and which holds no effect."""
    return parse_blueprint(name, data, limits)


def warm_up(home: Path) -> None:
    """One story in this process: what is loaded and worked out once, each forked process then has from its start."""
    prepare(SCENARIOS["update-and-retire"], home)
    shutil.rmtree(home)
    gc.freeze()  # no collection of a forked process walks through, and so copies, what all of them share


def main(home: Path) -> None:
    """Until standard input ends. `home` is a folder of its own."""
    ParseWorker._one = parsed_here  # type: ignore[method-assign]  # here, and so in every process forked from here
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    warm_up(home / "warm-up")
    for line in sys.stdin:
        request = json.loads(line)
        scenario, home = SCENARIOS[request["scenario"]], Path(request["home"])
        if request["do"] == "prepare":
            answer = prepared(scenario, home)
        elif request["do"] == "stop":
            answer = stopped(scenario, home, *request["kills"])
        else:
            answer = point(scenario, home, request["kills"], request["settings"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
