"""Firewall rules by position, and backups."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proxmox.client import Client

VM = "/nodes/pve1/qemu/100"
RULES = f"{VM}/firewall/rules"
MODIFIED = "detected modified configuration - file changed by other user? Try again."


@pytest.fixture
def vm(pve: Client) -> str:
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100, scsi0="ceph:8"))
    return VM


def rules(pve: Client) -> list[str]:
    return [row["comment"] for row in pve.get(RULES)]


def add(pve: Client, comment: str, **values: Any) -> None:
    pve.post(RULES, type="in", action="ACCEPT", comment=comment, **values)


def test_a_new_rule_comes_first_and_is_off(pve: Client, vm: str) -> None:
    add(pve, "a")
    add(pve, "b", enable=1, pos=1)
    assert [(row["pos"], row["comment"], row["enable"]) for row in pve.get(RULES)] == [(0, "b", 1), (1, "a", 0)]


def test_a_rule_moves_before_the_one_at_its_target_and_nothing_else_changes(pve: Client, vm: str) -> None:
    for comment in "cba":
        add(pve, comment)
    pve.put(f"{RULES}/0", moveto=2, comment="x")
    assert rules(pve) == ["b", "a", "c"]
    pve.put(f"{RULES}/2", moveto=0)
    assert rules(pve) == ["c", "b", "a"]
    pve.put(f"{RULES}/0", moveto=3)
    assert rules(pve) == ["b", "a", "c"]


def test_the_digest_of_a_rule_covers_the_whole_list(pve: Client, vm: str) -> None:
    add(pve, "a")
    digest = pve.get(f"{RULES}/0")["digest"]
    add(pve, "b")
    assert pve.call("DELETE", f"{RULES}/0", digest=digest).reason == MODIFIED
    pve.delete(f"{RULES}/0", digest=pve.get(RULES)[0]["digest"])
    assert rules(pve) == ["a"]


def test_a_position_without_a_rule_is_500(pve: Client, vm: str) -> None:
    assert pve.call("DELETE", f"{RULES}/9").reason == "no rule at position 9"


def test_options_aliases_and_sets_live_in_the_guests_file_and_go_with_it(pve: Client, vm: str) -> None:
    base = f"{vm}/firewall"
    pve.put(f"{base}/options", enable=1, policy_in="DROP")
    pve.post(f"{base}/aliases", name="web", cidr="10.0.0.1")
    pve.post(f"{base}/ipset", name="ok")
    pve.post(f"{base}/ipset/ok", cidr="10.0.0.0/24")
    assert (pve.get(f"{base}/options")["policy_in"], pve.get(f"{base}/aliases")[0]["cidr"]) == ("DROP", "10.0.0.1")
    pve.delete(f"{base}/ipset/ok/10.0.0.0/24")
    assert pve.get(f"{base}/ipset/ok") == []
    pve.ok(pve.delete(vm))
    pve.ok(pve.post("/nodes/pve1/qemu", vmid=100))
    assert set(pve.get(f"{base}/options")) == {"digest"}


def test_a_security_group_is_a_list_of_rules_and_removed_when_empty(pve: Client) -> None:
    groups = "/cluster/firewall/groups"
    pve.post(groups, group="web")
    pve.post(f"{groups}/web", type="in", action="ACCEPT", dport="80", proto="tcp")
    assert "not empty" in pve.call("DELETE", f"{groups}/web").reason
    pve.delete(f"{groups}/web/0")
    pve.delete(f"{groups}/web")
    assert pve.get(groups) == []


def test_a_port_needs_a_protocol(pve: Client, vm: str) -> None:
    assert pve.call("POST", RULES, type="in", action="ACCEPT", dport="80").status == 400


def test_a_backup_job_needs_a_schedule_and_loses_purged_guests(pve: Client, vm: str) -> None:
    jobs = "/cluster/backup"
    reply = pve.call("POST", jobs, id="nightly", vmid="100")
    assert reply.errors == {"schedule": "neither 'starttime' nor 'schedule' were set"}
    pve.post(jobs, id="nightly", vmid="100,101", schedule="02:00", storage="local")
    pve.put(f"{jobs}/nightly", comment="c")
    assert (pve.get(f"{jobs}/nightly")["comment"], pve.get(jobs)[0]["enabled"]) == ("c", 1)
    pve.ok(pve.delete(vm, purge=1))
    assert pve.get(f"{jobs}/nightly")["vmid"] == "101"
    pve.delete(f"{jobs}/nightly")
    assert pve.get(jobs) == []


def test_a_guest_is_locked_while_its_backup_runs(pve: Client, vm: str) -> None:
    pve.control("settings", task_length_s={"vzdump": 60})
    upid = pve.post("/nodes/pve1/vzdump", vmid="100", storage="local")
    assert pve.call("PUT", f"{vm}/config", cores=2).reason == "VM is locked (backup)"
    pve.advance(60)
    pve.ok(upid)
    made = pve.get("/nodes/pve1/storage/local/content", content="backup")
    assert made[0]["volid"].startswith("local:backup/vzdump-qemu-100-")
    assert "lock" not in pve.get(f"{vm}/config")


def test_a_backup_of_nothing_on_this_node_answers_ok(pve: Client, vm: str) -> None:
    assert pve.post("/nodes/pve2/vzdump", vmid="100", storage="local") == "OK"


def test_the_ledger_tells_every_accepted_change_and_no_secret(pve: Client, vm: str) -> None:
    pve.call("PUT", f"{vm}/config", nonsense=1)
    pve.put(f"{vm}/config", cipassword="top-secret", cores=2)
    ledger = pve.http.get("/__control/ledger").json()["data"]
    assert [(entry["verb"], entry["path"]) for entry in ledger["changes"]] == [
        ("POST", "/nodes/{node}/qemu"),
        ("PUT", "/nodes/{node}/qemu/{vmid}/config"),
    ]
    assert ledger["calls"] > len(ledger["changes"])
    assert "top-secret" not in str(ledger)
