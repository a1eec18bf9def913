"""A1, A2: killed at any boundary, and again while recovering, ALMA neither loses nor doubles anything (I8 … I19)."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.scenarios import SCENARIOS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

Report = Callable[..., None]
SHARES = 3  # each scenario is this many tests, so that workers of pytest-xdist can divide it
_SHARED_MEMORY = Path("/dev/shm")


class Zygote:
    """The process that forks those that die."""

    def __init__(self, home: Path) -> None:
        self._home = home
        command = [sys.executable, "-m", "tests.crash.zygote", str(home)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, scenario: str, kills: tuple[int, ...] = ()) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        request = {"do": do, "scenario": scenario, "home": str(self._home / "estate"), "kills": kills}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    """In memory where there is such a place: what the disk does with an fsync is A9's subject, not this one's."""
    base = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    home = Path(tempfile.mkdtemp(prefix="alma-crash-", dir=base))
    running = Zygote(home)
    yield running
    running.close()
    shutil.rmtree(home)


def wrong(point: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """What is not as it would be without any kill."""
    wrongs = list(point["wrongs"])
    for part, expected in reference["story"].items():
        if "story" in point and point["story"][part] != expected:
            wrongs.append(f"{part}: {point['story'][part]} instead of {expected}")
    return wrongs


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_boundary_leaves_no_trace(name: str, share: int, zygote: Zygote, report_n: Report) -> None:
    prepared = zygote.ask("prepare", name)
    assert not prepared["wrongs"], prepared["wrongs"][0]
    reference = zygote.ask("point", name)
    assert not reference["wrongs"], reference["wrongs"][0]
    failures: dict[int, list[str]] = {}
    points = 0
    for k in itertools.count(1 + share, SHARES):
        point = zygote.ask("point", name, (k,))
        if not point["killed"]:
            assert not point["reached"].get("wrongs"), point["reached"]["wrongs"][0]
            break
        points += 1
        if found := wrong(point, reference):
            failures[k] = found
    report_n("A1 kill sweep", points, len(failures))
    assert not failures, "\n".join(f"k={k}: {text}" for k, texts in failures.items() for text in texts)
    assert points > 20 // SHARES


@pytest.mark.parametrize("share", range(SHARES))
def test_a_second_kill_while_recovering_leaves_no_trace_either(share: int, zygote: Zygote, report_n: Report) -> None:
    """For every boundary k of a run that is undone, one boundary j of its recovery; equal seeds choose equal pairs."""
    name, chance, pairs = "update-with-undo", random.Random(share), 0
    failures: dict[tuple[int, int], list[str]] = {}
    assert not zygote.ask("prepare", name)["wrongs"]
    reference = zygote.ask("point", name)
    length = zygote.ask("point", name, (10**6,))["reached"]["boundaries"]
    for k in range(1 + share, length + 1, SHARES):
        j = chance.randint(1, max(2, length - k))
        point = zygote.ask("point", name, (k, j))
        pairs += point["killed"] == 2
        if found := wrong(point, reference):
            failures[k, j] = found
    report_n("A2 kill in recovery", pairs, len(failures))
    assert not failures, "\n".join(f"{pair}: {text}" for pair, texts in failures.items() for text in texts)
    assert pairs >= 150 // SHARES
