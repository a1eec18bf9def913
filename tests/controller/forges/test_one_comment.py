"""A7: whatever fails while our comment is written, there is one in the end, ours, and nobody else's is touched."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from controller.forges.forge import Account, Forge, ForgeBinding, ForgeUnavailable
from controller.forges.local import LocalForge
from controller.forges.marker import hidden_line
from tests.controller.forges.bare_git import BareGit
from tests.controller.forges.fake_forge import Fault, Killed, in_turn
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.memory_forges import FORGES, forge_over
from tests.controller.forges.memory_store import MemoryStore

MARKER = "alma:infra:1"
FORGED = f"{hidden_line(MARKER)}\nforged"
Report = Callable[..., None]


@dataclass
class Scene:
    """Where writing starts, and the id that the runtime remembers."""

    server: FakeRepository
    number: int
    comment_id: str | None = None
    foreign: dict[int, str] = field(default_factory=dict)


def nothing_there(kind: str) -> Scene:
    server = FORGES[kind]()
    return Scene(server, server.add_pull("ipr/one"))


def ours_there(kind: str) -> Scene:
    scene = nothing_there(kind)
    scene.server.say(scene.number, 1, f"{hidden_line(MARKER)}\nbefore")
    return scene


def ours_known(kind: str) -> Scene:
    scene = ours_there(kind)
    scene.comment_id = str(max(scene.server.comments))
    return scene


def ours_deleted(kind: str) -> Scene:
    scene = ours_known(kind)
    del scene.server.comments[int(str(scene.comment_id))]
    return scene


def forged_first(kind: str) -> Scene:
    scene = nothing_there(kind)
    scene.foreign[scene.server.say(scene.number, 2, FORGED)] = FORGED
    scene.comment_id = str(next(iter(scene.foreign)))
    return scene


def twins_there(kind: str) -> Scene:
    scene = ours_there(kind)
    scene.server.say(scene.number, 1, f"{hidden_line(MARKER)}\nbefore too")
    scene.foreign[scene.server.say(scene.number, 3, FORGED)] = FORGED
    return scene


SCENES = (nothing_there, ours_there, ours_known, ours_deleted, forged_first, twins_there)


async def written(scene: Scene, forge: Forge) -> None:
    """As the runtime does it: later when it may, and after a kill in a new process."""
    for _ in range(50):
        try:
            await forge.write_comment(scene.number, MARKER, "final", scene.comment_id)
            return
        except ForgeUnavailable as unavailable:
            await scene.server.clock.sleep(unavailable.retry_after_s)
        except Killed:
            forge = scene.server.forge()
    raise AssertionError("never written")


def wrong_with(scene: Scene) -> list[str]:
    """What A7 forbids, in words; empty if all is well."""
    ours = scene.server.bodies(scene.number, 1)
    found = [] if ours == [f"{hidden_line(MARKER)}\nfinal"] else [f"ours: {ours}"]
    for comment_id, body in scene.foreign.items():
        there = scene.server.comments.get(comment_id)
        if there is None or there.body != body:
            found.append(f"foreign comment {comment_id} touched")
    return found


@pytest.mark.parametrize("kind", FORGES)
async def test_one_fault_at_every_request_leaves_one_comment(kind: str, report_n: Report) -> None:
    points, failures = 0, []
    for make in SCENES:
        for fault in Fault:
            for at in range(20):
                scene = make(kind)
                scene.server.fault = in_turn({at: fault})
                await written(scene, scene.server.forge())
                if not any(seen.fault for seen in scene.server.ledger):
                    break  # it needed fewer requests than that
                points += 1
                failures += [f"{make.__name__} {fault} at {at}: {w}" for w in wrong_with(scene)]
    report_n(f"A7 {kind}", points, len(failures))
    assert failures == []
    assert points >= 300


@pytest.mark.parametrize("kind", FORGES)
async def test_two_faults_in_a_row_leave_one_comment(kind: str, report_n: Report) -> None:
    draw = random.Random(7)
    failures = []
    for _ in range(300):
        scene = draw.choice(SCENES)(kind)
        plan = {draw.randrange(8): draw.choice(list(Fault)) for _ in range(3)}
        scene.server.fault = in_turn(plan)
        await written(scene, scene.server.forge())
        failures += [f"{plan}: {w}" for w in wrong_with(scene)]
    report_n(f"A7 {kind}", 300, len(failures))
    assert failures == []


@pytest.mark.parametrize("kind", FORGES)
async def test_two_controllers_leave_one_comment(kind: str, report_n: Report) -> None:
    failures = []
    for seed in range(200):
        draw = random.Random(seed)
        scene = draw.choice(SCENES)(kind)

        async def slowly(request: httpx2.Request, scene: Scene = scene, draw: random.Random = draw) -> httpx2.Response:
            for _ in range(draw.randrange(5)):
                await asyncio.sleep(0)
            answer = scene.server.handle(request)
            for _ in range(draw.randrange(5)):
                await asyncio.sleep(0)
            return answer

        forges = [forge_over(scene.server, httpx2.MockTransport(slowly)) for _ in range(2)]
        await asyncio.gather(*(written(scene, forge) for forge in forges))
        failures += [f"seed {seed}: {w}" for w in wrong_with(scene)]
    report_n(f"A7 {kind}", 200, len(failures))
    assert failures == []


@pytest.fixture
async def git(tmp_path: Path) -> BareGit:
    git = BareGit(tmp_path / "infra.git")
    await git.init()
    await git.push("ipr/one")
    return git


async def test_a_kill_at_every_write_of_the_built_in_forge_leaves_one_comment(git: BareGit, report_n: Report) -> None:
    ada, points, failures = Account("os:ada", "ada"), 0, []
    for round_number in range(75):
        for after in (False, True):
            for deed in range(2):
                store = MemoryStore()
                binding = ForgeBinding("infra", "", "main", {}, store=store, git=git)
                await LocalForge.open(binding).pulls()
                foreign = await LocalForge.open(binding).comment(1, ada, FORGED)
                for edit in range(deed + round_number % 3):
                    await LocalForge.open(binding).write_comment(1, MARKER, f"before {edit}")
                store.dies_at, store.dies_after = store.puts + 1, after
                with pytest.raises(Killed):
                    await LocalForge.open(binding).write_comment(1, MARKER, "final", foreign.id)
                await LocalForge.open(binding).write_comment(1, MARKER, "final", foreign.id)
                bodies = [(c.author.id, c.body) for c in await LocalForge.open(binding).comments(1)]
                points += 1
                if bodies != [("os:ada", FORGED), ("alma", f"{hidden_line(MARKER)}\nfinal")]:
                    failures.append(bodies)
    report_n("A7 local", points, len(failures))
    assert failures == []


@pytest.mark.parametrize("kind", FORGES)
async def test_a_comment_deleted_while_it_is_edited_is_written_anew(kind: str) -> None:
    scene = ours_known(kind)
    gone = int(str(scene.comment_id))

    def deletes(method: str, path: str) -> None:
        if method in ("PATCH", "PUT"):
            scene.server.comments.pop(gone, None)

    scene.server.fault = deletes
    await written(scene, scene.server.forge())
    assert wrong_with(scene) == []
