"""A3: killed again and again, each time a few boundaries after it has started, ALMA still comes to the end it would
have come to undisturbed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.crash.forking import Zygote, wrong

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

_SCENARIOS = ("update-with-undo", "superseding-with-undo")
_KILLS = 151  # of each scenario, at least
_LIFE = 12  # boundaries at most, from a start to the kill: less than any of the runs takes
_LIVES = 200  # more than any of them needs


@pytest.mark.parametrize("name", _SCENARIOS)
def test_a_crash_loop_loses_and_doubles_nothing(name: str, zygote: Zygote, report_n: Callable[..., None]) -> None:
    chance, kills = random.Random(name), 0
    assert not zygote.ask("prepare", name)["wrongs"]
    reference = zygote.ask("point", name)
    wrongs: list[str] = []
    histories = 0
    while kills < _KILLS:
        point = zygote.ask("point", name, tuple(chance.randint(1, _LIFE) for _ in range(_LIVES)))
        kills += point["killed"]
        histories += 1
        wrongs += [f"history {histories}: {text}" for text in wrong(point, reference)]
    report_n("A3 crash loop", kills, len(wrongs))
    assert not wrongs, "\n".join(wrongs)
    assert kills / histories > 5, "most lives were short"
