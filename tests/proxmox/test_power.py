"""Power, the guest agent, migration, high availability, nodes that die."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxmox.client import Client

VM = "/nodes/pve1/qemu/100"
CT = "/nodes/pve1/lxc/200"
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
HA = "/cluster/ha/resources"


@pytest.fixture
def vm(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, name="web", agent=1, scsi0="ceph:8", net0="virtio,bridge=vmbr0"))
    return VM


@pytest.fixture
def running(pve: Client, vm: str) -> str:
    pve.ok(pve.post(f"{vm}/status/start"))
    return vm


@pytest.fixture
def ct(pve: Client) -> str:
    options = {"rootfs": "ceph:4", "net0": "name=eth0,bridge=vmbr0"}
    pve.ok(pve.post("/nodes/pve1/lxc", vmid=200, ostemplate=TEMPLATE, **options))
    return CT


def status(pve: Client, path: str = VM) -> dict[str, Any]:
    found: dict[str, Any] = pve.get(f"{path}/status/current")
    return found


def node_of(pve: Client, vmid: int = 100) -> str:
    return next(str(row["node"]) for row in pve.get("/cluster/resources", type="vm") if row["vmid"] == vmid)


def test_a_vm_starts_and_stops_and_stopping_twice_is_fine(pve: Client, running: str) -> None:
    assert (status(pve)["status"], status(pve)["qmpstatus"], status(pve)["agent"]) == ("running", "running", 1)
    pve.ok(pve.post(f"{running}/status/stop"))
    pve.ok(pve.post(f"{running}/status/stop"))
    assert status(pve)["status"] == "stopped"


def test_a_container_refuses_at_once_what_a_vm_refuses_in_its_task(pve: Client, ct: str) -> None:
    assert pve.call("POST", f"{ct}/status/stop").reason == "CT 200 not running"
    pve.ok(pve.post(f"{ct}/status/start"))
    assert pve.call("POST", f"{ct}/status/start").reason == "CT 200 already running"


def test_a_deaf_guest_is_shut_down_only_by_force(pve: Client, running: str) -> None:
    pve.control("guest", vmid=100, agent="deaf")
    upid = pve.post(f"{running}/status/shutdown", timeout=30)
    pve.advance(30)
    assert pve.done(upid) == "VM quit/powerdown failed - got timeout"
    forced = pve.post(f"{running}/status/shutdown", timeout=30, forceStop=1)
    pve.advance(30)
    pve.ok(forced)
    assert status(pve)["status"] == "stopped"


def test_a_stop_waits_for_a_shutdown_unless_it_overrules_it(pve: Client, running: str) -> None:
    pve.control("guest", vmid=100, agent="deaf")
    shutdown = pve.post(f"{running}/status/shutdown", timeout=120)
    text = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    assert pve.done(pve.post(f"{running}/status/stop")) == text
    assert pve.call("PUT", f"{running}/config", cores=2).reason == text
    pve.ok(pve.post(f"{running}/status/stop", **{"overrule-shutdown": 1}))
    assert (pve.done(shutdown), status(pve)["status"]) == ("received interrupt", "stopped")


def test_a_paused_guest_resumes_and_is_not_shut_down(pve: Client, running: str) -> None:
    pve.ok(pve.post(f"{running}/status/suspend"))
    assert status(pve)["qmpstatus"] == "paused"
    assert pve.call("POST", f"{running}/status/shutdown").status == 500
    pve.ok(pve.post(f"{running}/status/resume"))
    assert status(pve)["qmpstatus"] == "running"


def test_a_stopped_vm_is_not_rebooted(pve: Client, vm: str) -> None:
    assert pve.call("POST", f"{vm}/status/reboot").reason == "VM 100 not running"


def test_the_agent_answers_only_when_configured_running_and_alive(pve: Client, vm: str) -> None:
    path = f"{vm}/agent/network-get-interfaces"
    assert pve.call("GET", path).reason == "VM 100 is not running"
    pve.ok(pve.post(f"{vm}/status/start"))
    mac = pve.get(f"{vm}/config")["net0"].split(",")[0].partition("=")[2]
    assert [row["hardware-address"] for row in pve.get(path)["result"]] == ["00:00:00:00:00:00", mac.lower()]
    pve.control("guest", vmid=100, agent="dead")
    assert pve.call("GET", path).reason == "QEMU guest agent is not running"
    pve.control("guest", vmid=100, agent=[{"name": "docker0", "hardware-address": "02:42:00:00:00:01"}])
    assert pve.get(path)["result"] == [{"name": "docker0", "hardware-address": "02:42:00:00:00:01"}]
    pve.put(f"{vm}/config", delete="agent")
    pve.ok(pve.post(f"{vm}/status/stop"))
    assert pve.call("GET", path).reason == "No QEMU guest agent configured"


def test_a_container_tells_its_interfaces(pve: Client, ct: str) -> None:
    pve.ok(pve.post(f"{ct}/status/start"))
    assert [row["name"] for row in pve.get(f"{ct}/interfaces")] == ["lo", "eth0"]


def test_after_a_migration_the_guest_is_only_on_its_new_node(pve: Client, running: str) -> None:
    assert pve.call("POST", f"{running}/migrate", target="pve2").reason == "can't migrate running VM without --online"
    pve.ok(pve.post(f"{running}/migrate", target="pve2", online=1))
    assert pve.call("GET", f"{running}/config").status == 500
    assert status(pve, "/nodes/pve2/qemu/100")["status"] == "running"
    assert node_of(pve) == "pve2"


def test_local_disks_block_a_live_migration_unless_they_come_along(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi1="local-lvm:1")
    pve.ok(pve.post(f"{vm}/status/start"))
    assert [disk["volid"] for disk in pve.get(f"{vm}/migrate")["local_disks"]] == ["local-lvm:vm-100-disk-0"]
    assert "with-local-disks" in pve.done(pve.post(f"{vm}/migrate", target="pve2", online=1))
    pve.ok(pve.post(f"{vm}/migrate", **{"target": "pve2", "online": 1, "with-local-disks": 1}))
    assert [row["volid"] for row in pve.get("/nodes/pve2/storage/local-lvm/content")] == ["local-lvm:vm-100-disk-0"]


def test_a_guest_under_migration_is_locked_and_unlocked_when_it_fails(pve: Client, vm: str) -> None:
    pve.control("faults", on="task", type="qmmigrate", kind="fail", text="boom", length_s=60)
    upid = pve.post(f"{vm}/migrate", target="pve2")
    assert pve.call("PUT", f"{vm}/config", cores=2).reason == "VM is locked (migrate)"
    pve.advance(60)
    assert pve.done(upid) == "boom"
    assert (node_of(pve), "lock" in pve.get(f"{vm}/config")) == ("pve1", False)


def test_migration_targets_are_checked(pve: Client, vm: str) -> None:
    assert pve.call("POST", f"{vm}/migrate", target="pve1").errors == {"target": "target is local node."}
    assert pve.call("POST", f"{vm}/migrate", target="pve9").reason == "no such cluster node 'pve9'"


def test_ha_acts_only_in_its_rounds(pve: Client, vm: str) -> None:
    pve.post(HA, sid="vm:100", state="started")
    assert status(pve)["status"] == "stopped"
    pve.advance(10)
    assert status(pve)["status"] == "running"
    assert status(pve)["ha"] == {"managed": 1, "state": "started"}


def test_power_calls_on_a_managed_guest_only_record_the_request(pve: Client, running: str) -> None:
    pve.post(HA, sid="100")
    upid = pve.post(f"{running}/status/stop")
    assert upid.split(":")[5] == "hastop"
    pve.ok(upid)
    assert status(pve)["status"] == "running"
    pve.advance(20)
    assert (status(pve)["status"], pve.get(f"{HA}/vm:100")["state"]) == ("stopped", "stopped")


def test_a_managed_guest_starts_again_when_only_its_process_is_stopped(pve: Client, running: str) -> None:
    pve.post(HA, sid="vm:100")
    pve.control("guest", vmid=100, running=False)
    pve.advance(20)
    assert status(pve)["status"] == "running"


def test_ha_migration_is_queued_and_done_by_the_manager(pve: Client, running: str) -> None:
    pve.post(HA, sid="vm:100")
    pve.advance(10)
    assert pve.post(f"{HA}/vm:100/migrate", node="pve3")["requested-node"] == "pve3"
    assert node_of(pve) == "pve1"
    pve.advance(20)
    assert node_of(pve) == "pve3"


def test_a_managed_guest_is_destroyed_only_with_purge(pve: Client, vm: str) -> None:
    pve.post(HA, sid="vm:100", state="stopped")
    text = "unable to remove VM 100 - used in HA resources and purge parameter not set."
    assert pve.call("DELETE", vm).reason == text
    pve.ok(pve.delete(vm, purge=1))
    assert pve.get(HA) == []


def test_ha_resources_are_defined_once_and_found_by_name(pve: Client, vm: str) -> None:
    pve.post(HA, sid="vm:100")
    assert pve.call("POST", HA, sid="vm:100").reason == "resource ID 'vm:100' already defined"
    assert pve.call("GET", f"{HA}/vm:101").reason == "no such resource 'vm:101'"
    assert "not HA managed" in pve.call("DELETE", f"{HA}/vm:101").reason
    assert "group" in pve.call("PUT", f"{HA}/vm:100", group="g1").errors


def test_a_managed_guest_on_shared_storage_is_taken_over_when_its_node_dies(pve: Client, running: str) -> None:
    pve.post(HA, sid="vm:100")
    pve.advance(10)
    pve.control("node", name="pve1", online=False)
    assert pve.call("GET", f"{running}/config").status == 595
    pve.advance(30)
    assert node_of(pve) == "pve1"
    pve.advance(60)
    assert node_of(pve) == "pve2"
    assert status(pve, "/nodes/pve2/qemu/100")["status"] == "running"


def test_guests_of_a_dead_node_are_unknown_not_absent(pve: Client, running: str) -> None:
    pve.control("node", name="pve1", online=False)
    row = next(row for row in pve.get("/cluster/resources", type="vm") if row["vmid"] == 100)
    assert (row["status"], row["node"], "name" in row) == ("unknown", "pve1", False)
    assert {row["node"]: row["status"] for row in pve.get("/nodes")}["pve1"] == "offline"


def test_a_node_that_boots_again_starts_what_is_marked(pve: Client, running: str) -> None:
    pve.put(f"{running}/config", onboot=1)
    pve.control("node", name="pve1", online=False)
    pve.control("node", name="pve1", online=True)
    assert status(pve)["status"] == "running"


def test_resources_lag_behind_and_a_new_guest_is_unknown_at_first(pve: Client) -> None:
    pve.control("settings", resources_lag_s=10)
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, name="web"))
    row = pve.get("/cluster/resources", type="vm")[0]
    assert (row["vmid"], row["node"], row["status"], "name" in row) == (100, "pve1", "unknown", False)
    pve.advance(10)
    row = pve.get("/cluster/resources", type="vm")[0]
    assert (row["name"], row["status"]) == ("web", "stopped")
