"""Workers: UPID, status, log, faults."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.proxmox.client import Client

VM = "/nodes/pve1/qemu/100"


@pytest.fixture
def vm(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, name="web"))
    return VM


def slow(pve: Client, seconds: float = 10) -> None:
    pve.control("settings", task_length_s={"*": seconds})


def fault(pve: Client, kind: str, **values: Any) -> None:
    pve.control("faults", on="task", kind=kind, **values)


def test_a_upid_has_the_official_shape(pve: Client) -> None:
    upid = pve.post("/nodes/pve1/qemu", vmid=100)
    assert re.fullmatch(r"UPID:pve1:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:qmcreate:100:root@pam:", upid)


def test_a_running_task_has_no_exit_status_and_a_finished_one_has(pve: Client, vm: str) -> None:
    slow(pve)
    upid = pve.post(f"{vm}/status/start")
    assert pve.task(upid)["status"] == "running"
    assert "exitstatus" not in pve.task(upid)
    assert pve.get(f"{vm}/status/current")["status"] == "stopped"
    pve.advance(10)
    assert pve.done(upid) == "OK"
    assert pve.get(f"{vm}/status/current")["status"] == "running"


def test_an_accepted_task_may_still_fail_and_its_log_ends_with_the_error(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    upid = pve.post(f"{vm}/status/start")
    assert pve.done(upid) == "VM 100 already running"
    assert pve.log(upid)[-1] == "TASK ERROR: VM 100 already running"


def test_a_task_fails_with_the_text_it_was_told_and_undoes_its_half(pve: Client) -> None:
    fault(pve, "fail", type="qmcreate", text="can't lock file\n'x' - got timeout")
    upid = pve.post("/nodes/pve1/qemu", vmid=100, scsi0="local-lvm:4")
    assert pve.done(upid) == "can't lock file 'x' - got timeout"
    assert pve.get("/cluster/resources", type="vm") == []
    assert pve.get("/nodes/pve1/storage/local-lvm/content") == []


def test_a_hanging_task_never_ends_until_it_is_stopped(pve: Client, vm: str) -> None:
    fault(pve, "hang", type="qmstart")
    upid = pve.post(f"{vm}/status/start")
    pve.advance(7000)
    assert pve.task(upid)["status"] == "running"
    assert pve.delete(f"/nodes/pve1/tasks/{upid}") is None
    assert pve.done(upid) == "interrupted by signal"


def test_a_worker_that_dies_leaves_its_lock(pve: Client, vm: str) -> None:
    fault(pve, "die", type="qmsnapshot")
    upid = pve.post(f"{vm}/snapshot", snapname="s1")
    assert pve.done(upid) == "unexpected status"
    assert pve.get(f"{vm}/config")["lock"] == "snapshot"
    assert pve.call("PUT", f"{vm}/config", cores=2).reason == "VM is locked (snapshot)"


def test_warnings_are_a_success_of_their_own(pve: Client, vm: str) -> None:
    fault(pve, "warn", type="qmstart", count=2)
    upid = pve.post(f"{vm}/status/start")
    assert pve.done(upid) == "WARNINGS: 2"
    assert pve.log(upid)[-1] == "TASK WARNINGS: 2"


def test_a_fault_can_make_one_task_slow_and_is_used_up(pve: Client, vm: str) -> None:
    fault(pve, "slow", type="qmstart", id="100", length_s=600)
    upid = pve.post(f"{vm}/status/start")
    pve.advance(599)
    assert pve.task(upid)["status"] == "running"
    pve.advance(1)
    pve.ok(upid)
    pve.ok(pve.post(f"{vm}/status/stop"))


def test_progress_shows_in_the_log_while_the_task_runs(pve: Client, vm: str) -> None:
    slow(pve)
    upid = pve.post(f"{vm}/clone", newid=101)
    pve.advance(5)
    assert pve.log(upid)[-1] == "transferred (50.00%)"
    pve.advance(5)
    assert pve.log(upid)[-2:] == ["transferred (100.00%)", "TASK OK"]


def test_a_log_comes_in_pages_of_fifty(pve: Client, vm: str) -> None:
    fault(pve, "warn", type="qmstart", lines=200, count=0)
    upid = pve.post(f"{vm}/status/start")
    assert (len(pve.log(upid)), len(pve.log(upid, start=50, limit=100)), len(pve.log(upid, limit=0))) == (50, 100, 201)
    assert pve.call("GET", f"/nodes/pve1/tasks/{upid}/log").body["total"] == 201


def test_an_empty_log_is_one_line(pve: Client) -> None:
    slow(pve)
    assert pve.log(pve.post("/nodes/pve1/qemu", vmid=100)) == ["no content"]


def test_an_unknown_task_is_400_and_a_malformed_one_500(pve: Client) -> None:
    unknown = pve.call("GET", "/nodes/pve1/tasks/UPID:pve1:00000001:00000001:00000001:qmstart:1:root@pam:/status")
    assert (unknown.status, unknown.errors) == (400, {"upid": "no such task"})
    assert pve.call("GET", "/nodes/pve1/tasks/nonsense/status").status in (400, 500)


def test_the_archive_hides_running_tasks(pve: Client, vm: str) -> None:
    slow(pve)
    running = pve.post(f"{vm}/status/start")
    tasks = "/nodes/pve1/tasks"
    assert running not in [row["upid"] for row in pve.get(tasks)]
    assert [(row["upid"], row["status"]) for row in pve.get(tasks, source="active")] == [(running, "RUNNING")]
    assert pve.get(tasks, source="all")[0]["upid"] == running


def test_a_task_of_a_token_names_user_and_token_apart(pve: Client, vm: str) -> None:
    made = pve.post("/access/users/root@pam/token/ctl", privsep=0)
    token = Client(pve.url, {"Authorization": f"PVEAPIToken={made['full-tokenid']}={made['value']}"})
    task = pve.task(token.post(f"{vm}/status/start"))
    assert (task["user"], task["tokenid"]) == ("root@pam", "ctl")
    token.close()


def test_workers_of_a_node_that_dies_end_with_unexpected_status(pve: Client, vm: str) -> None:
    slow(pve)
    upid = pve.post(f"{vm}/status/start")
    pve.control("node", name="pve1", online=False)
    pve.advance(20)
    pve.control("node", name="pve1", online=True)
    assert pve.done(upid) == "unexpected status"
