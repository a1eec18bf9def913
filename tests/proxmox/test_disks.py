"""Disks: allocation, unused volumes, growing, moving, space."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxmox.client import Client

VM = "/nodes/pve1/qemu/100"
CT = "/nodes/pve1/lxc/200"
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
GIB = 1024**3


@pytest.fixture
def vm(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, scsi0="local-lvm:8", name="web"))
    return VM


@pytest.fixture
def ct(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/lxc", vmid=200, ostemplate=TEMPLATE, rootfs="local-lvm:4", mp0="nfs:2,mp=/data"))
    return CT


def config(pve: Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = pve.get(f"{path}/config")
    return found


def volids(pve: Client, storage: str = "local-lvm") -> list[str]:
    return [row["volid"] for row in pve.get(f"/nodes/pve1/storage/{storage}/content") if "vmid" in row]


def test_an_allocation_names_the_volume_and_shows_its_size(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi1="local-lvm:10.5,ssd=on,backup=no,cache=none,format=raw")
    assert config(pve, vm)["scsi1"] == "local-lvm:vm-100-disk-1,backup=0,cache=none,size=10752M,ssd=1"


def test_file_storages_have_a_folder_per_guest_and_an_ending(pve: Client, vm: str, ct: str) -> None:
    pve.put(f"{vm}/config", scsi1="nfs:4,format=qcow2")
    assert config(pve, vm)["scsi1"] == "nfs:100/vm-100-disk-0.qcow2,size=4G"
    assert config(pve, ct)["mp0"] == "nfs:200/vm-200-disk-0.raw,mp=/data,size=2G"


def test_a_drive_line_is_stored_with_the_file_first_and_the_rest_by_alphabet(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi0="ssd=1,iops_rd=0,file=local-lvm:vm-100-disk-0,aio=native,bps_rd=1048576")
    assert config(pve, vm)["scsi0"] == "local-lvm:vm-100-disk-0,aio=native,iops_rd=0,mbps_rd=1,size=8G,ssd=1"


def test_a_removed_disk_becomes_unused_and_is_destroyed_only_by_a_second_delete(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", delete="scsi0")
    assert config(pve, vm)["unused0"] == "local-lvm:vm-100-disk-0"
    assert volids(pve) == ["local-lvm:vm-100-disk-0"]
    pve.put(f"{vm}/config", delete="unused0")
    assert ("unused0" in config(pve, vm), volids(pve)) == (False, [])


def test_a_forced_delete_destroys_at_once(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", delete="scsi0", force=1)
    assert volids(pve) == []


def test_an_allocation_on_a_used_key_keeps_the_old_volume_as_unused(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi0="local-lvm:40")
    after = config(pve, vm)
    assert (after["scsi0"], after["unused0"]) == ("local-lvm:vm-100-disk-1,size=40G", "local-lvm:vm-100-disk-0")


def test_an_unused_volume_that_is_attached_again_is_no_longer_listed(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", delete="scsi0")
    pve.put(f"{vm}/config", scsi3="local-lvm:vm-100-disk-0")
    after = config(pve, vm)
    assert (after["scsi3"], "unused0" in after) == ("local-lvm:vm-100-disk-0,size=8G", False)


def test_a_removed_device_leaves_the_boot_order(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", ide2="local:iso/debian-13.iso,media=cdrom")
    assert config(pve, vm)["boot"] == "order=scsi0;ide2"
    pve.put(f"{vm}/config", delete="scsi0")
    assert config(pve, vm)["boot"] == "order=ide2"


def test_an_iso_must_say_that_it_is_a_cdrom(pve: Client, vm: str) -> None:
    reply = pve.call("PUT", f"{vm}/config", ide2="local:iso/debian-13.iso")
    assert reply.errors == {"ide2": "explicit 'media=cdrom' is required for iso images"}


def test_a_volume_that_does_not_exist_cannot_be_attached(pve: Client, vm: str) -> None:
    reply = pve.call("PUT", f"{vm}/config", scsi1="local-lvm:vm-100-disk-9")
    assert (reply.status, reply.reason) == (500, "volume 'local-lvm:vm-100-disk-9' does not exist")


def test_import_copies_an_image_with_its_size(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi1="local-lvm:0,import-from=local:iso/debian-13.iso")
    assert config(pve, vm)["scsi1"] == "local-lvm:vm-100-disk-1,size=512M"
    assert pve.call("PUT", f"{vm}/config", scsi2="local-lvm:8,import-from=local:iso/debian-13.iso").status == 400


def test_a_cloud_init_drive_exists_once_and_is_destroyed_directly(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", ide2="local-lvm:cloudinit")
    assert config(pve, vm)["ide2"] == "local-lvm:vm-100-cloudinit,media=cdrom,size=4M"
    reply = pve.call("PUT", f"{vm}/config", ide3="local-lvm:cloudinit")
    assert reply.reason == "cloud-init drive is already attached at 'ide2'"
    pve.put(f"{vm}/config", delete="ide2")
    assert volids(pve) == ["local-lvm:vm-100-disk-0"]


def test_a_disk_grows_absolutely_or_by_a_difference(pve: Client, vm: str) -> None:
    pve.ok(pve.put(f"{vm}/resize", disk="scsi0", size="40G"))
    pve.ok(pve.put(f"{vm}/resize", disk="scsi0", size="+512M"))
    assert config(pve, vm)["scsi0"] == "local-lvm:vm-100-disk-0,size=41472M"


def test_a_disk_never_shrinks_and_the_same_size_is_no_change(pve: Client, vm: str, ct: str) -> None:
    assert pve.done(pve.put(f"{vm}/resize", disk="scsi0", size="4G")) == "shrinking disks is not supported"
    pve.ok(pve.put(f"{vm}/resize", disk="scsi0", size="8G"))
    assert pve.call("PUT", f"{ct}/resize", disk="rootfs", size="1G").reason == "unable to shrink disk size"
    assert pve.call("PUT", f"{ct}/resize", disk="rootfs", size="4G").reason == "disk is already at specified size"


def test_a_size_in_the_drive_text_does_not_resize(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi0="local-lvm:vm-100-disk-0,size=99G")
    assert config(pve, vm)["scsi0"] == "local-lvm:vm-100-disk-0,size=8G"


def test_space_is_counted_and_runs_out_inside_the_task(pve: Client, vm: str) -> None:
    before = pve.get("/nodes/pve1/storage/local-lvm/status")
    upid = pve.post("/nodes/pve1/qemu", vmid=101, scsi0="local-lvm:600")
    assert "insufficient free space" in pve.done(upid)
    assert pve.get("/nodes/pve1/storage/local-lvm/status")["avail"] == before["avail"] == 492 * GIB


def test_a_held_storage_lock_fails_inside_the_task(pve: Client) -> None:
    pve.control("lock", path="/var/lock/pve-manager/pve-storage-local-lvm", hold_s=60)
    upid = pve.post("/nodes/pve1/qemu", vmid=101, scsi0="local-lvm:1")
    assert pve.done(upid) == "can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout"
    assert pve.call("GET", "/nodes/pve1/qemu/101/config").status == 500


def test_a_moved_disk_leaves_its_source_as_unused_or_not(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/move_disk", disk="scsi0", storage="ceph"))
    assert config(pve, vm)["unused0"] == "local-lvm:vm-100-disk-0"
    pve.ok(pve.post(f"{vm}/move_disk", disk="scsi0", storage="nfs", delete=1))
    assert config(pve, vm)["scsi0"].startswith("nfs:100/vm-100-disk-0.raw")
    assert volids(pve, "ceph") == []
    reply = pve.call("POST", f"{vm}/move_disk", disk="scsi0", storage="nfs")
    assert reply.errors == {"storage": "you can't move to the same storage with same format"}


def test_a_disk_is_reassigned_to_another_guest_with_its_data(pve: Client, vm: str) -> None:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=101))
    pve.ok(pve.post(f"{vm}/move_disk", **{"disk": "scsi0", "target-vmid": 101, "target-disk": "scsi1"}))
    assert config(pve, "/nodes/pve1/qemu/101")["scsi1"] == "local-lvm:vm-101-disk-0,size=8G"
    assert "scsi0" not in config(pve, vm)


def test_a_running_vm_takes_scsi_disks_but_neither_sata_nor_cache_changes(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    disk = "local-lvm:vm-100-disk-0"
    pve.put(f"{vm}/config", scsi1="local-lvm:1", sata0="local-lvm:1", scsi0=f"{disk},cache=none")
    assert {row["key"] for row in pve.get(f"{vm}/pending") if "pending" in row} == {"sata0", "scsi0"}
    pve.put(f"{vm}/config", scsi0=f"{disk},mbps_rd=5")
    assert {row["key"] for row in pve.get(f"{vm}/pending") if "pending" in row} == {"sata0"}


def test_a_protected_guest_keeps_disks_and_itself(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", protection=1)
    assert "protection mode enabled" in pve.call("PUT", f"{vm}/config", delete="scsi0").reason
    assert pve.call("DELETE", vm).reason == "can't remove VM 100 - protection mode enabled"


def test_a_mount_point_taken_away_leaves_the_others_alone(pve: Client, ct: str) -> None:
    pve.put(f"{ct}/config", mp1="local-lvm:1,mp=/other")
    before = config(pve, ct)["mp1"]
    pve.put(f"{ct}/config", delete="mp0")
    after = config(pve, ct)
    assert (after["mp1"], after["unused0"]) == (before, "nfs:200/vm-200-disk-0.raw")


def test_destroy_frees_what_the_guest_owns_and_nothing_else(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", scsi1="local-lvm:1")
    pve.put(f"{vm}/config", delete="scsi1")
    pve.post("/nodes/pve1/storage/local-lvm/content", vmid=100, filename="vm-100-extra", size="1G")
    pve.ok(pve.delete(vm))
    assert volids(pve) == ["local-lvm:vm-100-extra"]


def test_destroy_frees_unreferenced_volumes_only_when_told(pve: Client, vm: str) -> None:
    pve.post("/nodes/pve1/storage/local-lvm/content", vmid=100, filename="vm-100-extra", size="1G")
    pve.ok(pve.delete(vm, **{"destroy-unreferenced-disks": 1}))
    assert volids(pve) == []


def test_a_guest_being_destroyed_is_only_a_lock_and_its_id_is_taken_until_the_end(pve: Client, vm: str) -> None:
    pve.control("settings", task_length_s={"*": 10})
    upid = pve.delete(vm)
    assert set(config(pve, vm)) == {"lock", "digest"}
    assert pve.call("POST", "/nodes/pve1/qemu", vmid=100).status == 500
    pve.advance(10)
    pve.ok(upid)
    assert pve.call("GET", f"{vm}/config").status == 500


def test_a_running_guest_is_not_destroyed(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    assert pve.call("DELETE", vm).reason == "VM 100 is running - destroy failed"
