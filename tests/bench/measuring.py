"""How long something takes: whole processes and calls, medians of several runs."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALMA = (sys.executable, "-m", "controller.cli.main")
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One process: wall-clock seconds and the most memory it held."""

    seconds: float
    peak_mb: float
    out: str


def process(command: Sequence[str], environment: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Taken:
    """Runs `command` to its end. Raises RuntimeError with its output when it fails."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    started_s = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=cwd, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert child.stdout is not None
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {child.returncode}\n{out[-2000:]}")
    return Taken(time.perf_counter() - started_s, usage.ru_maxrss / 1024, out)


def median(runs: int, once: Callable[[], float]) -> float:
    """The median of `runs` measurements."""
    return statistics.median(once() for _ in range(runs))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def child(name: str, *arguments: str) -> dict[str, float]:
    """`python -m tests.bench.NAME ARGUMENTS`, which prints one JSON object as its last line."""
    told = process((sys.executable, "-m", f"tests.bench.{name}", *arguments)).out
    answer: dict[str, float] = json.loads(told.strip().splitlines()[-1])
    return answer


def peak_mb() -> float:
    """The most memory this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def quiet(text: str) -> None:
    """What is going on, on stderr: stdout is the table's."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
