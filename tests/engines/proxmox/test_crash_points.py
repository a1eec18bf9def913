"""A5: a long task over a crash. The process dies in each of six phases of a step; the task goes on, ends well, fails,
or is forgotten by the cluster; the next process finds out, and nothing is made twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest

from controller.plan.step import OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import EngineError, FoundState
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import VM, Driver, lxc, vm
from tests.engines.running import Held

Report = Callable[..., None]
ROW = "A5 proxmox task over a crash"
OP = OpId("crashpoint11")
LONG_S = 60.0
PHASES = ("p1 planned", "p2 intended", "p3 answer lost", "p4 answered", "p5 polled", "p6 ended")
OUTCOMES = ("running", "ended", "failed", "vanished")
# Call → type of its task, path of its request.
CALLS: Mapping[str, tuple[str, str]] = {
    "guest.create": ("vzcreate", "/nodes/pve1/lxc"),
    "guest.clone": ("qmclone", r"/nodes/pve1/qemu/\d+/clone"),
    "guest.start": ("vzstart", r"/nodes/pve1/lxc/\d+/status/start"),
    "guest.resize": ("resize", r"/nodes/pve1/lxc/\d+/resize"),
    "guest.destroy": ("vzdestroy", r"/nodes/pve1/lxc/\d+"),
}
BASE = vm("base", {**VM, "template": True})


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


async def step_of(driver: Driver, call: str) -> Step:
    """A step of this kind that is next to be sent."""
    if call == "guest.clone":
        await driver.bring(BASE)
        planned = await driver.steps(BASE, vm(specs={"clone": "base"}))
    elif call == "guest.create":
        planned = await driver.steps(lxc())
    else:
        stopped = call != "guest.resize"
        specs = {"image": lxc().specs["image"], "memory": "256MB", "disk": "4GB", "running": not stopped}
        await driver.bring(lxc(specs=specs))
        wanted = {"guest.start": [lxc()], "guest.resize": [lxc(specs={**specs, "disk": "8GB"})], "guest.destroy": []}
        planned = await driver.steps(*wanted[call])
        before = [s for s in planned if s.request["call"] == "guest.config"]
        await driver.runner.send(before[0]) if before else None
    return next(s for s in planned if s.request["call"] == call)


@dataclass(slots=True)
class Left:
    """What the process that died had written down."""

    prior: Prior | None = None
    receipt: Receipt | None = None


async def die(driver: Driver, step: Step, call: str, phase: str) -> Left:
    """The first process, up to its end."""
    left = Left()
    if phase == PHASES[0]:
        return left
    left.prior = await driver.engine.prior(step, driver.runner.seal)
    if phase == PHASES[1]:
        return left
    if phase == PHASES[2]:
        path, method = CALLS[call][1], "DELETE" if call == "guest.destroy" else "PUT" if "resize" in call else "POST"
        driver.cluster.root.control("faults", on="call", kind="drop", method=method, path=path, after=True)
        with pytest.raises(EngineError):
            await driver.engine.do(OP, step, left.prior, driver.runner.values(), Held())
        return left
    receipt = await driver.engine.do(OP, step, left.prior, driver.runner.values(), Held())
    if phase in PHASES[4:]:
        left.receipt = receipt
    return left


def happen(driver: Driver, outcome: str, phase: str) -> None:
    """What becomes of the task while nobody looks."""
    if outcome != "running" or phase == PHASES[5]:
        driver.cluster.advance(LONG_S + 1)
        driver.cluster.calls()
    if outcome == "vanished":
        driver.cluster.serving.emulator.world.tasks.clear()


async def resume(driver: Driver, step: Step, left: Left) -> Receipt:
    """The next process, as the executor goes on: find what was intended, poll what is known, send what never acted."""
    engine, receipt = driver.cluster.engine(), left.receipt
    if left.prior is not None and receipt is None:
        found = await engine.find(OP, step)
        assert found.state is not FoundState.TAKEN
        receipt = found.receipt
    for _ in range(20):
        if receipt is None or receipt.state is ReceiptState.VANISHED:
            prior = await engine.prior(step, driver.runner.seal) if receipt is None else left.prior
            assert prior is not None
            receipt = await engine.do(OP, step, prior, driver.runner.values(), Held())
        if receipt.state in (ReceiptState.DONE, ReceiptState.FAILED):
            break
        driver.cluster.advance(11)
        receipt = await engine.poll(receipt)
    await engine.close()
    assert receipt is not None
    return receipt


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("call", sorted(CALLS))
async def test_a_task_over_a_crash_has_one_effect(
    call: str, phase: str, outcome: str, driver: Driver, report_n: Report
) -> None:
    step = await step_of(driver, call)
    kind = CALLS[call][0]
    driver.cluster.root.control("settings", task_length_s={"*": 0.0, kind: LONG_S})
    sent = phase not in PHASES[:2]
    if outcome == "failed" and sent:
        driver.cluster.root.control("faults", on="task", type=kind, kind="fail", text="no space left on device")
    already = len(driver.cluster.changes())
    left = await die(driver, step, call, phase)
    happen(driver, outcome, phase)
    receipt = await resume(driver, step, left)
    # What a dead destroy leaves shows on the guest; what a failed create leaves is nothing.
    told = outcome == "failed" and sent and (left.receipt is not None or call == "guest.destroy")
    assert receipt.state is (ReceiptState.FAILED if told else ReceiptState.DONE), receipt
    requests = len(driver.cluster.changes()) - already
    # One that failed before its receipt was written left nothing to find, so the next process sends it once more.
    again = outcome == "failed" and sent and not told
    assert requests == (2 if again else 1)
    names = [g["config"].get("hostname") or g["config"].get("name") for g in driver.cluster.guests().values()]
    assert len(names) == len(set(names)), "nothing was made twice"
    if call == "guest.destroy" and not told:
        assert names == [], "over when the task is, not when the marker is gone"
    report_n(ROW, 1)


async def test_a_create_whose_worker_died_half_way_is_told_and_not_made_again(driver: Driver, report_n: Report) -> None:
    """Only root may remove a guest that is locked by a dead create, so a person is told how."""
    step = await step_of(driver, "guest.create")
    driver.cluster.root.control("faults", on="task", type="vzcreate", kind="die")
    prior = await driver.engine.prior(step, driver.runner.seal)
    await driver.engine.do(OP, step, prior, driver.runner.values(), Held())
    found = await driver.cluster.engine().find(OP, step)
    assert found.receipt
    assert found.receipt.state is ReceiptState.FAILED
    assert "half made" in found.receipt.message
    assert len(driver.cluster.changes()) == 1
    report_n(ROW, 1)
