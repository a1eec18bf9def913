"""Tickets, users, tokens, groups, roles, the access control list, and what a login may."""

from __future__ import annotations

import uuid
from typing import Any

from tests.proxmox.calls import Call, Routes
from tests.proxmox.faults import ApiError, bad_parameter, died, forbidden
from tests.proxmox.logins import csrf_for, ticket_for, ticket_user
from tests.proxmox.named_formats import split_list
from tests.proxmox.permissions import Login, all_roles, may, privileges
from tests.proxmox.privileges import builtin_roles
from tests.proxmox.world import Entry, Token, User, World

_USER_OPTIONS = ("comment", "email", "firstname", "lastname", "keys")


def _ticket(call: Call) -> dict[str, Any]:
    world, userid, password = call.world, call.text("username"), call.text("password")
    if "@" not in userid:
        userid = f"{userid}@{call.text('realm', 'pam')}"
    user = world.users.get(userid)
    renewed = ticket_user(world, password) == userid
    if user is None or not user.enable or not (renewed or (user.password and user.password == password)):
        raise ApiError(401, "authentication failure")
    result: dict[str, Any] = {"username": userid, "clustername": "emulated"}
    if user.second_factor and not renewed:
        return {**result, "NeedTFA": 1, "ticket": "PVE:!tfa!", "CSRFPreventionToken": csrf_for(world, userid)}
    caps = privileges(world, Login(userid), "/")
    cap = {"vms": {name: 1 for name in sorted(caps) if name.startswith("VM.")}}
    return {**result, "ticket": ticket_for(world, userid), "CSRFPreventionToken": csrf_for(world, userid), "cap": cap}


def _domains(call: Call) -> list[dict[str, Any]]:
    return [
        {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
    ]


def _user(world: World, userid: str) -> User:
    if userid not in world.users:
        raise died(f"no such user ('{userid}')")
    return world.users[userid]


def _user_row(user: User) -> dict[str, Any]:
    return {"enable": int(user.enable), "expire": user.expire_s, **user.options}


def _users(call: Call) -> list[dict[str, Any]]:
    rows = []
    for userid, user in call.world.users.items():
        wide = may(call.world, call.login, "/access/groups", "Sys.Audit") or may(
            call.world, call.login, "/access/groups", "User.Modify"
        )
        if wide or userid == call.login.userid:
            rows.append({"userid": userid, "realm-type": userid.rpartition("@")[2], **_user_row(user)})
    return rows


def _add_user(call: Call) -> None:
    userid = call.text("userid")
    if userid in call.world.users:
        raise died(f"create user failed: user '{userid}' already exists")
    if userid.rpartition("@")[2] not in ("pam", "pve"):
        raise died(f"create user failed: domain '{userid.rpartition('@')[2]}' does not exist")
    user = call.world.users[userid] = User(userid, password=call.text("password"))
    _set_user(call, user)


def _set_user(call: Call, user: User) -> None:
    user.enable = call.flag("enable", default=user.enable)
    user.expire_s = call.number("expire", user.expire_s)
    user.options |= {key: call.text(key) for key in _USER_OPTIONS if key in call.params}
    if "groups" in call.params:
        groups = split_list(call.text("groups"))
        for group in groups:
            if group not in call.world.groups:
                raise died(f"no such group '{group}'")
        user.groups = [*user.groups, *groups] if call.flag("append") else groups


def _read_user(call: Call) -> dict[str, Any]:
    user = _user(call.world, call.text("userid"))
    tokens = {name: _token_row(token) for name, token in user.tokens.items()}
    return {**_user_row(user), "groups": user.groups, "tokens": tokens}


def _change_user(call: Call) -> None:
    _set_user(call, _user(call.world, call.text("userid")))


def _drop_user(call: Call) -> None:
    userid = call.text("userid")
    _user(call.world, userid)
    if userid == "root@pam":
        raise died("delete user failed: user 'root@pam' cannot be deleted")
    del call.world.users[userid]
    call.world.acl = [e for e in call.world.acl if e.ugid != userid and not e.ugid.startswith(f"{userid}!")]


def _password(call: Call) -> None:
    _user(call.world, call.text("userid")).password = call.text("password")


def _token_row(token: Token) -> dict[str, Any]:
    row: dict[str, Any] = {"privsep": int(token.privsep), "expire": token.expire_s}
    return row if token.comment is None else {**row, "comment": token.comment}


def _tokens(call: Call) -> list[dict[str, Any]]:
    tokens = _user(call.world, call.text("userid")).tokens
    return [{"tokenid": name, **_token_row(token)} for name, token in tokens.items()]


def _token(call: Call) -> Token:
    tokens = _user(call.world, call.text("userid")).tokens
    if call.text("tokenid") not in tokens:
        raise died(f"no such token '{call.text('tokenid')}' for user '{call.text('userid')}'")
    return tokens[call.text("tokenid")]


def _add_token(call: Call) -> dict[str, Any]:
    user, tokenid = _user(call.world, call.text("userid")), call.text("tokenid")
    if tokenid in user.tokens:
        raise bad_parameter("tokenid", "Token already exists.")
    secret = str(uuid.UUID(int=call.world.draw().getrandbits(128), version=4))
    token = Token(secret, call.flag("privsep", default=True), call.number("expire"), call.optional("comment"))
    user.tokens[tokenid] = token
    return {"full-tokenid": f"{user.userid}!{tokenid}", "value": secret, "info": _token_row(token)}


def _change_token(call: Call) -> dict[str, Any]:
    token = _token(call)
    token.privsep = call.flag("privsep", default=token.privsep)
    token.expire_s = call.number("expire", token.expire_s)
    token.comment = call.optional("comment") or token.comment
    return _token_row(token)


def _drop_token(call: Call) -> None:
    _token(call)
    del _user(call.world, call.text("userid")).tokens[call.text("tokenid")]
    name = f"{call.text('userid')}!{call.text('tokenid')}"
    call.world.acl = [entry for entry in call.world.acl if entry.ugid != name]


def _groups(call: Call) -> list[dict[str, Any]]:
    users = call.world.users.values()
    return [
        {"groupid": name, "comment": comment, "users": ",".join(user.userid for user in users if name in user.groups)}
        for name, comment in call.world.groups.items()
    ]


def _add_group(call: Call) -> None:
    if call.text("groupid") in call.world.groups:
        raise died(f"create group failed: group '{call.text('groupid')}' already exists")
    call.world.groups[call.text("groupid")] = call.text("comment")


def _drop_group(call: Call) -> None:
    if call.world.groups.pop(call.text("groupid"), None) is None:
        raise died(f"delete group failed: group '{call.text('groupid')}' does not exist")


def _roles(call: Call) -> list[dict[str, Any]]:
    builtin = builtin_roles(call.world.version)
    return [
        {"roleid": name, "privs": ",".join(sorted(granted)), "special": int(name in builtin)}
        for name, granted in sorted(all_roles(call.world).items())
    ]


def _add_role(call: Call) -> None:
    if call.text("roleid") in all_roles(call.world):
        raise died(f"create role failed: role '{call.text('roleid')}' already exists")
    call.world.roles[call.text("roleid")] = split_list(call.text("privs"))


def _read_role(call: Call) -> dict[str, int]:
    roles = all_roles(call.world)
    if call.text("roleid") not in roles:
        raise died(f"role '{call.text('roleid')}' does not exist")
    return dict.fromkeys(sorted(roles[call.text("roleid")]), 1)


def _change_role(call: Call) -> None:
    if call.text("roleid") not in call.world.roles:
        raise died(f"modify role failed: role '{call.text('roleid')}' does not exist")
    old = call.world.roles[call.text("roleid")] if call.flag("append") else []
    call.world.roles[call.text("roleid")] = [*old, *split_list(call.text("privs"))]


def _drop_role(call: Call) -> None:
    if call.world.roles.pop(call.text("roleid"), None) is None:
        raise died(f"delete role failed: role '{call.text('roleid')}' does not exist")


def _acl(call: Call) -> list[dict[str, Any]]:
    return [
        {"path": e.path, "type": e.type, "ugid": e.ugid, "roleid": e.roleid, "propagate": int(e.propagate)}
        for e in call.world.acl
        if may(call.world, call.login, e.path, "Permissions.Modify")
        or may(call.world, call.login, "/access", "Sys.Audit")
    ]


def _set_acl(call: Call) -> None:
    world, path = call.world, "/" + call.text("path").strip("/")
    named = [(kind, ugid) for kind in ("user", "group", "token") for ugid in split_list(call.text(f"{kind}s"))]
    if not named:
        raise bad_parameter("users", "either 'users', 'groups' or 'tokens' is required.")
    for roleid in split_list(call.text("roles")):
        if roleid not in all_roles(world):
            raise died(f"role '{roleid}' does not exist")
        for kind, ugid in named:
            _check_ugid(world, kind, ugid)
            found = (path, kind, ugid, roleid)
            world.acl = [e for e in world.acl if (e.path, e.type, e.ugid, e.roleid) != found]
            if not call.flag("delete"):
                world.acl.append(Entry(*found, propagate=call.flag("propagate", default=True)))


def _check_ugid(world: World, kind: str, ugid: str) -> None:
    userid, _, tokenid = ugid.partition("!")
    known = ugid in world.groups if kind == "group" else userid in world.users
    if not known or (kind == "token" and tokenid not in world.users[userid].tokens):
        raise died(f"{kind} '{ugid}' does not exist")


def _permissions(call: Call) -> dict[str, dict[str, int]]:
    login = call.login
    if call.optional("userid") is not None and call.text("userid") != login.name:
        if not may(call.world, login, "/access", "Sys.Audit"):
            raise forbidden("/access, Sys.Audit")
        userid, _, tokenid = call.text("userid").partition("!")
        login = Login(userid, tokenid or None)
    fixed = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"]
    fixed += [entry.path for entry in call.world.acl]
    fixed += [f"/vms/{vmid}" for pool in call.world.pools.values() for vmid in pool["vms"]]
    paths = [call.text("path")] if call.optional("path") is not None else sorted(set(fixed))
    found = {path: privileges(call.world, login, path) for path in paths}
    wanted = call.optional("path") is not None
    return {path: dict.fromkeys(sorted(privs), 1) for path, privs in found.items() if privs or wanted}


ROUTES: Routes = {
    ("POST", "/access/ticket"): _ticket,
    ("GET", "/access/domains"): _domains,
    ("GET", "/access/users"): _users,
    ("POST", "/access/users"): _add_user,
    ("GET", "/access/users/{userid}"): _read_user,
    ("PUT", "/access/users/{userid}"): _change_user,
    ("DELETE", "/access/users/{userid}"): _drop_user,
    ("PUT", "/access/password"): _password,
    ("GET", "/access/users/{userid}/token"): _tokens,
    ("GET", "/access/users/{userid}/token/{tokenid}"): lambda call: _token_row(_token(call)),
    ("POST", "/access/users/{userid}/token/{tokenid}"): _add_token,
    ("PUT", "/access/users/{userid}/token/{tokenid}"): _change_token,
    ("DELETE", "/access/users/{userid}/token/{tokenid}"): _drop_token,
    ("GET", "/access/groups"): _groups,
    ("POST", "/access/groups"): _add_group,
    ("DELETE", "/access/groups/{groupid}"): _drop_group,
    ("GET", "/access/roles"): _roles,
    ("POST", "/access/roles"): _add_role,
    ("GET", "/access/roles/{roleid}"): _read_role,
    ("PUT", "/access/roles/{roleid}"): _change_role,
    ("DELETE", "/access/roles/{roleid}"): _drop_role,
    ("GET", "/access/acl"): _acl,
    ("PUT", "/access/acl"): _set_acl,
    ("GET", "/access/permissions"): _permissions,
}
