"""A12: told to stop at any boundary, ALMA ends within its time with the end of every op known, and goes on later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.forking import Zygote, wrong

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

_EVERY = 3  # boundaries from one stop to the next


@pytest.mark.parametrize("name", ["create-chain", "update-with-undo", "self-heal"])
def test_a_stop_at_any_moment_leaves_no_op_in_doubt(name: str, zygote: Zygote, report_n: Callable[..., None]) -> None:
    assert not zygote.ask("prepare", name)["wrongs"]
    reference = zygote.ask("point", name)
    length = zygote.ask("point", name, (10**6,))["reached"]["boundaries"]
    failures: dict[int, list[str]] = {}
    stops = range(1, length + 1, _EVERY)
    for k in stops:
        point = zygote.ask("stop", name, (k,))
        if found := [*point["open"], *wrong(point, reference)]:
            failures[k] = found
    report_n("A12 stops", len(stops), len(failures))
    assert not failures, "\n".join(f"k={k}: {text}" for k, texts in failures.items() for text in texts)
