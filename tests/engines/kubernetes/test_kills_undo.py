"""A1 on a real API server: a deploy that fails and is undone, killed at its k-th boundary and started again, ends as it
began. Apart from the kills of an update, so that two workers share them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.commands import Zygote
from tests.engines.kubernetes.kill_sweep import BROKEN, ROW, Place, swept

pytestmark = [pytest.mark.kubernetes, pytest.mark.crash, pytest.mark.timeout(900)]

Report = Callable[..., None]


# Every boundary but each fourth: with those of an update more than a hundred.
@pytest.mark.parametrize(("first", "stride"), [(1, 2), (2, 4)])
def test_a_kill_at_any_boundary_of_an_undo_leaves_no_trace(
    first: int, stride: int, place: Place, zygote: Zygote, report_n: Report
) -> None:
    points, wrong = swept(place, zygote, BROKEN, 1, first, stride)
    report_n(ROW, points, len(wrong))
    assert not wrong, "\n".join(wrong)
    assert points > 15
