"""B1 to B5 on an emulated cluster: every call of a run meets every fault once, and the run still ends as it would have,
or as before; what could not be read is a gap and makes nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.plan.step import Action, OpId, Phase, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, EngineError, FoundState, Refused, Transient, Unclear
from tests.engines.conformance import entry
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import CT, NET, VM, Driver, lxc, vm
from tests.engines.running import Done, Held, ordered

Report = Callable[..., None]
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "reset before": {"kind": "drop"},
    "reset after": {"kind": "drop", "after": True},
    "595": {"kind": "status", "status": 595, "reason": "No route to host"},
    "596 before": {"kind": "status", "status": 596},
    "596 after": {"kind": "status", "status": 596, "after": True},
    "599 after": {"kind": "status", "status": 599, "after": True},
    "lock": {"kind": "status", "status": 500, "reason": "can't lock file '/x' - got timeout"},
    "no quorum": {"kind": "status", "status": 500, "reason": "cluster not ready - no quorum?"},
    "500": {"kind": "status", "status": 500, "reason": "something broke"},
    "500 after": {"kind": "status", "status": 500, "reason": "something broke", "after": True},
    "503": {"kind": "status", "status": 503, "reason": "busy"},
    "429": {"kind": "status", "status": 429, "reason": "too many"},
}
READ_FAULTS = ("reset before", "595", "596 before", "500", "503", "429", "lock", "no quorum")
FATAL: Mapping[str, Mapping[str, Any]] = {
    "400": {"kind": "status", "status": 400, "reason": "Parameter verification failed."},
    "401": {"kind": "status", "status": 401, "reason": "invalid token value!"},
    "403": {"kind": "status", "status": 403, "reason": "Permission check failed (/vms/1, VM.Allocate)"},
    "501": {"kind": "status", "status": 501, "reason": "Method 'X' not implemented"},
}
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
KINDS = {"proxmox/lxc", "proxmox/qemu", "proxmox/pool", "proxmox/backup-job"}


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


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


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("case", sorted(CASES))
async def test_every_write_that_meets_a_fault_ends_as_without_it(
    case: str, fault: str, driver: Driver, report_n: Report
) -> None:
    before, after = CASES[case]
    wanted = await expected(driver, case)
    writes = len(in_order(driver, await driver.effects(*after))) if not before else 12
    for number in range(writes):
        await driver.bring(*before)
        steps = in_order(driver, await driver.effects(*after))
        if number >= len(steps):
            break
        await run(driver, steps[:number])
        sent = len(driver.cluster.changes())
        _arm(driver, FAULTS[fault])
        done = await _rest(driver, steps, number)
        driver.cluster.serving.emulator.world.faults.clear()
        if fault.startswith("500") and done is None:
            assert not fault.endswith("after"), "it had acted, and was found"
        else:
            assert done is not None
            assert shape(driver.cluster.world()) == wanted, (number, steps[number].request["call"])
            assert len(driver.cluster.changes()) - sent == len(steps) - number, "each request acted once"
        await _cleared(driver)
        report_n("B1 proxmox writes", 1)


def _arm(driver: Driver, fault: Mapping[str, Any]) -> None:
    """The next write meets it, whatever it is."""
    world = driver.cluster.serving.emulator.world
    world.faults.clear()
    for method in ("POST", "PUT", "DELETE"):
        driver.cluster.root.control("faults", on="call", method=method, **fault)


async def _rest(driver: Driver, steps: Sequence[Step], number: int) -> list[Done] | None:
    patient = Patient(driver)
    found = []
    for n, step in enumerate(steps[number:], number):
        try:
            found.append(await patient.send(step, OpId(f"sweepstep{n:03}")))
        except Refused:
            return None
        driver.cluster.serving.emulator.world.faults.clear()
    return found


async def _cleared(driver: Driver) -> None:
    driver.cluster.serving.emulator.world.faults.clear()
    await driver.bring()
    for vmid in list(driver.cluster.guests()):
        driver.cluster.root.control("guest", vmid=int(vmid), delete=True)


@pytest.mark.parametrize("fault", sorted(FATAL))
async def test_what_cannot_help_to_repeat_is_refused_and_told(fault: str, driver: Driver, report_n: Report) -> None:
    for case, (before, after) in sorted(CASES.items()):
        await driver.bring(*before)
        world = shape(driver.cluster.world())
        step = in_order(driver, await driver.effects(*after))[0]
        prior = await driver.engine.prior(step, driver.runner.seal)
        _arm(driver, FATAL[fault])
        with pytest.raises(Refused) as told:
            await driver.engine.do(OpId("fatalfault11"), step, prior, driver.runner.values(), Held())
        assert "invalid token" not in str(told.value), "nothing of a failed login is echoed"
        assert shape(driver.cluster.world()) == world, case
        await _cleared(driver)
        report_n("B1 proxmox writes", 1)


@pytest.mark.parametrize("fault", [*READ_FAULTS, "401", "403"])
async def test_what_cannot_be_read_makes_nothing(fault: str, driver: Driver, report_n: Report) -> None:
    """B2: each call of an observe fails once; then either the observe fails, or a gap hides what would be made."""
    entries = (lxc(), vm("vm"), *CASES["pool and job"][1])
    await driver.bring(*entries)
    paths = (
        "/cluster/resources",
        "/access/permissions",
        "/cluster/ha/resources",
        "/pools",
        "/cluster/backup",
        r"/nodes/pve1/lxc/\d+/pending",
        r"/nodes/pve1/qemu/\d+/pending",
    )
    changes = len(driver.cluster.changes())
    for path in paths:
        kind = {**FAULTS, **FATAL}[fault]
        driver.cluster.root.control("faults", on="call", method="GET", path=path, **kind)
        try:
            seen = await driver.look()
        except EngineError:
            pass
        else:
            assert seen.gaps, path
            effects = await driver.engine.preview((), seen, "prod")
            gone = [e for e in effects if e.action is Action.DESTROY]
            hidden = {g.kind for g in seen.gaps}
            assert {e.key.kind for e in await driver.engine.preview((), seen, "prod")} | hidden >= KINDS
            assert len(gone) + len(hidden) >= len(KINDS)
        report_n("B2 proxmox unknown is not absent", 1)
    driver.cluster.serving.emulator.world.faults.clear()
    assert len(driver.cluster.changes()) == changes
    assert await driver.settled(*entries)


async def test_stale_lists_make_no_second_guest_and_no_flapping(driver: Driver, report_n: Report) -> None:
    """B5: the status daemon is half a minute behind."""
    driver.cluster.root.control("settings", resources_lag_s=30.0)
    for n in range(5):
        entries = (lxc(), vm("vm"))
        await driver.bring(*entries)
        assert await driver.settled(*entries), n
        assert len(driver.cluster.guests()) == 2
        stopped = (lxc(specs={**CT, "running": False}), vm("vm"))
        await driver.bring(*stopped)
        assert await driver.settled(*stopped), n
        report_n("B5 proxmox stale reads", 2)


async def test_split_storage_is_told_before_anything_stops(driver: Driver, report_n: Report) -> None:
    """A storage that the node does not have, or that is full: refused by plan or cluster, and nothing is left."""
    small = vm(specs={**VM, "disk": None, "disks": {"scsi0": {"size": "900GB"}}})
    specs = {k: v for k, v in small.specs.items() if v is not None}
    with pytest.raises(Refused, match="does not fit: storage local-lvm"):
        await driver.effects(vm(specs=specs))
    with pytest.raises(Refused, match="memory of node pve1"):
        await driver.effects(vm(specs={**VM, "memory": "65GB"}))
    await driver.bring(vm())
    with pytest.raises(Refused, match="memory of node pve1"):
        await driver.effects(vm(specs={**VM, "memory": "99GB"}))
    with pytest.raises(EngineError):
        await driver.bring(vm(), vm("two", {"cpu": 1, "disks": {"scsi0": {"size": "1GB", "storage": "nowhere"}}}))
    assert len(driver.cluster.guests()) == 1
    report_n("B4 proxmox half-done create", 4)


async def test_a_start_that_fails_is_undone_to_nothing(driver: Driver, report_n: Report) -> None:
    """B4: made, and then it does not start."""
    for kind, wanted in (("vzstart", lxc()), ("qmstart", vm())):
        before = driver.cluster.world()
        steps = in_order(driver, await driver.effects(wanted))
        done = [await Patient(driver).send(s, OpId(f"halfdone{n:04}")) for n, s in enumerate(steps[:-1])]
        driver.cluster.root.control("faults", on="task", type=kind, kind="fail", text="start failed")
        failed = await Patient(driver).send(steps[-1], OpId("halfdone9999"))
        assert failed.receipt.state is ReceiptState.FAILED
        await driver.runner.undo([d for d in done if d.step.phase is not Phase.RETIRE])
        assert shape(driver.cluster.world()) == shape(before)
        report_n("B4 proxmox half-done create", 1)
