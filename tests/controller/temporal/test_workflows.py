"""`executor: temporal` on a real server: the same stories come out as with the local executor, and what the server
keeps of them tells nothing that it should not, and can be replayed."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer

from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from controller.temporal.activities import Activities
from controller.temporal.messages import Request, event_heard
from controller.temporal.outline import outlined
from controller.temporal.workflow import RunWorkflow
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import ALMA_YAML, DB, WEB, WEB_2, WEB_BROKEN, Estate, Repo, blueprint, estate
from tests.crash import judging
from tests.crash.scenarios import SCENARIOS, SECRETS, SHOP, Scenario
from tests.servers.temporal import TemporalServer

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(300)]

Report = Callable[..., None]
KEPT = Path(__file__).resolve().parents[2] / "golden" / "temporal"
# Those whose first process is not one that was killed: a kill is another test's subject.
STORIES = sorted(name for name, scenario in SCENARIOS.items() if not scenario.cut_short)


def executor_at(server: TemporalServer, queue: Path) -> dict[str, Any]:
    return {"temporal": {"address": server.address, "task_queue": str(queue), "heartbeat_timeout": "2s"}}


@pytest.fixture
def executor(temporal: TemporalServer, tmp_path: Path) -> dict[str, Any]:
    return executor_at(temporal, tmp_path)


@pytest.fixture
async def home(executor: dict[str, Any], tmp_path: Path) -> AsyncIterator[Estate]:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB, DB)})
    async with estate(repo, tmp_path / "state", executor=executor) as opened:
        await opened.settle(60)
        yield opened


@pytest.fixture
def repo(home: Estate, tmp_path: Path) -> Repo:
    return Repo(tmp_path / "git")


async def begun(scenario: Scenario, folder: Path) -> None:
    """What the last process of `scenario` finds."""
    repo = await asyncio.to_thread(Repo.make, folder / "git", {"alma.yaml": ALMA_YAML, SHOP: ""})
    await asyncio.to_thread(scenario.before, repo, folder / "state")


async def told(scenario: Scenario, folder: Path, **more: Any) -> dict[str, Any]:
    """The story of `scenario` with its last process on the executor of `more`."""
    repo = Repo(folder / "git")
    async with estate(repo, folder / "state", environment=SECRETS, clock=VirtualClock(), **more) as opened:
        await scenario.act(opened)
        story = await judging.story(opened)
        assert [*await judging.wrongs(opened), *await judging.unannounced(opened)] == []
    return story


async def histories(server: TemporalServer, install: str) -> list[WorkflowHistory]:
    """What the server keeps of an install's runs."""
    client = await Client.connect(server.address)
    found = [w async for w in client.list_workflows() if w.id.startswith(f"{install}/")]
    return [await client.get_workflow_handle(w.id).fetch_history() for w in found]


@pytest.mark.parametrize("name", STORIES)
async def test_a_story_comes_out_as_with_the_local_executor(
    name: str, executor: dict[str, Any], tmp_path: Path, report_n: Report
) -> None:
    scenario, folder, kept = SCENARIOS[name], tmp_path / "estate", tmp_path / "kept"
    await begun(scenario, folder)
    shutil.copytree(folder, kept, symlinks=True)
    alone = await told(scenario, folder)
    shutil.rmtree(folder)
    kept.rename(folder)
    served = await told(scenario, folder, executor=executor)
    report_n("B22 temporal stories", 1, served != alone)
    assert served == alone


async def test_a_newer_revision_takes_over_a_run_that_waits_for_health(home: Estate, repo: Repo) -> None:
    async with held(home, repo, blueprint(WEB_BROKEN, DB)):
        older = await workflow_of(home)
        repo.push({SHOP: blueprint(WEB_2, DB)})
        await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
        assert await older.result() == "superseded"
    assert sorted(r.word for r in await home.runs()) == [RunWord.DONE, RunWord.DONE, RunWord.SUPERSEDED]
    assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == "web:2.0"


async def test_a_run_that_is_cancelled_is_taken_back(home: Estate, repo: Repo) -> None:
    async with held(home, repo, blueprint(WEB_2.replace("cpu: 1", "cpu: 1, simulate: {health: never}"), DB)):
        assert await home.ask("cancel", run=(await home.scope()).run)
        told: dict[str, Any] = await (await workflow_of(home)).query("progress")
        assert (told["word"], told["under_way"]) == ("verifying", ["check prod-shop-web"])
    assert (await home.runs())[-1].reason.startswith("cancelled by")
    assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == "web:1.0"


async def test_a_run_goes_on_when_the_server_comes_back(home: Estate, repo: Repo, temporal: TemporalServer) -> None:
    async with held(home, repo, blueprint(WEB_BROKEN, DB)):
        temporal.stop()
        home.clock.release()
        temporal.start()
    assert (await home.runs())[-1].word is RunWord.UNDONE
    assert home.world["simulation/container:prod-shop-web"]["fields"]["image"] == "web:1.0"


async def test_a_cancel_is_kept_while_the_server_is_away(home: Estate, repo: Repo, temporal: TemporalServer) -> None:
    async with held(home, repo, blueprint(WEB_BROKEN, DB)):
        run = (await home.scope()).run or ""
        owned = home.controller.install.executor._activities.owned(run)  # type: ignore[attr-defined] # this executor's own
        temporal.stop()
        assert await home.ask("cancel", run=run)
        temporal.start()
        owned.live.moved.clear()
        await asyncio.wait_for(owned.live.moved.wait(), 60)
    assert (await home.runs())[-1].reason.startswith("cancelled by")


async def test_a_workflow_that_somebody_ends_at_the_server_is_started_again(home: Estate, repo: Repo) -> None:
    async with held(home, repo, blueprint(WEB_BROKEN, DB)):
        await (await workflow_of(home)).terminate("by hand")
    assert (await home.runs())[-1].word is RunWord.UNDONE


async def test_a_leg_that_is_sent_twice_acts_once(executor: dict[str, Any], tmp_path: Path, report_n: Report) -> None:
    """The answer of an activity may be lost: the server then sends it again, to a worker that has carried it out."""
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB, DB)})
    async with estate(repo, tmp_path / "state", executor=executor) as home:
        await home.settle(60)
        run = (await home.runs())[-1].run
        before, events = home.world, await home.controller.install.log.read(run)
        activities = Activities(home.controller.install.log)
        for seen in range(len(events)):
            told = await activities.carry(Request(run, seen, ("cut", 0)))
            assert [event_heard(e) for e in told.events] == [outlined(e) for e in events[seen:]]
        report_n("B22 doubled activities", len(events))
        assert (home.world, await home.controller.install.log.read(run)) == (before, events)


async def test_what_the_server_keeps_holds_no_secret_and_no_field(
    executor: dict[str, Any], temporal: TemporalServer, tmp_path: Path, report_n: Report
) -> None:
    scenario = SCENARIOS["update-with-undo"]
    await begun(scenario, tmp_path)
    await told(scenario, tmp_path, executor=executor)
    kept = "".join(str(history.to_json_dict()) for history in await histories(temporal, "home"))
    for text in (*SECRETS.values(), "web:9.9", "APP_PASSWORD"):
        for form in (text, base64.b64encode(text.encode()).decode().rstrip("=")):
            assert form not in opened_payloads(kept)
    report_n("E9 temporal histories", 2 * (len(SECRETS) + 2))


async def test_the_histories_of_every_story_replay(
    executor: dict[str, Any], temporal: TemporalServer, tmp_path: Path, report_n: Report
) -> None:
    for name in ("create-chain", "update-with-undo", "destroy"):
        await begun(SCENARIOS[name], tmp_path / name)
        await told(SCENARIOS[name], tmp_path / name, executor=executor)
    fresh = await histories(temporal, "home")
    for history in fresh:
        await Replayer(workflows=[RunWorkflow]).replay_workflow(history)
    report_n("A13 fresh histories", len(fresh))
    assert len(fresh) >= 3


@pytest.mark.parametrize("file", sorted(KEPT.glob("*.json")), ids=lambda f: f.stem)
def test_a_kept_history_replays_without_a_different_decision(file: Path, report_n: Report) -> None:
    """Written by an earlier version; a run that is under way during an upgrade goes on as it began."""
    history = WorkflowHistory.from_json(file.stem, file.read_text())
    asyncio.run(Replayer(workflows=[RunWorkflow]).replay_workflow(history))
    report_n("A13 kept histories", 1)


async def workflow_of(home: Estate) -> WorkflowHandle[Any, Any]:
    """The workflow of the run under way."""
    client = await Client.connect(address(home))
    return client.get_workflow_handle(f"{home.controller.install.id}/{(await home.scope()).run}")


def address(home: Estate) -> str:
    where = home.controller.install.settings.executor.temporal
    assert where is not None
    return where.address


@asynccontextmanager
async def held(home: Estate, repo: Repo, content: str) -> AsyncIterator[None]:
    """Inside, the run toward `content` waits for the health of what it changed; after it, all is calm."""
    repo.push({SHOP: content})
    reached = home.clock.hold_after(0.5)
    passes = asyncio.create_task(home.settle(60))
    await asyncio.wait_for(reached, 60)
    yield
    home.clock.release()
    await asyncio.wait_for(passes, 120)
    await home.settle(60)


def opened_payloads(kept: str) -> str:
    """The text of a history with every payload in it decoded beside it."""
    found = re.findall(r"'data': '([A-Za-z0-9+/=]+)'", kept)
    return "\n".join([kept, *(base64.b64decode(data).decode("utf-8", "replace") for data in found)])
