"""What a sweep of faults over the calls of a run needs: cases, a sender that goes on as the executor does, the world as
it compares, and the next write's fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.blueprint.entry import Entry
from controller.plan.step import OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, FoundState, Refused, Transient, Unclear
from tests.engines.conformance import entry
from tests.engines.proxmox.driving import CT, NET, VM, Driver, lxc, vm
from tests.engines.running import Done, Held, ordered

BASE = vm("base", {**VM, "template": True})
CASES: Mapping[str, tuple[tuple[Entry, ...], tuple[Entry, ...]]] = {
    "create": ((), (lxc(), vm("vm", {**VM, **NET}))),
    "change": ((vm(specs={**VM, "snapshot": True}),), (vm(specs={**VM, "cpu": 4, "snapshot": True}),)),
    "clone": ((BASE,), (BASE, vm(specs={"clone": "base", "disk": "16GB"}))),
    "destroy": ((lxc(),), ()),
    "pool and job": (
        (),
        (
            entry("a", "pool"),
            entry("job", "backup-job", specs={"schedule": "02:00", "storage": "local", "pool": "a"}),
        ),
    ),
    "firewall": ((lxc(),), (lxc(specs={**CT, "firewall": {"enable": True, "rules": [{"action": "DROP"}]}}),)),
}
SEND = 6


class Patient:
    """Sends one step as the executor does: Transient again, Unclear by `find`, Conflict by a new `prior`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.engine = driver.engine

    async def send(self, step: Step, op: OpId) -> Done:
        prior, receipt = await self._sent(step, op)
        for _ in range(100):
            if receipt.state is ReceiptState.VANISHED:
                prior, receipt = await self._sent(step, op)
            if receipt.state is not ReceiptState.RUNNING:
                break
            await self.driver.pause()
            receipt = await self._reads(lambda r=receipt: self.engine.poll(r))  # type: ignore[misc]  # bound now
        return Done(op, step, prior, receipt)

    async def _sent(self, step: Step, op: OpId) -> tuple[Prior, Receipt]:
        for _ in range(SEND):
            prior: Prior = await self._reads(lambda: self.engine.prior(step, self.driver.runner.seal))
            try:
                return prior, await self.engine.do(op, step, prior, self.driver.runner.values(), Held())
            except Unclear:
                found = await self._reads(lambda: self.engine.find(op, step))
                if found.receipt is not None:
                    return prior, found.receipt
                assert found.state is FoundState.NOT_YET
            except (Transient, Conflict):
                await self.driver.pause()
        raise AssertionError(f"{step.request['call']} never went out")

    async def _reads(self, ask: Callable[[], Any]) -> Any:
        for _ in range(SEND):
            try:
                return await ask()
            except (Transient, Unclear):
                await self.driver.pause()
        raise AssertionError("never readable")


async def run(driver: Driver, steps: Sequence[Step]) -> list[Done]:
    patient = Patient(driver)
    return [await patient.send(step, OpId(f"sweepstep{n:03}")) for n, step in enumerate(steps)]


def in_order(driver: Driver, effects: Any) -> list[Step]:
    return [s for _, s in ordered(effects, "run1")]


def shape(world: Mapping[str, Any]) -> object:
    """The world without what every run draws anew."""
    guests = {
        v: {
            k: re.sub(r"<!-- alma .* -->|BC:24:11:[0-9A-F:]+", "", str(t)) for k, t in g["config"].items() if k in _KEPT
        }
        for v, g in world["guests"].items()
    }
    volumes = sorted((v["volid"], v["size_bytes"]) for v in world["volumes"])
    jobs = {n: {k: t for k, t in j.items() if k != "comment"} for n, j in world["jobs"].items()}
    running = {v: g["running"] for v, g in world["guests"].items()}
    walls = {n: f["rules"] for n, f in world["firewalls"].items() if f["rules"]}
    return guests, volumes, jobs, running, walls, sorted(world["pools"])


_DRAWN = re.compile(r"<!-- alma .* -->|BC:24:11:[0-9A-F:]+")
_KEPT = ("cores", "memory", "hostname", "name", "scsi0", "rootfs", "net0", "template", "lock", "tags", "description")


async def expected(driver: Driver, case: str) -> object:
    """The world as an undisturbed run leaves it; then put back as it was before."""
    before, after = CASES[case]
    await driver.bring(*before)
    effects = await driver.effects(*after)
    await run(driver, in_order(driver, effects))
    told = shape(driver.cluster.world())
    await driver.bring()
    return told


def arm(driver: Driver, fault: Mapping[str, Any]) -> None:
    """The next write meets it, whatever it is."""
    world = driver.cluster.serving.emulator.world
    world.faults.clear()
    for method in ("POST", "PUT", "DELETE"):
        driver.cluster.root.control("faults", on="call", method=method, **fault)


async def rest(driver: Driver, steps: Sequence[Step], number: int) -> list[Done] | None:
    patient = Patient(driver)
    found = []
    for n, step in enumerate(steps[number:], number):
        try:
            found.append(await patient.send(step, OpId(f"sweepstep{n:03}")))
        except Refused:
            return None
        driver.cluster.serving.emulator.world.faults.clear()
    return found


async def cleared(driver: Driver) -> None:
    driver.cluster.serving.emulator.world.faults.clear()
    await driver.bring()
    for vmid in list(driver.cluster.guests()):
        driver.cluster.root.control("guest", vmid=int(vmid), delete=True)
