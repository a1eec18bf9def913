"""A1 on a real API server: an update by `alma deploy`, killed at its k-th boundary and started again, neither loses nor
doubles anything. The journal is on disk, the cluster is real, the kill is SIGKILL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.commands import Zygote
from tests.engines.kubernetes.kill_sweep import AFTER, ROW, Place, swept

pytestmark = [pytest.mark.kubernetes, pytest.mark.crash, pytest.mark.timeout(900)]

Report = Callable[..., None]


@pytest.mark.parametrize(("first", "stride"), [(1, 2), (2, 2)])
def test_a_kill_at_any_boundary_of_an_update_leaves_no_trace(
    first: int, stride: int, place: Place, zygote: Zygote, report_n: Report
) -> None:
    points, wrong = swept(place, zygote, AFTER, 0, first, stride)
    report_n(ROW, points, len(wrong))
    assert not wrong, "\n".join(wrong)
    assert points > 20
