"""Clones, templates and snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxmox.client import Client

SOURCE = "/nodes/pve1/qemu/9000"
CLONE = "/nodes/pve1/qemu/101"


@pytest.fixture
def source(pve: Client) -> str:
    options = {"scsi0": "local-lvm:8", "ide2": "local-lvm:cloudinit", "net0": "virtio,bridge=vmbr0", "name": "base"}
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=9000, tags="a", **options))
    return SOURCE


@pytest.fixture
def template(pve: Client, source: str) -> str:
    pve.ok(pve.post(f"{source}/template"))
    return source


def config(pve: Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = pve.get(f"{path}/config")
    return found


def test_a_full_clone_has_its_own_disk_mac_uuid_and_cloud_init_drive(pve: Client, source: str) -> None:
    before = config(pve, source)
    pve.ok(pve.post(f"{source}/clone", newid=101, name="web", description="d"))
    after = config(pve, CLONE)
    assert (after["name"], after["description"], after["tags"]) == ("web", "d", "a")
    assert after["scsi0"] == "local-lvm:vm-101-disk-0,size=8G"
    assert after["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom,size=4M"
    assert all(before[key] != after[key] for key in ("net0", "smbios1", "vmgenid"))


def test_a_template_is_cloned_linked_by_default_and_its_volumes_are_bases(pve: Client, template: str) -> None:
    assert config(pve, template)["scsi0"] == "local-lvm:base-9000-disk-0,size=8G"
    pve.ok(pve.post(f"{template}/clone", newid=101))
    after = config(pve, CLONE)
    assert after["scsi0"] == "local-lvm:base-9000-disk-0/vm-101-disk-0,size=8G"
    assert (after["name"], "template" in after) == ("Copy-of-VM-base", False)


def test_a_linked_clone_takes_neither_storage_nor_format(pve: Client, template: str) -> None:
    reply = pve.call("POST", f"{template}/clone", newid=101, storage="ceph")
    assert reply.errors == {"storage": "parameter 'storage' not allowed for linked clones"}


def test_a_guest_that_is_no_template_has_no_linked_clones(pve: Client, source: str) -> None:
    reply = pve.call("POST", f"{source}/clone", newid=101, full=0)
    assert reply.reason == "Linked clone feature is not supported for 'local-lvm:vm-9000-disk-0' (scsi0)"


def test_a_linked_clone_on_a_file_storage_names_both_images(pve: Client) -> None:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=9001, scsi0="nfs:8,format=qcow2"))
    pve.ok(pve.post("/nodes/pve1/qemu/9001/template"))
    pve.ok(pve.post("/nodes/pve1/qemu/9001/clone", newid=101))
    expected = "nfs:9001/base-9001-disk-0.qcow2/101/vm-101-disk-0.qcow2,size=8G"
    assert config(pve, CLONE)["scsi0"] == expected


def test_a_base_with_linked_clones_is_not_destroyed(pve: Client, template: str) -> None:
    pve.ok(pve.post(f"{template}/clone", newid=101))
    assert "is still in use by linked clone" in pve.call("DELETE", template).reason
    pve.ok(pve.delete(CLONE))
    pve.ok(pve.delete(template))


def test_the_target_is_a_locked_placeholder_during_the_clone(pve: Client, source: str) -> None:
    pve.control("settings", task_length_s={"qmclone": 600})
    upid = pve.post(f"{source}/clone", newid=101)
    assert upid.split(":")[5:7] == ["qmclone", "9000"]
    assert {key for key in config(pve, CLONE) if key != "digest"} == {"lock"}
    assert 101 in [row["vmid"] for row in pve.get("/cluster/resources", type="vm")]
    reply = pve.call("POST", f"{source}/clone", newid=101)
    assert reply.reason == "unable to create VM 101: config file already exists"
    pve.advance(600)
    pve.ok(upid)
    assert "lock" not in config(pve, CLONE)


def test_a_failed_clone_leaves_nothing(pve: Client, source: str) -> None:
    pve.control("faults", on="task", type="qmclone", kind="fail", text="boom")
    assert pve.done(pve.post(f"{source}/clone", newid=101)) == "boom"
    assert pve.call("GET", f"{CLONE}/config").status == 500
    assert not [row for row in pve.get("/nodes/pve1/storage/local-lvm/content") if row.get("vmid") == 101]


def test_a_stopped_source_is_cloned_many_times_at_once_a_running_one_only_once(pve: Client, source: str) -> None:
    pve.control("settings", task_length_s={"qmclone": 10})
    for newid in (101, 102):
        pve.post(f"{source}/clone", newid=newid)
    pve.advance(10)
    pve.ok(pve.post(f"{source}/status/start"))
    pve.post(f"{source}/clone", newid=103)
    assert "got timeout" in pve.call("POST", f"{source}/clone", newid=104).reason


def test_containers_are_cloned_one_at_a_time(pve: Client) -> None:
    template = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
    pve.ok(pve.post("/nodes/pve1/lxc", vmid=300, ostemplate=template, rootfs="local-lvm:4"))
    pve.control("settings", task_length_s={"vzclone": 10})
    upid = pve.post("/nodes/pve1/lxc/300/clone", newid=301, full=1)
    assert pve.call("POST", "/nodes/pve1/lxc/300/clone", newid=302, full=1).reason == "CT is locked (disk)"
    pve.advance(10)
    pve.ok(upid)
    assert pve.get("/nodes/pve1/lxc/301/config")["rootfs"] == "local-lvm:vm-301-disk-0,size=4G"


def test_a_clone_on_another_node_needs_shared_storage(pve: Client, source: str) -> None:
    reply = pve.call("POST", f"{source}/clone", newid=101, target="pve2")
    assert reply.reason == "can't clone VM to node 'pve2' (VM uses local storage)"


def test_a_clone_goes_into_a_pool_at_its_end(pve: Client, source: str) -> None:
    pve.post("/pools", poolid="web")
    pve.ok(pve.post(f"{source}/clone", newid=101, pool="web"))
    assert [row["vmid"] for row in pve.get("/pools/web")["members"]] == [101]


def test_a_template_is_not_started_and_not_made_twice(pve: Client, template: str) -> None:
    assert pve.done(pve.post(f"{template}/status/start")) == "you can't start a vm if it's a template"
    assert pve.call("POST", f"{template}/template").status == 500


def test_a_snapshot_is_listed_before_the_current_state(pve: Client, source: str) -> None:
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1", description="first"))
    rows = pve.get(f"{source}/snapshot")
    assert [(row["name"], row["description"]) for row in rows] == [("s1", "first"), ("current", "You are here!")]
    assert rows[1]["parent"] == "s1"


def test_a_rollback_brings_back_the_configuration_and_keeps_later_disks_as_unused(pve: Client, source: str) -> None:
    pve.put(f"{source}/config", cores=2)
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1"))
    pve.put(f"{source}/config", cores=4, scsi1="local-lvm:1", description="later")
    pve.ok(pve.post(f"{source}/status/start"))
    pve.ok(pve.post(f"{source}/snapshot/s1/rollback"))
    after = config(pve, source)
    assert (after["cores"], after["unused0"], after["description"]) == (2, "local-lvm:vm-9000-disk-1", "later")
    assert pve.get(f"{source}/status/current")["status"] == "stopped"


def test_a_snapshot_with_memory_runs_again_after_the_rollback(pve: Client, source: str) -> None:
    pve.ok(pve.post(f"{source}/status/start"))
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1", vmstate=1))
    pve.ok(pve.post(f"{source}/snapshot/s1/rollback"))
    assert pve.get(f"{source}/status/current")["status"] == "running"


def test_removing_a_snapshot_gives_its_children_its_parent(pve: Client, source: str) -> None:
    for name in ("s1", "s2", "s3"):
        pve.ok(pve.post(f"{source}/snapshot", snapname=name))
    pve.ok(pve.delete(f"{source}/snapshot/s2"))
    rows = {row["name"]: row.get("parent") for row in pve.get(f"{source}/snapshot")}
    assert rows == {"s1": None, "s3": "s1", "current": "s3"}


def test_snapshots_are_refused_where_they_make_no_sense(pve: Client, source: str) -> None:
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1"))
    assert pve.done(pve.post(f"{source}/snapshot", snapname="s1")) == "snapshot name 's1' already used"
    assert pve.done(pve.post(f"{source}/snapshot/nope/rollback")) == "snapshot 'nope' does not exist"
    assert pve.call("POST", f"{source}/snapshot", snapname="current").status == 400
    pve.put(f"{source}/config", scsi1="nfs:1")
    assert pve.done(pve.post(f"{source}/snapshot", snapname="s2")) == "snapshot feature is not available"


def test_a_volume_held_by_a_snapshot_is_not_destroyed(pve: Client, source: str) -> None:
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1"))
    pve.put(f"{source}/config", delete="scsi0")
    assert "volume is still in use (snapshot?)" in pve.call("PUT", f"{source}/config", delete="unused0").reason


def test_a_guest_with_snapshots_is_not_made_a_template(pve: Client, source: str) -> None:
    pve.ok(pve.post(f"{source}/snapshot", snapname="s1"))
    assert "contains snapshots" in pve.call("POST", f"{source}/template").reason
