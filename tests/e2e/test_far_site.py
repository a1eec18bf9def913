"""A site that only its worker reaches: planned, deployed, verified, healed and undone through it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from controller.plan.resource import ObjectKey
from controller.temporal.site_call import SiteCall
from controller.temporal.workflow import RunWorkflow
from engines.simulation import tamper
from engines.simulation.world import World
from tests.controller.temporal.test_workflows import opened_payloads
from tests.e2e.far_site import SECRET, FarSite, tcp_ports
from tests.servers.postgres import PostgresServer
from tests.servers.temporal import TemporalServer

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.timeout(300)]

Make = Callable[..., FarSite]
Report = Callable[..., None]


async def replayed(temporal: TemporalServer, far: FarSite) -> list[WorkflowHistory]:
    """What the server keeps of this test: its runs, and some of the questions to its worker. All of them replay."""
    client = await Client.connect(temporal.address)
    runs = [f"home/{run['run']}" for run in far.controller.runs()]
    asked = f"WorkflowType = 'alma-site-call' AND TaskQueue = '{far.queue}'"
    calls = [w.id async for w in client.list_workflows(asked, limit=5)]
    found = [await client.get_workflow_handle(name).fetch_history() for name in (*runs, *calls)]
    for history in found:
        await Replayer(workflows=[RunWorkflow, SiteCall]).replay_workflow(history)
    return found


def test_a_scope_is_deployed_healed_and_undone_by_the_worker_of_its_site(
    far_site: Make, temporal: TemporalServer, postgres: PostgresServer, report_n: Report
) -> None:
    far = far_site()
    far.worker.start()
    far.controller.start()
    revision = far.push("1.0", more=', env: {APP_PASSWORD: {secret: "env:APP_PASSWORD"}, PLAIN: canary-of-a-field}')
    far.controller.wait_synced(revision)
    assert far.images() == ["web:1.0"] * 3
    meeting = {postgres.port, int(temporal.address.rpartition(":")[2])}
    listening, reached = tcp_ports(far.worker.pid)
    assert (listening, reached and reached <= meeting) == (set(), True), "the worker listens nowhere"
    _, reached = tcp_ports(far.controller.pid)
    assert reached and reached <= meeting, "the controller reaches nothing of the site"
    asyncio.run(tamper.remove(World(far.world_file), ObjectKey("simulation/container", "prod-shop-r1")))
    far.controller.wait(lambda: far.images() == ["web:1.0"] * 3, "what was removed by hand is healed")
    far.controller.wait_synced(revision)
    far.push("2.0", more=", simulate: {health: never}")
    far.controller.wait(lambda: far.controller.runs()[-1]["word"] == "undone", "what does not become healthy is undone")
    assert far.images() == ["web:1.0"] * 3
    assert SECRET not in far.controller.said() + far.worker.said()
    assert not (far.controller.state / "simulation").exists(), "nothing of the site is on the controller's side"
    found = asyncio.run(replayed(temporal, far))
    kept = "".join(str(h.to_json_dict()) for h in found)
    for text in (SECRET, "canary-of-a-field", "APP_PASSWORD", "web:1.0"):
        for form in (text, base64.b64encode(text.encode()).decode().rstrip("=")):
            assert form not in opened_payloads(kept)
    assert "alma-site-call" in kept and "carry-there-1" in kept
    report_n("E9 histories of a far site", 8)
    report_n("A13 fresh histories of a far site", len(found))


def test_a_worker_killed_between_an_effect_and_its_report_loses_and_doubles_nothing(
    far_site: Make, report_n: Report
) -> None:
    """B22: each of these requests acts, and its answer never comes."""
    points = (1, 4, 8, 11)
    far = far_site(fail=[{"call": n, "when": "after", "error": "hang"} for n in points])
    far.worker.start()
    far.controller.start()
    revision = far.push("1.0")
    second = ""
    for number, _ in enumerate(points, 1):
        if number == 3:
            far.controller.wait_synced(revision)
            second = far.push("2.0")
        far.controller.wait(lambda n=number: far.fired() == n, f"request {number} that hangs")
        far.worker.kill()
        far.worker.start()
    far.controller.wait_synced(second)
    report_n("B22 far worker killed", len(points))
    assert far.images() == ["web:2.0"] * 3
    assert set(far.creations().values()) == {1}, far.creations()
    assert "intact" in far.controller.cli("journal", "verify")
