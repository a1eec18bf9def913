"""A site whose worker, or whose controller, is not there: nothing is derived from what nobody sees, runs wait, and
people are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.far_site import FarSite

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.timeout(300)]

Make = Callable[..., FarSite]
Report = Callable[..., None]


def test_while_no_worker_is_there_nothing_is_planned_and_the_status_says_so(far_site: Make) -> None:
    """I9: unknown is not absent."""
    far = far_site()
    far.controller.start()
    assert "missing target edge: no worker of site west polls its queue; is `alma worker west` running there?" in (
        far.controller.said()
    )
    revision = far.push("1.0")
    far.controller.wait(lambda: "no worker of site west" in str(far.controller.scope()), "the status says so")
    far.worker.start()
    far.controller.cli("reconcile", "prod")
    far.controller.wait_synced(revision)
    far.worker.stop()
    far.push("2.0")
    far.controller.wait(lambda: "west has answered since" in str(far.controller.scope()), "the status says so")
    assert far.images() == ["web:1.0"] * 3
    assert [r["word"] for r in far.controller.runs()] == ["done"]


def test_a_run_outlives_the_controller_that_began_it(far_site: Make, report_n: Report) -> None:
    """B22, I14: its next process holds the scope under another epoch, and the worker is told."""
    far = far_site(fail=[{"call": 2, "when": "after", "error": "hang"}])
    far.worker.start()
    far.controller.start()
    revision = far.push("1.0")
    far.controller.wait(lambda: far.fired() == 1, "a request that hangs")
    far.controller.kill()
    far.controller.start()
    far.worker.kill()
    far.worker.start()
    far.controller.wait_synced(revision)
    report_n("B22 controller of a far site killed", 1)
    assert [r["word"] for r in far.controller.runs()] == ["done"]
    assert set(far.creations().values()) == {1} and far.images() == ["web:1.0"] * 3
    assert "intact" in far.controller.cli("journal", "verify")
