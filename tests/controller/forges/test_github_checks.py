"""Check runs of a GitHub App: notes at lines, written once; a token writes statuses only."""

from __future__ import annotations

import pytest

from controller.forges.forge import Annotating, Annotation, ForgeUnavailable
from tests.controller.forges.fake_forge import Fault
from tests.controller.forges.github_server.installed import MINIMUM, AppServer
from tests.controller.forges.github_server.server import GitHubServer

CHECKS = {**MINIMUM, "checks": "write"}


def notes(count: int) -> list[Annotation]:
    return [Annotation("prod/shop.yaml", n + 1, "warning", f"finding {n}", "mend it") for n in range(count)]


def head(server: GitHubServer) -> str:
    return next(iter(server.commits))


def writes(server: GitHubServer) -> list[str]:
    return [seen.method for seen in server.ledger if "check-runs" in seen.path and seen.method != "GET"]


@pytest.mark.parametrize(("count", "methods"), [(0, ["POST"]), (50, ["POST"]), (120, ["POST", "PATCH", "PATCH"])])
async def test_every_note_is_at_its_line_however_many_requests_it_takes(count: int, methods: list[str]) -> None:
    server = AppServer(CHECKS)
    await server.forge().annotate(head(server), "2 findings", True, notes(count))
    [run] = server.check_runs
    assert (run["name"], run["status"], run["conclusion"]) == ("alma", "completed", "failure")
    lines = [(a["path"], a["start_line"], a["annotation_level"]) for a in run["output"]["annotations"]]
    assert lines == [("prod/shop.yaml", n + 1, "warning") for n in range(count)]
    assert writes(server) == methods


async def test_what_does_not_fit_is_counted() -> None:
    server = AppServer(CHECKS)
    await server.forge().annotate(head(server), "many", False, notes(300))
    [run] = server.check_runs
    assert len(run["output"]["annotations"]) == 250 and run["conclusion"] == "success"
    assert run["output"]["summary"] == "many\n\n50 more are in the comment only."


async def test_the_same_is_written_once_by_this_process_and_by_the_next() -> None:
    server = AppServer(CHECKS)
    forge = server.forge()
    for one in (forge, forge, server.forge()):
        await one.annotate(head(server), "2 findings", False, notes(3))
    assert writes(server) == ["POST"]
    await server.forge().annotate(head(server), "1 finding", False, notes(2))
    assert writes(server) == ["POST", "POST"]


async def test_a_run_that_a_kill_cut_off_is_written_anew() -> None:
    server = AppServer(CHECKS)
    await server.forge().annotate(head(server), "2 findings", False, notes(60))
    server.check_runs[0]["status"] = "in_progress"
    await server.forge().annotate(head(server), "2 findings", False, notes(60))
    assert [run["status"] for run in server.check_runs] == ["in_progress", "completed"]


@pytest.mark.parametrize("server", [GitHubServer(), AppServer()], ids=["a token", "an App without the permission"])
async def test_who_may_not_write_check_runs_writes_none_and_asks_for_none(server: GitHubServer) -> None:
    forge = server.forge()
    assert isinstance(forge, Annotating)
    await forge.annotate(head(server), "2 findings", True, notes(1))
    assert server.check_runs == [] and not [seen for seen in server.ledger if "check-runs" in seen.path]


async def test_a_run_whose_answer_was_lost_is_not_written_again() -> None:
    server = AppServer(CHECKS)
    forge = server.forge()
    server.fault = lambda method, path: Fault.RESET_AFTER if method == "POST" and path.endswith("check-runs") else None
    with pytest.raises(ForgeUnavailable):
        await forge.annotate(head(server), "2 findings", False, notes(2))
    server.fault = lambda method, path: None
    await forge.annotate(head(server), "2 findings", False, notes(2))
    assert len(server.check_runs) == 1
