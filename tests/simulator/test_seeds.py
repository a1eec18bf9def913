"""A14: whatever is drawn, nothing is doubled, lost, foreign or left over, and once the faults end all comes to be well.

What is found is played again by `python -m tests.simulator --seed N`, which prints every step of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.readme import ROOT

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]

Report = Callable[..., None]
_SIDE_BY_SIDE = 2
_EACH = 250  # seeds: always the same ones, on a fast machine too
_COMMAND = (sys.executable, "-m", "tests.simulator")
_ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}


def test_every_seed_ends_well(report_n: Report) -> None:
    outcomes = played()
    wrong = {o["seed"]: o["wrongs"] for o in outcomes if o["wrongs"]}
    marks: Counter[str] = sum((Counter(o["marks"]) for o in outcomes), Counter())
    report_n("A14 simulator seeds", len(outcomes), len(wrong))
    report_n("S simulator's states", len(marks))
    again = "python -m tests.simulator --seed"
    assert not wrong, "\n".join(f"{again} {seed}: {text}" for seed, texts in sorted(wrong.items()) for text in texts)
    assert outcomes and any(mark.startswith("killed") for mark in marks), "nothing was put to the test"


def played() -> list[dict[str, Any]]:
    """The outcomes of the first seeds, from processes side by side."""
    numbers = ("--step", str(_SIDE_BY_SIDE), "--count", str(_EACH))
    players = [
        subprocess.Popen(
            [*_COMMAND, "--from", str(n + 1), *numbers], cwd=ROOT, env=_ENVIRONMENT, stdout=subprocess.PIPE
        )
        for n in range(_SIDE_BY_SIDE)
    ]
    told = [player.communicate()[0].decode() for player in players]
    return [json.loads(line) for text in told for line in text.splitlines()]


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_seed_tells_the_same_story_to_the_last_byte(seed: int, report_n: Report) -> None:
    """In another process, too: nothing hangs on an address, a thread or the time of day."""
    command = [*_COMMAND, "--seed", str(seed)]
    players = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    one, other = (player.communicate()[0] for player in players)
    assert one == other
    assert b" killed\n" in one
    report_n("A14 seeds told twice", 1)
