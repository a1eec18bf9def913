"""Storages, their content, and pools."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.proxmox.client import Client, answer

LOCAL = "/nodes/pve1/storage/local"
URL = "http://mirror.example/x.iso"


def isos(pve: Client) -> dict[str, int]:
    return {row["volid"]: row["size"] for row in pve.get(f"{LOCAL}/content", content="iso")}


def upload(pve: Client, name: str, data: bytes, **fields: Any) -> Any:
    reply = pve.http.post(
        f"/api2/json{LOCAL}/upload", data={"content": "iso", **fields}, files={"filename": (name, data)}
    )
    return answer(reply)


def download(pve: Client, **fields: Any) -> str:
    return str(pve.post(f"{LOCAL}/download-url", content="iso", filename="x.iso", url=URL, **fields))


def test_a_storage_is_defined_read_changed_and_removed(pve: Client) -> None:
    made = pve.post(
        "/storage", storage="tank", type="nfs", server="nas", export="/t", content="iso,images", nodes="pve2,pve1"
    )
    assert made == {"storage": "tank", "type": "nfs"}
    row = pve.get("/storage/tank")
    assert (row["content"], row["nodes"]) == ("images,iso", "pve1,pve2")
    pve.put("/storage/tank", content="iso", digest=row["digest"], delete="nodes")
    assert (pve.get("/storage/tank")["content"], "nodes" in pve.get("/storage/tank")) == ("iso", False)
    stale = pve.call("PUT", "/storage/tank", content="iso", digest=row["digest"])
    assert stale.reason == "detected modified configuration - file changed by other user? Try again."
    pve.delete("/storage/tank")
    assert pve.call("GET", "/storage/tank").reason == "storage 'tank' does not exist"


def test_a_storage_that_exists_is_not_defined_again(pve: Client) -> None:
    reply = pve.call("POST", "/storage", storage="local", type="dir", path="/x")
    assert reply.reason.endswith("storage ID 'local' already defined")


def test_secrets_of_a_storage_are_never_read_back(pve: Client) -> None:
    pve.post("/storage", storage="share", type="cifs", server="nas", share="s", username="u", password="top-secret")
    assert "top-secret" not in str(pve.get("/storage/share"))


def test_a_storage_is_disabled_or_absent_with_a_text_that_says_so(pve: Client) -> None:
    pve.put("/storage/local", disable=1)
    assert pve.call("GET", f"{LOCAL}/content").reason == "storage 'local' is disabled"
    pve.put("/storage/nfs", nodes="pve2")
    assert pve.call("GET", "/nodes/pve1/storage/nfs/content").reason == "storage 'nfs' is not available on node 'pve1'"
    assert pve.call("GET", "/nodes/pve1/storage/nope/content").reason == "storage 'nope' does not exist"


def test_an_upload_is_stored_with_its_exact_size_under_a_plain_name(pve: Client) -> None:
    data = bytes(range(256)) * 5 + b"\r\n"
    pve.ok(upload(pve, "../some dir/my file.iso", data).data)
    assert isos(pve)["local:iso/my_file.iso"] == len(data)


def test_an_upload_with_a_wrong_checksum_fails_in_its_task(pve: Client) -> None:
    good = hashlib.sha256(b"abc").hexdigest()
    fields = {"checksum-algorithm": "sha256"}
    pve.ok(upload(pve, "a.iso", b"abc", checksum=good, **fields).data)
    assert "checksum mismatch" in pve.done(upload(pve, "b.iso", b"abd", checksum=good, **fields).data)
    assert "local:iso/b.iso" not in isos(pve)


def test_an_upload_with_a_wrong_ending_is_400(pve: Client) -> None:
    assert upload(pve, "a.txt", b"abc").errors == {"filename": "wrong file extension"}


def test_a_download_does_not_override_another_file(pve: Client) -> None:
    checked = {"checksum": "ab" * 32, "checksum-algorithm": "sha256"}
    pve.ok(download(pve, **checked))
    pve.ok(download(pve, **checked))
    assert pve.done(download(pve)) == "refusing to override existing file 'x.iso'"


def test_content_is_removed_by_a_task_or_at_once_within_the_delay(pve: Client) -> None:
    pve.ok(upload(pve, "a.iso", b"abc").data)
    pve.ok(pve.delete(f"{LOCAL}/content/local:iso/a.iso"))
    assert "local:iso/a.iso" not in isos(pve)
    upload(pve, "a.iso", b"abc")
    assert pve.delete(f"{LOCAL}/content/local:iso/a.iso", delay=5) is None


def test_allocation_answers_with_the_volume(pve: Client) -> None:
    path = "/nodes/pve1/storage/local-lvm/content"
    assert pve.post(path, vmid=100, filename="vm-100-disk-0", size="4G") == "local-lvm:vm-100-disk-0"
    assert pve.call("POST", path, vmid=100, filename="vm-101-disk-0", size="4G").status == 400


def test_shared_content_is_seen_from_every_node_and_local_content_from_one(pve: Client) -> None:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, scsi0="ceph:1", scsi1="local-lvm:1"))
    seen = [len(pve.get(f"/nodes/pve2/storage/{name}/content")) for name in ("ceph", "local-lvm")]
    assert seen == [1, 0]


@pytest.fixture
def members(pve: Client) -> None:
    for pool in ("a", "b"):
        pve.post("/pools", poolid=pool)
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, pool="a"))


def test_membership_is_not_idempotent_and_moves_only_when_told(pve: Client, members: None) -> None:
    again = pve.call("PUT", "/pools", poolid="a", vms="100")
    assert again.reason.endswith("VM 100 is already a pool member")
    other = pve.call("PUT", "/pools", poolid="b", vms="100")
    assert other.reason.endswith("VM 100 belongs already to pool 'a' and 'allow-move' is not set")
    pve.put("/pools", **{"poolid": "b", "vms": "100", "allow-move": 1})
    assert pve.call("PUT", "/pools/a", vms="100", delete=1).reason.endswith("VM 100 is not a pool member")
    assert [row["vmid"] for row in pve.get("/pools/b")["members"]] == [100]


def test_only_an_empty_pool_is_removed(pve: Client, members: None) -> None:
    reply = pve.call("DELETE", "/pools", poolid="a")
    assert reply.reason.endswith("pool 'a' is not empty (contains VM 100)")
    pve.put("/pools/a", vms="100", delete=1)
    pve.delete("/pools/a")
    assert [row["poolid"] for row in pve.get("/pools")] == ["b"]


def test_a_destroyed_guest_leaves_its_pool(pve: Client, members: None) -> None:
    pve.ok(pve.delete("/nodes/pve1/qemu/100"))
    assert pve.get("/pools/a")["members"] == []


def test_an_existing_pool_is_not_made_again_and_nested_ones_need_their_parent(pve: Client, members: None) -> None:
    text = "create pool failed: pool 'a' already exists"
    assert pve.call("POST", "/pools", poolid="a").reason == text
    assert pve.call("POST", "/pools", poolid="x/y").status == 500
    pve.post("/pools", poolid="a/y")
    assert [pool["poolid"] for pool in pve.get("/pools", poolid="a/y")] == ["a/y"]
