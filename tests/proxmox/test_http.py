"""The HTTP layer behaves as the API's does."""

from __future__ import annotations

import ssl

import httpx2
import pytest

from tests.proxmox.client import Client, answer, logged_in
from tests.proxmox.serving import Serving

VERIFY = "Parameter verification failed."


def test_success_is_an_envelope_and_keeps_the_connection(pve: Client) -> None:
    response = pve.http.get("/api2/json/version")
    assert (response.json()["data"]["release"], response.headers["connection"]) == ("9.1", "Keep-Alive")
    assert response.headers["content-type"] == "application/json;charset=UTF-8"


def test_an_error_says_why_in_the_status_line_and_in_the_body_and_closes_the_connection(pve: Client) -> None:
    response = pve.http.get("/api2/json/nodes/pve1/qemu/100/config")
    text = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    assert (response.status_code, response.reason_phrase) == (500, text)
    assert response.json() == {"data": None, "message": f"{text}\n"}
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(("verb", "path"), [("GET", "/nope"), ("POST", "/version"), ("DELETE", "/nodes")])
def test_an_unknown_path_or_verb_is_501(pve: Client, verb: str, path: str) -> None:
    reply = pve.call(verb, path)
    assert (reply.status, reply.reason) == (501, f"Method '{verb} {path}' not implemented")


def test_other_verbs_are_501_of_the_server_core(pve: Client) -> None:
    response = pve.http.request("PATCH", "/api2/json/version")
    assert (response.status_code, response.reason_phrase, response.content) == (
        501,
        "method 'PATCH' not available",
        b"",
    )


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_a_body_on_get_or_delete_is_501(pve: Client, verb: str) -> None:
    reply = answer(pve.http.request(verb, "/api2/json/nodes/pve1/qemu/100", content=b"purge=1"))
    assert (reply.status, reply.reason) == (501, f"Unexpected content for method '{verb}'")


def test_a_body_of_another_type_is_506_and_a_large_one_501(pve: Client) -> None:
    xml = pve.http.post("/api2/json/pools", content=b"<a/>", headers={"Content-Type": "text/xml"})
    assert xml.status_code == 506
    large = pve.http.post("/api2/json/pools", data={"poolid": "a", "comment": "x" * 600_000})
    assert (large.status_code, large.reason_phrase) == (501, "for data too large")


def test_chunked_bodies_are_501(pve: Client) -> None:
    response = pve.http.post("/api2/json/pools", content=iter([b"poolid=a"]))
    assert response.status_code == 501


def test_json_bodies_are_read_as_text(pve: Client) -> None:
    response = pve.http.post("/api2/json/nodes/pve1/qemu", json={"vmid": 100, "cores": 2, "onboot": True})
    assert response.status_code == 200
    config = pve.get("/nodes/pve1/qemu/100/config")
    assert (config["cores"], config["onboot"]) == (2, 1)


def test_a_refused_parameter_is_400_with_all_faults_at_once(pve: Client) -> None:
    reply = pve.call("POST", "/nodes/pve1/qemu", cores="x", foo="1")
    assert (reply.status, reply.reason) == (400, VERIFY)
    assert sorted(reply.errors) == ["cores", "foo", "vmid"]


def test_a_path_parameter_sent_again_with_another_value_is_400(pve: Client) -> None:
    reply = pve.call("PUT", "/nodes/pve1/qemu/100/config", vmid="101")
    text = "duplicate parameter (already defined in URI) with conflicting values!"
    assert (reply.status, reply.errors) == (400, {"vmid": text})


def test_a_path_part_of_the_wrong_shape_is_400(pve: Client) -> None:
    reply = pve.call("GET", "/nodes/pve1/qemu/abc/config")
    assert (reply.status, list(reply.errors)) == (400, ["vmid"])


def test_a_call_for_a_dead_node_is_595_before_its_parameters_are_looked_at(pve: Client) -> None:
    pve.control("node", name="pve2", online=False)
    assert pve.call("POST", "/nodes/pve2/qemu", foo="1").status == 595
    assert pve.call("POST", "/nodes/pve1/qemu", foo="1").status == 400


def test_a_node_unknown_to_the_cluster_is_500_with_a_look_up_error(pve: Client) -> None:
    reply = pve.call("GET", "/nodes/nowhere/status")
    assert (reply.status, "hostname lookup 'nowhere' failed" in reply.reason) == (500, True)


@pytest.mark.parametrize("after", [False, True])
def test_596_may_come_before_or_after_the_work_was_done(pve: Client, after: bool) -> None:
    pve.control("faults", on="call", method="POST", path="/pools", kind="status", status=596, after=after)
    assert pve.call("POST", "/pools", poolid="a").status == 596
    assert [pool["poolid"] for pool in pve.get("/pools")] == (["a"] if after else [])


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_may_end_without_an_answer_before_or_after_the_work(pve: Client, after: bool) -> None:
    pve.control("faults", on="call", path="/pools", kind="drop", after=after)
    with pytest.raises(httpx2.TransportError):
        pve.call("POST", "/pools", poolid="a")
    assert [pool["poolid"] for pool in pve.get("/pools")] == (["a"] if after else [])


def test_a_daemon_that_restarts_drops_connections_while_its_workers_go_on(pve: Client) -> None:
    pve.control("settings", task_length_s={"*": 60})
    upid = pve.post("/nodes/pve1/qemu", vmid=100)
    pve.control("restart", down_s=30)
    with pytest.raises(httpx2.TransportError):
        pve.call("GET", "/version")
    pve.advance(61)
    pve.ok(upid)


def test_extjs_is_the_same_with_success_and_always_200(pve: Client) -> None:
    good = pve.http.get("/api2/extjs/version").json()
    bad = pve.http.get("/api2/extjs/nodes/pve1/qemu/abc/config")
    assert (good["success"], bad.status_code, bad.json()["success"], bad.json()["status"]) == (1, 200, 0, 400)


def test_without_quorum_changes_are_refused(pve: Client) -> None:
    pve.control("settings", quorate=False)
    reply = pve.call("POST", "/nodes/pve1/qemu", vmid=100)
    assert (reply.status, reply.reason) == (500, "cluster not ready - no quorum?")


def test_https_is_served_with_a_certificate_of_its_own_authority() -> None:
    with Serving(tls=True) as serving:
        context = ssl.create_default_context(cadata=serving.authority_pem.decode())
        with httpx2.Client(verify=context) as client:
            response = client.get(f"{serving.url}/api2/json/access/domains")
        assert [realm["realm"] for realm in response.json()["data"]] == ["pam", "pve"]


def test_release_8_serves_its_own_schema_and_roles() -> None:
    with Serving(version="8.4") as serving:
        client = logged_in(serving.url)
        assert client.get("/version")["release"] == "8.4"
        assert "VM.Monitor" in client.get("/access/permissions")["/"]
        client.close()
