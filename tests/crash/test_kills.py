"""A1, A2: killed at any boundary, and again while recovering, ALMA neither loses nor doubles anything (I8 … I19)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from tests.crash.forking import Zygote, wrong
from tests.crash.scenarios import SCENARIOS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

Report = Callable[..., None]
SHARES = 3  # each scenario is this many tests, so that workers of pytest-xdist can divide it


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
def test_a_second_kill_while_recovering_leaves_no_trace_either(
    share: int, zygote: Zygote, report_n: Report, full: bool
) -> None:
    """For every boundary k of a run that is undone, one boundary j of its recovery (three of them for the whole
    matrix); equal seeds choose equal pairs."""
    name, chance, pairs = "update-with-undo", random.Random(share), 0
    failures: dict[tuple[int, int], list[str]] = {}
    assert not zygote.ask("prepare", name)["wrongs"]
    reference = zygote.ask("point", name)
    length = zygote.ask("point", name, (10**6,))["reached"]["boundaries"]
    for k in (k for k in range(1 + share, length + 1, SHARES) for _ in range(3 if full else 1)):
        j = chance.randint(1, max(2, length - k))
        point = zygote.ask("point", name, (k, j))
        pairs += point["killed"] == 2
        if found := wrong(point, reference):
            failures[k, j] = found
    report_n("A2 kill in recovery", pairs, len(failures))
    assert not failures, "\n".join(f"{pair}: {text}" for pair, texts in failures.items() for text in texts)
    assert pairs >= 150 // SHARES
