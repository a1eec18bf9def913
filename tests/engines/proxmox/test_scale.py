"""Fifty guests at once, and what five hundred cost when there is nothing to do: calls are counted, time is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from controller.plan.resource import Mark
from controller.plan.step import Effect, OpId, Phase, ReceiptState, Step
from engines.proxmox import marks
from engines.proxmox.kinds import KINDS
from tests.engines.conformance import SCOPE
from tests.engines.proxmox.cluster import INSTALL, Cluster
from tests.engines.proxmox.driving import CT, VM, Driver, lxc, vm
from tests.engines.running import Held, ordered
from tests.proxmox.world import Guest

Report = Callable[..., None]
IN_FLIGHT = 8
MANY = 500
FULL_PASS_S = 600


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster, full_pass=f"{FULL_PASS_S}s", vmids="5000-5999")
    yield driven
    await driven.engine.close()


async def side_by_side(driver: Driver, effects: Sequence[Effect]) -> int:
    """Each effect's steps in order, at most IN_FLIGHT effects at once, phase by phase; how many steps were sent."""
    slots, numbers = asyncio.Semaphore(IN_FLIGHT), iter(range(10_000))

    async def send(step: Step) -> None:
        prior = await driver.engine.prior(step, driver.runner.seal)
        op = OpId(f"atonce{driver.runs:02}{next(numbers):04}")
        receipt = await driver.engine.do(op, step, prior, driver.runner.values(), Held())
        while receipt.state is ReceiptState.RUNNING:
            receipt = await driver.engine.poll(receipt)
        assert receipt.state is ReceiptState.DONE, receipt

    async def leg(steps: Sequence[Step]) -> None:
        async with slots:
            for step in steps:
                await send(step)

    driver.runs += 1
    sent = 0
    for phase in Phase:
        legs = [[s for _, s in ordered([e], "run1") if s.phase is phase] for e in effects]
        await asyncio.gather(*(leg(steps) for steps in legs))
        sent += sum(map(len, legs))
    return sent


async def test_fifty_guests_are_made_changed_and_destroyed_side_by_side(driver: Driver, report_n: Report) -> None:
    def fifty(**more: object) -> list[object]:
        cts = [lxc(f"c{n:02}", {**CT, "memory": "128MB", "disk": "1GB", **more}) for n in range(25)]
        return [*cts, *(vm(f"v{n:02}", {**VM, "memory": "128MB", "disk": "1GB", **more}) for n in range(25))]

    for state in (fifty(), fifty(tags=["changed"], onboot=True), []):
        sent = await side_by_side(driver, await driver.effects(*state))  # type: ignore[arg-type]  # entries
        assert await driver.settled(*state)  # type: ignore[arg-type]  # entries
        assert len(driver.cluster.guests()) == len(state)
        assert len({g["config"].get("tags") for g in driver.cluster.guests().values()}) <= 1
        report_n("proxmox: 50 guests at once, steps", sent)


def furnished(cluster: Cluster) -> list[object]:
    """Five hundred containers that ALMA made, as they would lie there, and the entries that want them."""
    world = cluster.serving.emulator.world
    entries = [lxc(f"c{n:03}", {**CT, "memory": "128MB"}) for n in range(MANY)]
    fields = frozenset({"memory", "rootfs.size", "running", "unprivileged"})
    for n, one in enumerate(entries):
        name, vmid, op = KINDS["lxc"].key(one, SCOPE).name, 5000 + n, f"op{n:010}"
        marker = marks.Marker(Mark(INSTALL, SCOPE, one.id, op, fields=fields), op)
        config = {
            "hostname": name,
            "memory": "128",
            "rootfs": f"local-lvm:vm-{vmid}-disk-0,size=4G",
            "unprivileged": "1",
            "tags": "alma",
            "description": marks.with_marker("", marker),
        }
        world.guests[vmid] = Guest(vmid, "lxc", f"pve{n % 3 + 1}", config, running=True)
    return [*entries]


async def test_five_hundred_guests_with_nothing_to_do_cost_a_handful_of_calls(driver: Driver, report_n: Report) -> None:
    entries = furnished(driver.cluster)
    counts = []
    for _ in range(3):
        before = driver.cluster.calls()
        assert await driver.settled(*entries)  # type: ignore[arg-type]  # entries
        counts.append(driver.cluster.calls() - before)
        driver.cluster.advance(60)
    assert counts[0] <= 1.1 * MANY, "the first pass reads each guest once"
    assert max(counts[1:]) <= 10
    driver.cluster.advance(FULL_PASS_S)
    before = driver.cluster.calls()
    assert await driver.settled(*entries)  # type: ignore[arg-type]  # entries
    assert driver.cluster.calls() - before <= 1.1 * MANY
    report_n("proxmox: calls of a full pass over 500 guests", counts[0])
    report_n("proxmox: calls of a quick pass over 500 guests", max(counts[1:]))


async def test_both_passes_find_their_drifts(driver: Driver, report_n: Report) -> None:
    entries = furnished(driver.cluster)
    assert await driver.settled(*entries)  # type: ignore[arg-type]  # entries
    root = driver.cluster.root
    base = "/nodes/pve1/lxc"
    root.post(f"{base}/5000/status/stop")
    root.put(f"{base}/5003/config", tags="")
    root.put(f"{base}/5006/config", memory=64)
    root.control("guest", vmid=5009, delete=True)
    root.control("guest", vmid=5012, node="pve2")
    quick = {e.key.name[-4:] for e in await driver.effects(*entries) if e.steps}  # type: ignore[arg-type]  # entries
    assert quick == {"c000", "c006", "c009"}, "stopped, another size, gone; a moved one is no drift"
    root.put(f"{base}/5015/config", cpuunits=7)
    root.put(f"{base}/5018/config", unprivileged=1, description="by hand")
    driver.cluster.advance(FULL_PASS_S)
    full = {e.key.name[-4:] for e in await driver.effects(*entries) if e.steps}  # type: ignore[arg-type]  # entries
    assert full == {"c000", "c006", "c009", "c018"}, "the notes with our marker were overwritten"
    report_n("proxmox: drifts found", 4)
