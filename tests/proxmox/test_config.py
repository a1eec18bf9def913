"""Configurations: how values are stored, what is pending, digests and locks."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

import pytest

from tests.proxmox.client import Client

VM = "/nodes/pve1/qemu/100"
CT = "/nodes/pve1/lxc/200"
TEMPLATE = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
MAC = r"BC:24:11(:[0-9A-F]{2}){3}"


@pytest.fixture
def vm(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, name="web", memory=2048, cores=2, net0="virtio,bridge=vmbr0"))
    return VM


@pytest.fixture
def ct(pve: Client) -> str:
    options = {"hostname": "box", "rootfs": "local-lvm:4", "net0": "name=eth0,bridge=vmbr0"}
    pve.ok(pve.post("/nodes/pve1/lxc", vmid=200, ostemplate=TEMPLATE, **options))
    return CT


def read(pve: Client, path: str, **params: object) -> dict[str, object]:
    found: dict[str, object] = pve.get(f"{path}/config", **params)
    return found


def pending(pve: Client, path: str) -> dict[str, tuple[object, ...]]:
    """value, pending, delete of each row that has one of the latter."""
    rows = pve.get(f"{path}/pending")
    return {
        row["key"]: (row.get("value"), row.get("pending"), row.get("delete"))
        for row in rows
        if "pending" in row or "delete" in row
    }


def test_integers_and_booleans_are_numbers_everything_else_is_text(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", onboot=1, balloon=0, agent=1, cpulimit="1.5")
    config = read(pve, vm)
    assert (config["cores"], config["onboot"], config["balloon"]) == (2, 1, 0)
    assert (config["memory"], config["agent"], config["cpulimit"]) == ("2048", "1", "1.5")


def test_container_memory_is_a_number(pve: Client, ct: str) -> None:
    assert read(pve, ct)["memory"] == 512


def test_server_made_keys_are_there_and_defaults_are_not(pve: Client, vm: str) -> None:
    config = read(pve, vm)
    assert {"digest", "meta", "smbios1", "vmgenid", "boot"} <= set(config)
    assert not {"vmid", "node", "status", "sockets", "onboot", "bios"} & set(config)


def test_a_net_line_without_mac_gets_a_new_one_at_every_write(pve: Client, vm: str) -> None:
    first = str(read(pve, vm)["net0"])
    assert re.fullmatch(rf"virtio={MAC},bridge=vmbr0", first)
    pve.put(f"{vm}/config", net0="virtio,bridge=vmbr0,tag=5")
    second = str(read(pve, vm)["net0"])
    assert second.split(",")[1:] == ["bridge=vmbr0", "tag=5"]
    assert second.split(",")[0] != first.split(",")[0]


def test_a_given_mac_keeps_its_case_and_old_forms_are_rewritten(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", net0="model=e1000,bridge=vmbr0,firewall=on,macaddr=bc:24:11:00:00:0a")
    assert read(pve, vm)["net0"] == "e1000=bc:24:11:00:00:0a,bridge=vmbr0,firewall=1"


def test_a_container_net_line_starts_with_its_name_and_gains_type_and_hwaddr(pve: Client, ct: str) -> None:
    assert re.fullmatch(rf"name=eth0,bridge=vmbr0,hwaddr={MAC},type=veth", str(read(pve, ct)["net0"]))


def test_tags_are_stored_sorted_in_lower_case_unless_the_style_says_otherwise(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", tags="Web,db ; DB")
    assert read(pve, vm)["tags"] == "db;web"
    pve.put("/cluster/options", **{"tag-style": "case-sensitive=1,ordering=config"})
    pve.put(f"{vm}/config", tags="Web,db ; DB")
    assert read(pve, vm)["tags"] == "Web;db;DB"


def test_the_digest_changes_with_any_change_and_is_a_sha1(pve: Client, vm: str) -> None:
    before = str(read(pve, vm)["digest"])
    pve.put(f"{vm}/config", cores=3)
    assert len(before) == len(hashlib.sha1(b"").hexdigest())
    assert read(pve, vm)["digest"] != before


def test_a_stale_digest_is_a_500_with_a_text_per_kind_of_guest(pve: Client, vm: str, ct: str) -> None:
    stale = "0" * 40
    first = pve.call("PUT", f"{vm}/config", cores=3, digest=stale)
    second = pve.call("PUT", f"{ct}/config", cores=3, digest=stale)
    assert (first.status, first.reason) == (500, "checksum mismatch (file change by other user?)")
    assert second.reason == "detected modified configuration - file changed by other user? Try again."


def test_a_current_digest_is_accepted(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", cores=3, digest=str(read(pve, vm)["digest"]))
    assert read(pve, vm)["cores"] == 3


def test_a_running_vm_takes_tags_at_once_and_keeps_cores_pending(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    pve.put(f"{vm}/config", tags="a", cores=4)
    assert pending(pve, vm) == {"cores": (2, 4, None)}
    assert (read(pve, vm)["cores"], read(pve, vm, current=1)["cores"]) == (4, 2)


def test_pending_changes_take_effect_at_stop_and_start_and_by_reboot(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    pve.put(f"{vm}/config", cores=4)
    pve.ok(pve.post(f"{vm}/status/reboot"))
    assert (pending(pve, vm), read(pve, vm, current=1)["cores"]) == ({}, 4)


def test_a_pending_change_is_reverted_or_dropped_when_it_equals_the_current_text(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    pve.put(f"{vm}/config", cores=4, bios="ovmf")
    pve.put(f"{vm}/config", revert="bios")
    pve.put(f"{vm}/config", cores=2)
    assert pending(pve, vm) == {}


def test_a_removal_on_a_running_vm_waits_too(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/status/start"))
    pve.put(f"{vm}/config", delete="cores")
    assert pending(pve, vm) == {"cores": (2, None, 1)}
    assert "cores" not in read(pve, vm)


def test_container_memory_changes_live_and_features_wait(pve: Client, ct: str) -> None:
    pve.ok(pve.post(f"{ct}/status/start"))
    pve.put(f"{ct}/config", memory=1024, features="nesting=1")
    assert pending(pve, ct) == {"features": (None, "nesting=1", None)}


def test_containers_have_no_post_config(pve: Client, ct: str) -> None:
    assert pve.call("POST", f"{ct}/config", cores=2).status == 501


def test_post_config_of_a_vm_is_a_task_and_put_is_not(pve: Client, vm: str) -> None:
    pve.ok(pve.post(f"{vm}/config", cores=4))
    assert pve.put(f"{vm}/config", cores=5) is None
    assert read(pve, vm)["cores"] == 5
    assert pve.post(f"{vm}/config", cores=6, background_delay=5) is None


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({}, 500, "no options specified"),
        ({"delete": "nonsense"}, 400, "unknown option 'nonsense'"),
        ({"balloon": 4096}, 500, "balloon value too large (must be smaller than assigned memory)"),
        ({"boot": "order=scsi7"}, 500, "invalid bootorder: device 'scsi7' does not exist"),
    ],
)
def test_a_config_call_that_makes_no_sense_is_refused(
    pve: Client, vm: str, params: dict[str, object], status: int, text: str
) -> None:
    reply = pve.call("PUT", f"{vm}/config", **params)
    assert (reply.status, reply.errors.get("delete", reply.reason)) == (status, text)


def test_the_same_key_set_and_deleted_is_400(pve: Client, vm: str) -> None:
    assert pve.call("PUT", f"{vm}/config", cores=2, delete="cores").status == 400


def test_a_locked_guest_refuses_changes(pve: Client, vm: str, ct: str) -> None:
    for vmid in (100, 200):
        pve.control("guest", vmid=vmid, lock="backup")
    assert pve.call("PUT", f"{vm}/config", cores=2).reason == "VM is locked (backup)"
    assert pve.call("PUT", f"{ct}/config", cores=2).reason == "CT is locked (backup)"


def test_a_held_lock_file_times_out(pve: Client, vm: str) -> None:
    path = "/var/lock/qemu-server/lock-100.conf"
    pve.control("lock", path=path, hold_s=60)
    assert pve.call("PUT", f"{vm}/config", cores=3).reason == f"can't lock file '{path}' - got timeout"
    pve.advance(55)  # the API would wait ten seconds for it
    assert pve.put(f"{vm}/config", cores=3) is None


def test_ssh_keys_must_arrive_percent_encoded_and_read_back_so(pve: Client, vm: str) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+/x0= a b\n"
    assert pve.call("PUT", f"{vm}/config", sshkeys=key).status == 400
    pve.put(f"{vm}/config", sshkeys=quote(key, safe=""))
    assert read(pve, vm)["sshkeys"] == quote(key, safe="")
    assert pve.call("PUT", f"{vm}/config", sshkeys="nonsense").reason == "SSH public key validation error"


def test_a_cloud_init_password_reads_back_masked(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", cipassword="top-secret")
    assert read(pve, vm)["cipassword"] == "**********"
    assert "top-secret" not in str(pve.http.get("/__control/world").json())


def test_cloud_init_options_of_a_running_vm_wait_until_the_image_is_written(pve: Client, vm: str) -> None:
    pve.put(f"{vm}/config", ide2="local-lvm:cloudinit", ciuser="alma")
    pve.ok(pve.post(f"{vm}/status/start"))
    pve.put(f"{vm}/config", ciuser="other")
    rows = {row["key"]: row for row in pve.get(f"{vm}/cloudinit")}
    assert rows["ciuser"] == {"key": "ciuser", "value": "alma", "pending": "other"}
    pve.put(f"{vm}/cloudinit")
    assert {row["key"]: row for row in pve.get(f"{vm}/cloudinit")}["ciuser"] == {"key": "ciuser", "value": "other"}


def test_descriptions_end_as_each_kind_keeps_them(pve: Client, vm: str, ct: str) -> None:
    for path in (vm, ct):
        pve.put(f"{path}/config", description="text \n\n" if path == vm else "text")
    assert (read(pve, vm)["description"], read(pve, ct)["description"]) == ("text", "text\n")


def test_the_same_id_twice_is_500(pve: Client, vm: str, ct: str) -> None:
    text = "unable to create VM 100 - VM 100 already exists on node 'pve1'"
    assert pve.call("POST", "/nodes/pve2/qemu", vmid=100).reason == text
    reply = pve.call("POST", "/nodes/pve2/lxc", vmid=200, ostemplate=TEMPLATE)
    assert reply.reason == "CT 200 already exists on node 'pve1'"


def test_nextid_is_text_reserves_nothing_and_tells_what_is_taken(pve: Client, vm: str) -> None:
    assert (pve.get("/cluster/nextid"), pve.get("/cluster/nextid")) == ("101", "101")
    pve.post("/nodes/pve1/qemu", vmid=101)
    reply = pve.call("GET", "/cluster/nextid", vmid=101)
    assert (reply.status, reply.errors) == (400, {"vmid": "VM 101 already exists"})


def test_a_guest_exists_only_on_its_node(pve: Client, vm: str) -> None:
    reply = pve.call("GET", "/nodes/pve2/qemu/100/config")
    assert reply.reason == "Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist"
