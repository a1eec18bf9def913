"""B22: a controller that runs its deploys as workflows, killed at any boundary, loses and doubles nothing either. Its
worker dies with it, so what was under way is sent a second time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.crash.forking import Zygote, wrong
from tests.servers.temporal import TemporalServer

pytestmark = [pytest.mark.crash, pytest.mark.temporal, pytest.mark.timeout(2400)]

Report = Callable[..., None]
# A point takes seconds here: the server waits for a heartbeat before it gives the work to another worker.
STRIDE = 19  # boundaries from one kill to the next; the whole matrix takes every one


@pytest.mark.parametrize("first", (2,))
def test_a_kill_at_any_boundary_leaves_no_trace(
    first: int, zygote: Zygote, temporal: TemporalServer, report_n: Report, full: bool
) -> None:
    name = "update-with-undo"
    where = {"address": temporal.address, "task_queue": f"kills-{first}", "heartbeat_timeout": "1s"}
    settings = {"executor": {"temporal": where}}
    assert not zygote.ask("prepare", name)["wrongs"]
    reference = zygote.ask("point", name)
    failures: dict[int, list[str]] = {}
    points = 0
    for k in itertools.count(*((1, 1) if full else (first, STRIDE))):
        point = zygote.ask("point", name, (k,), settings)
        if not point["killed"]:
            break
        points += 1
        if found := wrong(point, reference):
            failures[k] = found
    report_n("B22 kill sweep", points, len(failures))
    assert not failures, "\n".join(f"k={k}: {text}" for k, texts in failures.items() for text in texts)
    assert points >= 100 // STRIDE
