"""B1 to B5 on an emulated cluster: every call of a run meets every fault once, and the run still ends as it would have,
or as before; what could not be read is a gap and makes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from controller.plan.step import Action, OpId, Phase, ReceiptState
from engines.engine import EngineError, Refused
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import CT, VM, Driver, lxc, vm
from tests.engines.proxmox.sweeping import CASES, Patient, arm, cleared, expected, in_order, rest, run, shape
from tests.engines.running import Held

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
KINDS = {"proxmox/lxc", "proxmox/qemu", "proxmox/pool", "proxmox/backup-job"}


@pytest.fixture
async def driver(cluster: Cluster) -> AsyncIterator[Driver]:
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


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
        arm(driver, FAULTS[fault])
        done = await rest(driver, steps, number)
        driver.cluster.serving.emulator.world.faults.clear()
        if fault.startswith("500") and done is None:
            assert not fault.endswith("after"), "it had acted, and was found"
        else:
            assert done is not None
            assert shape(driver.cluster.world()) == wanted, (number, steps[number].request["call"])
            assert len(driver.cluster.changes()) - sent == len(steps) - number, "each request acted once"
        await cleared(driver)
        report_n("B1 proxmox writes", 1)


@pytest.mark.parametrize("fault", sorted(FATAL))
async def test_what_cannot_help_to_repeat_is_refused_and_told(fault: str, driver: Driver, report_n: Report) -> None:
    for case, (before, after) in sorted(CASES.items()):
        await driver.bring(*before)
        world = shape(driver.cluster.world())
        step = in_order(driver, await driver.effects(*after))[0]
        prior = await driver.engine.prior(step, driver.runner.seal)
        arm(driver, FATAL[fault])
        with pytest.raises(Refused) as told:
            await driver.engine.do(OpId("fatalfault11"), step, prior, driver.runner.values(), Held())
        assert "invalid token" not in str(told.value), "nothing of a failed login is echoed"
        assert shape(driver.cluster.world()) == world, case
        await cleared(driver)
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
