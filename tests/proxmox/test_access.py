"""Logins, tokens and rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxmox.client import Client, logged_in, with_token
from tests.proxmox.serving import Serving


@pytest.fixture
def bare(serving: Serving) -> Iterator[Client]:
    client = Client(serving.url)
    yield client
    client.close()


def made_token(pve: Client, *, privsep: int = 1, **acl: str) -> Client:
    """A token of alma@pve, with the role PVEVMAdmin-like rights asked for on the paths of `acl` (role by path)."""
    pve.post("/access/users", userid="alma@pve")
    made = pve.post("/access/users/alma@pve/token/ctl", privsep=privsep)
    for role, path in acl.items():
        for kind in ("users", "tokens"):
            pve.put("/access/acl", path=path, roles=role, **{kind: "alma@pve" + ("!ctl" if kind == "tokens" else "")})
    return with_token(pve.url, made["full-tokenid"], made["value"])


def test_without_credentials_the_answer_is_401_without_json(bare: Client) -> None:
    reply = bare.call("GET", "/version")
    assert (reply.status, reply.reason, reply.body) == (401, "No ticket", {})


def test_a_wrong_password_is_401_with_an_empty_envelope(bare: Client) -> None:
    reply = bare.call("POST", "/access/ticket", username="root@pam", password="no")
    assert (reply.status, reply.reason, reply.data) == (401, "authentication failure", None)


def test_changes_with_a_ticket_need_the_csrf_token(pve: Client, bare: Client) -> None:
    bare.http.headers["Cookie"] = pve.http.headers["Cookie"]
    assert bare.call("GET", "/version").status == 200
    assert bare.call("POST", "/pools", poolid="a").status == 401
    bare.http.headers["CSRFPreventionToken"] = pve.http.headers["CSRFPreventionToken"]
    assert bare.call("POST", "/pools", poolid="a").status == 200


def test_a_ticket_lives_two_hours_and_is_renewed_with_itself(pve: Client, bare: Client) -> None:
    ticket = pve.http.headers["Cookie"].partition("=")[2]
    pve.advance(7000)
    renewed = bare.post("/access/ticket", username="root@pam", password=ticket)["ticket"]
    pve.advance(300)
    assert pve.call("GET", "/version").status == 401
    bare.http.headers["Cookie"] = f"PVEAuthCookie={renewed}"
    assert bare.call("GET", "/version").status == 200


def test_a_second_factor_is_asked_for(pve: Client, bare: Client) -> None:
    pve.control("user", userid="tfa@pve", password="secret-1", second_factor=True)
    assert bare.post("/access/ticket", username="tfa@pve", password="secret-1")["NeedTFA"] == 1


def test_a_token_shows_its_secret_once_and_a_second_create_is_400(pve: Client) -> None:
    pve.post("/access/users", userid="alma@pve")
    made = pve.post("/access/users/alma@pve/token/ctl")
    assert set(made) == {"full-tokenid", "value", "info"}
    again = pve.call("POST", "/access/users/alma@pve/token/ctl")
    assert (again.status, again.errors) == (400, {"tokenid": "Token already exists."})
    assert made["value"] not in str(pve.get("/access/users/alma@pve/token"))


def test_a_token_needs_no_csrf_and_a_wrong_secret_is_401(pve: Client, bare: Client) -> None:
    token = made_token(pve, PVEAdmin="/")
    assert token.call("POST", "/nodes/pve1/qemu", vmid=100).status == 200
    bare.http.headers["Authorization"] = "PVEAPIToken alma@pve!ctl=wrong"
    assert (bare.call("GET", "/version").status, bare.call("GET", "/version").reason) == (401, "invalid token value!")
    token.close()


def test_the_rights_of_a_separated_token_are_its_own_as_far_as_its_user_has_them(pve: Client) -> None:
    token = made_token(pve)
    pve.put("/access/acl", path="/", roles="PVEAdmin", tokens="alma@pve!ctl")
    assert token.get("/access/permissions") == {}
    pve.put("/access/acl", path="/", roles="PVEAuditor", users="alma@pve")
    assert set(token.get("/access/permissions", path="/")["/"]) >= {"VM.Audit"}
    assert "VM.Allocate" not in token.get("/access/permissions", path="/")["/"]
    pve.put("/access/acl", path="/", roles="PVEAdmin", users="alma@pve")
    pve.put("/access/acl", path="/vms/100", roles="PVEAuditor", tokens="alma@pve!ctl")
    assert "VM.Allocate" in token.get("/access/permissions", path="/vms/101")["/vms/101"]
    assert "VM.Allocate" not in token.get("/access/permissions", path="/vms/100")["/vms/100"]
    token.close()


def test_a_token_that_is_not_separated_has_the_rights_of_its_user(pve: Client) -> None:
    token = made_token(pve, privsep=0)
    pve.put("/access/acl", path="/vms", roles="PVEVMAdmin", users="alma@pve")
    assert "VM.Allocate" in token.get("/access/permissions", path="/vms/100")["/vms/100"]
    token.close()


def test_a_token_of_root_is_not_root_for_reserved_options(pve: Client) -> None:
    made = pve.post("/access/users/root@pam/token/ctl", privsep=0)
    token = with_token(pve.url, "root@pam!ctl", made["value"])
    assert token.call("POST", "/nodes/pve1/qemu", vmid=100, args="-S").status != 200
    assert token.call("POST", "/nodes/pve1/qemu", vmid=100).status == 200
    token.close()


def test_a_missing_right_is_403_with_path_and_privilege(pve: Client) -> None:
    token = made_token(pve, PVEAuditor="/")
    pve.post("/nodes/pve1/qemu", vmid=100)
    reply = token.call("POST", "/nodes/pve1/qemu/100/status/start")
    assert (reply.status, reply.reason) == (403, "Permission check failed (/vms/100, VM.PowerMgmt)")
    token.close()


def test_403_hides_400(pve: Client) -> None:
    token = made_token(pve)
    assert token.call("POST", "/nodes/pve1/qemu/100/status/start", foo="1").status == 403
    token.close()


def test_lists_are_filtered_silently(pve: Client) -> None:
    pve.post("/nodes/pve1/qemu", vmid=100)
    pve.post("/nodes/pve1/qemu", vmid=101)
    token = made_token(pve, PVEAuditor="/vms/101")
    assert [row["vmid"] for row in token.get("/cluster/resources", type="vm")] == [101]
    assert token.get("/pools") == []
    token.close()


def test_rights_on_a_pool_hold_for_its_members(pve: Client) -> None:
    pve.post("/pools", poolid="web")
    pve.post("/nodes/pve1/qemu", vmid=100, pool="web")
    token = made_token(pve, PVEVMUser="/pool/web")
    assert token.call("POST", "/nodes/pve1/qemu/100/status/start").status == 200
    token.close()


def test_no_access_nearby_takes_away_what_was_inherited(pve: Client) -> None:
    token = made_token(pve, PVEAdmin="/", NoAccess="/vms/100")
    assert token.get("/access/permissions", path="/vms/100") == {"/vms/100": {}}
    assert "VM.Audit" in token.get("/access/permissions", path="/vms/101")["/vms/101"]
    token.close()


def test_an_entry_without_propagation_ends_at_its_path(pve: Client) -> None:
    pve.post("/access/users", userid="a@pve", password="secret-1")
    pve.put("/access/acl", path="/vms", roles="PVEVMAdmin", users="a@pve", propagate=0)
    client = logged_in(pve.url, "a@pve", "secret-1")
    assert client.get("/access/permissions", path="/vms/100") == {"/vms/100": {}}
    assert "VM.Audit" in client.get("/access/permissions", path="/vms")["/vms"]
    client.close()


def test_rights_of_a_group_reach_its_users(pve: Client) -> None:
    pve.post("/access/groups", groupid="ops")
    pve.post("/access/users", userid="a@pve", password="secret-1", groups="ops")
    pve.put("/access/acl", path="/", roles="PVEAuditor", groups="ops")
    client = logged_in(pve.url, "a@pve", "secret-1")
    assert "VM.Audit" in client.get("/access/permissions")["/"]
    client.close()


def test_calls_reserved_to_a_ticket_refuse_tokens(pve: Client) -> None:
    token = made_token(pve, PVEAdmin="/")
    reply = token.call("PUT", "/access/password", userid="alma@pve", password="secret-2")
    assert (reply.status, "need proper ticket" in reply.reason) == (403, True)
    token.close()


def test_a_pool_that_does_not_exist_is_403_on_create(pve: Client) -> None:
    reply = pve.call("POST", "/nodes/pve1/qemu", vmid=100, pool="x")
    assert (reply.status, reply.reason) == (403, "Permission check failed (pool 'x' does not exist)")


def test_container_features_are_reserved_even_when_empty(pve: Client) -> None:
    token = made_token(pve, PVEAdmin="/")
    template = "local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"
    base = {"vmid": 100, "ostemplate": template, "storage": "local-lvm"}
    assert token.call("POST", "/nodes/pve1/lxc", **base, features="").status == 403
    assert token.call("POST", "/nodes/pve1/lxc", **base, features="keyctl=1").status == 403
    assert token.call("POST", "/nodes/pve1/lxc", **base, features="nesting=1").status == 200
    token.close()
