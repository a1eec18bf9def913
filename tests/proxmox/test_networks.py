"""Staged networks: software-defined ones and the interfaces of a node."""

from __future__ import annotations

import pytest

from tests.proxmox.client import Client

SDN = "/cluster/sdn"
NETWORK = "/nodes/pve1/network"


@pytest.fixture
def zone(pve: Client) -> None:
    pve.post(f"{SDN}/zones", zone="z1", type="simple")
    pve.post(f"{SDN}/vnets", vnet="v1", zone="z1")


def bridges(pve: Client, node: str) -> list[str]:
    return [row["iface"] for row in pve.get(f"/nodes/{node}/network", type="any_bridge")]


def test_a_vnet_is_a_bridge_only_after_the_apply_and_the_reload_of_the_node(pve: Client, zone: None) -> None:
    assert [row["state"] for row in pve.get(f"{SDN}/vnets", pending=1)] == ["new"]
    assert (pve.get(f"{SDN}/vnets", running=1), "v1" in bridges(pve, "pve1")) == ([], False)
    upid = pve.put(SDN)
    pve.ok(upid)
    assert upid.split(":")[5] == "reloadnetworkall"
    assert [row["vnet"] for row in pve.get(f"{SDN}/vnets", running=1)] == ["v1"]
    assert "v1" in bridges(pve, "pve1")


def test_the_apply_does_not_tell_of_a_node_whose_reload_failed(pve: Client, zone: None) -> None:
    pve.control("faults", on="task", type="srvreload", node="pve2", kind="fail", text="ifreload failed")
    pve.ok(pve.put(SDN))
    assert ("v1" in bridges(pve, "pve1"), "v1" in bridges(pve, "pve2")) == (True, False)
    failed = [row["node"] for row in pve.get("/cluster/tasks") if row.get("status") == "ifreload failed"]
    assert failed == ["pve2"]


def test_changes_and_removals_show_as_pending(pve: Client, zone: None) -> None:
    pve.ok(pve.put(SDN))
    pve.put(f"{SDN}/vnets/v1", alias="x")
    assert pve.get(f"{SDN}/vnets/v1", pending=1)["pending"] == {"alias": "x"}
    pve.delete(f"{SDN}/vnets/v1")
    assert [row["state"] for row in pve.get(f"{SDN}/vnets", pending=1)] == ["deleted"]
    pve.post(f"{SDN}/rollback")
    assert [row.get("state") for row in pve.get(f"{SDN}/vnets", pending=1)] == [None]


def test_a_zone_in_use_is_not_removed_and_nothing_is_defined_twice(pve: Client, zone: None) -> None:
    assert pve.call("DELETE", f"{SDN}/zones/z1").reason.endswith("zone z1 is used by vnet v1")
    reply = pve.call("POST", f"{SDN}/vnets", vnet="v1", zone="z1")
    assert reply.reason.endswith("sdn vnet object ID 'v1' already defined")


def test_while_the_lock_is_held_calls_need_its_token(pve: Client, zone: None) -> None:
    assert pve.call("POST", f"{SDN}/lock").status == 500  # there are pending changes
    token = {"lock-token": pve.post(f"{SDN}/lock", **{"allow-pending": 1})}
    assert pve.call("PUT", f"{SDN}/vnets/v1", alias="x").reason == "invalid lock token provided!"
    pve.put(f"{SDN}/vnets/v1", alias="x", **token)
    pve.ok(pve.put(SDN, **token))
    pve.put(f"{SDN}/vnets/v1", alias="y")  # the apply released it


def test_interfaces_wait_until_they_are_applied_or_reverted(pve: Client) -> None:
    pve.post(NETWORK, iface="vmbr7", type="bridge", autostart=1)
    assert "vmbr7" in pve.call("GET", NETWORK).body["changes"]
    pve.delete(NETWORK)
    assert "changes" not in pve.call("GET", NETWORK).body
    pve.post(NETWORK, iface="vmbr7", type="bridge")
    pve.ok(pve.put(NETWORK))
    assert (pve.get(f"{NETWORK}/vmbr7")["type"], "changes" in pve.call("GET", NETWORK).body) == ("bridge", False)


def test_an_interface_exists_once_and_a_change_replaces_all_its_options(pve: Client) -> None:
    reply = pve.call("POST", NETWORK, iface="vmbr0", type="bridge")
    assert reply.errors == {"iface": "interface already exists"}
    pve.put(f"{NETWORK}/vmbr0", type="bridge", mtu=9000)
    assert "autostart" not in pve.get(f"{NETWORK}/vmbr0")
