"""Plays seeds of the simulator: `python -m tests.simulator --seed 7` plays one and prints its trace; `--seconds 60`
plays as many as fit, `--count 40` so many, one line of JSON each.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from time import perf_counter

import structlog

from controller.runtime.parse_worker import ParseWorker
from engines import registry
from tests.crash.zygote import parsed_here
from tests.simulator.simulation import Outcome, simulated
from tests.simulator.virtual_loop import sqlite_without_threads
from tests.simulator.wires import Wires

_MEMORY = Path("/dev/shm")


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if nothing went wrong."""
    read = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    read.add_argument("--seed", type=int, help="play this one and print its trace")
    read.add_argument("--from", type=int, default=1, dest="first", help="the first of many (default 1)")
    read.add_argument("--step", type=int, default=1, help="from one to the next (default 1)")
    read.add_argument("--seconds", type=float, default=60.0, help="no more begin after this (default 60)")
    read.add_argument("--count", type=int, help="play so many, however long that takes")
    asked = read.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of a set is part of the trace
        again = [sys.executable, "-m", "tests.simulator", *arguments]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    wires = _prepared()
    with tempfile.TemporaryDirectory(prefix="alma-sim-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        home = Path(folder) / "home"
        if asked.seed is not None:
            return _one(simulated(asked.seed, home, wires, telling=True))
        return _many(asked, home, wires)


def _many(asked: argparse.Namespace, home: Path, wires: Wires) -> int:
    until_s, count, wrong = perf_counter() + asked.seconds, 0, 0
    while count < asked.count if asked.count else perf_counter() < until_s:
        outcome = _forked(asked.first + count * asked.step, home, wires)
        print(json.dumps(outcome), flush=True)
        count, wrong = count + 1, wrong + bool(outcome["wrongs"])
    print(f"A14 simulator: N={count} failures={wrong}", file=sys.stderr)
    return 1 if wrong else 0


def _prepared() -> Wires:
    """This process is a simulator's from now on."""
    gc.disable()  # a seed's process is short, and what was killed in it must not be collected
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    ParseWorker._one = parsed_here  # type: ignore[method-assign]  # its start would cost more than all the rest
    sqlite_without_threads()
    os.fsync = os.fdatasync = lambda fd: None  # nobody cuts the power here
    setattr(registry, "entry_points", functools.cache(entry_points))  # noqa: B010 - read once, not once per life
    wires = Wires()
    wires.cut_in()
    return wires


def _one(outcome: Outcome) -> int:
    for line in outcome.told:
        print(line)
    print(f"seed {outcome.seed}: trace {outcome.trace_hash}, {outcome.virtual_s:.0f} virtual seconds")
    for wrong in outcome.wrongs:
        print(f"WRONG {wrong}")
    return 1 if outcome.wrongs else 0


def _forked(seed: int, home: Path, wires: Wires) -> dict[str, object]:
    """In a process of its own: what was killed in it is never collected, and goes with it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told: dict[str, object] = {"seed": seed}
        try:
            told = _plain(simulated(seed, home, wires))
        except BaseException:
            told |= {"trace": "", "wrongs": [traceback.format_exc()], "marks": {}}
        finally:
            with os.fdopen(write, "w") as pipe:
                json.dump(told, pipe)
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    answer: dict[str, object] = json.loads(text or _died(seed))
    return answer


def _died(seed: int) -> str:
    return json.dumps({"seed": seed, "trace": "", "wrongs": ["the simulator's process died"], "marks": {}})


def _plain(outcome: Outcome) -> dict[str, object]:
    return {
        "seed": outcome.seed,
        "trace": outcome.trace_hash,
        "wrongs": outcome.wrongs,
        "marks": dict(outcome.marks),
        "virtual_s": outcome.virtual_s,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
