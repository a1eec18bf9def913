"""Who may what: roles on paths with propagation, groups, pools, tokens, and the schema's check expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.proxmox.faults import ApiError, forbidden
from tests.proxmox.named_formats import split_list
from tests.proxmox.privileges import builtin_roles, privileges_of
from tests.proxmox.world import Entry, User, World


@dataclass(frozen=True, slots=True)
class Login:
    """Who calls: a user, perhaps through one of its tokens."""

    userid: str
    token: str | None = None

    @property
    def name(self) -> str:
        """`USER@REALM`, or with `!TOKENID`."""
        return self.userid if self.token is None else f"{self.userid}!{self.token}"

    @property
    def is_root(self) -> bool:
        """True for root@pam itself; its tokens are not root@pam."""
        return self.userid == "root@pam" and self.token is None


def all_roles(world: World) -> dict[str, frozenset[str]]:
    """Built-in and own roles."""
    return {**builtin_roles(world.version), **{name: frozenset(privs) for name, privs in world.roles.items()}}


def _steps(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))]


def _roles_on(world: World, path: str, kind: str, names: Sequence[str], found: set[str]) -> set[str]:
    """The roles after descending to `path`: what is nearer replaces what was inherited."""
    for step in _steps(path):
        here = [
            entry
            for entry in world.acl
            if entry.path == step and entry.ugid in names and entry.type == kind and _applies(entry, step, path)
        ]
        if here:
            found = {entry.roleid for entry in here}
    return found


def _applies(entry: Entry, step: str, path: str) -> bool:
    return entry.propagate or step == path


def _user_roles(world: World, user: User, path: str) -> set[str]:
    found: set[str] = set()
    for step in _steps(path):
        own = {e.roleid for e in world.acl if _matches(e, step, path, "user", [user.userid])}
        shared = {e.roleid for e in world.acl if _matches(e, step, path, "group", user.groups)}
        found = own or shared or found
    return found


def _matches(entry: Entry, step: str, path: str, kind: str, names: Sequence[str]) -> bool:
    return entry.path == step and entry.type == kind and entry.ugid in names and _applies(entry, step, path)


def _granted(world: World, roles: set[str]) -> frozenset[str]:
    if "NoAccess" in roles:
        return frozenset()
    known = all_roles(world)
    return frozenset[str]().union(*(known.get(role, frozenset()) for role in roles))


def _direct(world: World, login: Login, path: str, *, as_user: bool) -> frozenset[str]:
    if login.userid == "root@pam" and (login.token is None or as_user):
        return privileges_of(world.version)
    user = world.users.get(login.userid)
    if user is None:
        return frozenset()
    if login.token is None or as_user:
        return _granted(world, _user_roles(world, user, path))
    return _granted(world, _roles_on(world, path, "token", [login.name], set()))


def _with_pool(world: World, login: Login, path: str, *, as_user: bool) -> frozenset[str]:
    granted = _direct(world, login, path, as_user=as_user)
    kind, _, name = path[1:].partition("/")
    if kind not in ("vms", "storage") or not name:
        return granted
    member, key = (int(name), "vms") if kind == "vms" and name.isdigit() else (name, "storage")
    for pool, members in world.pools.items():
        if member in members[key]:
            granted |= _direct(world, login, f"/pool/{pool}", as_user=as_user)
    return granted


def privileges(world: World, login: Login, path: str) -> frozenset[str]:
    """What `login` may on `path`. A separated token: its own rights, as far as its user has them, too."""
    if login.token is None:
        return _with_pool(world, login, path, as_user=True)
    token = world.users[login.userid].tokens[login.token]
    of_user = _with_pool(world, login, path, as_user=True)
    return of_user & _with_pool(world, login, path, as_user=False) if token.privsep else of_user


def may(world: World, login: Login, path: str, *names: str) -> bool:
    """True if `login` holds every one of `names` on `path`."""
    return privileges(world, login, path).issuperset(names)


def require(world: World, login: Login, path: str, names: Sequence[str], *, any_of: bool = False) -> None:
    """Raises the 403 of the API unless `login` holds all (or one) of `names` on `path`."""
    held = privileges(world, login, path)
    if any_of and not held.intersection(names):
        raise forbidden(f"{path}, {'|'.join(names)}")
    for name in () if any_of else names:
        if name not in held:
            raise forbidden(f"{path}, {name}")


def check_method(world: World, login: Login, permissions: Mapping[str, Any] | None, params: Mapping[str, Any]) -> None:
    """The check a method declares in the schema. Raises ApiError 403."""
    if login.is_root:
        return
    if permissions is None:
        raise forbidden("user != root@pam")
    if permissions.get("user") in ("all", "world"):
        return
    if "check" in permissions:
        _expression(world, login, permissions["check"], params)
        return
    raise forbidden("user != root@pam")


def _expression(world: World, login: Login, check: Sequence[Any], params: Mapping[str, Any]) -> None:
    kind, *rest = check
    if kind == "and":
        for part in rest:
            _expression(world, login, part, params)
    elif kind == "or":
        if not any(_holds(world, login, part, params) for part in rest):
            raise forbidden()
    elif kind == "perm":
        _perm(world, login, rest, params)
    elif kind == "perm-modify":
        _perm_modify(world, login, _filled(rest[0], params))
    elif kind == "userid-param":
        _userid_param(world, login, rest[0], params)
    elif kind == "userid-group":
        _userid_group(world, login, rest, params)


def _holds(world: World, login: Login, check: Sequence[Any], params: Mapping[str, Any]) -> bool:
    try:
        _expression(world, login, check, params)
    except ApiError:
        return False
    return True


def _filled(template: str, params: Mapping[str, Any]) -> str:
    return re.sub(r"\{([\w-]+)\}", lambda match: str(params.get(match[1], "")), template)


def _perm(world: World, login: Login, rest: Sequence[Any], params: Mapping[str, Any]) -> None:
    path, names, *options = rest
    settings = dict(zip(options[::2], options[1::2], strict=False))
    needed = settings.get("require_param")
    if needed is not None and params.get(needed) is None:
        return
    require(world, login, _filled(path, params), names, any_of=bool(settings.get("any")))


def _perm_modify(world: World, login: Login, path: str) -> None:
    """Changing rights: Permissions.Modify, or the owner's right of the kind of object the path names."""
    kinds = {"storage": "Datastore.Allocate", "vms": "VM.Allocate", "pool": "Pool.Allocate"}
    own = kinds.get(path.split("/")[1] if path.count("/") > 1 else "")
    require(world, login, path, ["Permissions.Modify", *([own] if own else [])], any_of=True)


def _userid_param(world: World, login: Login, what: str, params: Mapping[str, Any]) -> None:
    userid = str(params.get("userid", ""))
    if what == "self":
        if login.userid != userid:
            raise forbidden()
        return
    require(world, login, f"/access/realm/{userid.rpartition('@')[2]}", [what])


def _userid_group(world: World, login: Login, rest: Sequence[Any], params: Mapping[str, Any]) -> None:
    names, *options = rest
    settings = dict(zip(options[::2], options[1::2], strict=False))
    if may(world, login, "/access/groups", *names):
        return
    if settings.get("groups_param"):
        groups = split_list(str(params.get("groups", "")))
    else:
        user = world.users.get(str(params.get("userid", "")))
        groups = user.groups if user else []
    held = [may(world, login, f"/access/groups/{group}", *names) for group in groups]
    if not held or not (all(held) if settings.get("groups_param") else any(held)):
        raise forbidden(f"/access/groups, {', '.join(names)}")
