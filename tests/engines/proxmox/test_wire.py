"""B1 where the bytes go wrong: an answer that ends in the middle, is no JSON any more, comes one byte at a time or says
something else. What was asked for is then unknown, never absent, and what was sent acts once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from controller.plan.step import Action
from engines.engine import EngineError
from engines.proxmox import client
from tests.engines.proxmox.cluster import Cluster
from tests.engines.proxmox.driving import Driver, lxc, vm
from tests.engines.proxmox.sweeping import CASES, arm, cleared, expected, in_order, rest, run, shape

Report = Callable[..., None]
ROW = "B1 proxmox at the wire"
SLOW = {"kind": "slow", "delay_s": 0.4}
WRITES: Mapping[str, Mapping[str, Any]] = {
    "reset in the answer": {"kind": "reset"},
    "cut JSON": {"kind": "cut"},
    "wrong schema": {"kind": "body", "body": '{"data":{"a":1}}'},
    "no data": {"kind": "body", "body": "{}"},
    "one byte at a time": SLOW,
}
READS: Mapping[str, Mapping[str, Any]] = {
    **WRITES,
    "empty rows": {"kind": "body", "body": '{"data":[{}]}'},
    "null": {"kind": "body", "body": '{"data":null}'},
    "text": {"kind": "body", "body": '{"data":"well"}'},
    "no JSON": {"kind": "body", "body": "<html>502</html>"},
    "rows of others": {"kind": "body", "body": '{"data":[{"type":"qemu","key":"name","value":1}]}'},
}
PATHS = (
    "/cluster/resources",
    "/access/permissions",
    "/cluster/ha/resources",
    "/pools",
    "/cluster/backup",
    r"/nodes/pve1/lxc/\d+/pending",
    r"/nodes/pve1/qemu/\d+/pending",
)


@pytest.fixture
async def driver(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Driver]:
    monkeypatch.setattr(client, "BODY_TIMEOUT_S", 0.2)  # before the second byte of a slow answer
    driven = Driver(cluster)
    yield driven
    await driven.engine.close()


@pytest.mark.parametrize("fault", sorted(WRITES))
@pytest.mark.parametrize("case", sorted(CASES))
async def test_a_write_whose_answer_is_spoilt_acts_once(
    case: str, fault: str, driver: Driver, report_n: Report
) -> None:
    before, after = CASES[case]
    wanted = await expected(driver, case)
    for number in range(12):
        await driver.bring(*before)
        steps = in_order(driver, await driver.effects(*after))
        if number >= len(steps):
            break
        await run(driver, steps[:number])
        sent = len(driver.cluster.changes())
        arm(driver, WRITES[fault])
        assert await rest(driver, steps, number) is not None
        assert shape(driver.cluster.world()) == wanted, (number, steps[number].request["call"])
        assert len(driver.cluster.changes()) - sent == len(steps) - number, "each request acted once"
        await cleared(driver)
        report_n(ROW, 1)


@pytest.mark.parametrize("fault", sorted(READS))
async def test_a_list_whose_answer_is_spoilt_makes_and_removes_nothing(
    fault: str, driver: Driver, report_n: Report
) -> None:
    entries = (lxc(), vm("vm"), *CASES["pool and job"][1])
    await driver.bring(*entries)
    changes = len(driver.cluster.changes())
    for path in PATHS:
        driver.cluster.root.control("faults", on="call", method="GET", path=path, **READS[fault])
        try:
            effects = await driver.effects(*entries)
        except EngineError as error:
            told = str(error)
            assert any(w in told for w in ("answer", "does not tell", "without its digest", "lists no node")), told
        else:
            assert not [e for e in effects if e.action in (Action.CREATE, Action.DESTROY) and e.steps], path
        driver.cluster.serving.emulator.world.faults.clear()
        report_n(ROW, 1)
    assert len(driver.cluster.changes()) == changes
    assert await driver.settled(*entries)


@pytest.mark.parametrize("fault", ["cut JSON", "empty rows"])
async def test_each_reading_of_a_run_that_is_spoilt_once_is_read_again(
    fault: str, driver: Driver, report_n: Report
) -> None:
    """The k-th reading of the run, for every k."""
    wanted = await expected(driver, "create")
    for k in range(100):
        steps = in_order(driver, await driver.effects(*CASES["create"][1]))
        sent = len(driver.cluster.changes())
        driver.cluster.root.control("faults", on="call", method="GET", skip=k, **READS[fault])
        await run(driver, steps)
        reached = not driver.cluster.serving.emulator.world.faults
        assert shape(driver.cluster.world()) == wanted, k
        assert len(driver.cluster.changes()) - sent == len(steps), k
        await cleared(driver)
        if not reached:
            break
        report_n(ROW, 1)
    assert 10 < k < 99
