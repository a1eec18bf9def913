"""Who may do what (I3, I6, I50): the role of an actor, looked up when it is used, the same for every door."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from controller.errors import RefusedByPolicy
from controller.forges.forge import Account, Permission, Standing


class Role(IntEnum):
    """Each includes those before it."""

    NONE = 0
    READ = 1
    OPERATE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class RoleRules:
    """One repository's `roles:`: who has each role, as `forge:write`, `team:org/name`, `login:name`, `os:user`,
    `os:%group`."""

    read: tuple[str, ...] = ("forge:read",)
    operate: tuple[str, ...] = ("forge:write",)
    admin: tuple[str, ...] = ("forge:admin", "os:root")


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone who asks, with every name that a rule may call them by. Comes from the credential, never from a body."""

    id: str  # `gitea:42`, `os:alice`: what records and the audit trail hold
    shown: str
    names: frozenset[str]


def forge_actor(kind: str, account: Account, standing: Standing) -> Actor:
    """An account of a forge with its rights of this moment."""
    reached = {
        Permission.NONE: (),
        Permission.READ: ("forge:read",),
        Permission.WRITE: ("forge:read", "forge:write"),
        Permission.ADMIN: ("forge:read", "forge:write", "forge:admin"),
    }[standing.permission]
    teams = {f"team:{team}" for team in standing.teams}
    return Actor(f"{kind}:{account.id}", account.login, frozenset({*reached, *teams, f"login:{account.login}"}))


def os_actor(user: str, groups: Collection[str], *, controller: bool = False) -> Actor:
    """A user of this machine; the controller's own user is admin."""
    names = {f"os:{user}", *(f"os:%{g}" for g in groups)} | ({"controller"} if controller else set())
    return Actor(f"os:{user}", user, frozenset(names))


def stands_for_nobody(actor: Actor) -> bool:
    """Root and the controller's own user: whoever may become them has a name already."""
    return "controller" in actor.names or actor.id == "os:root"


def role_of(actor: Actor, rules: RoleRules) -> Role:
    """The highest role any rule gives."""
    if "controller" in actor.names or actor.names & set(rules.admin):
        return Role.ADMIN
    if actor.names & set(rules.operate):
        return Role.OPERATE
    return Role.READ if actor.names & set(rules.read) else Role.NONE


def require(actor: Actor, rules: RoleRules, needed: Role, verb: str) -> None:
    """Raise RefusedByPolicy unless the actor has the role."""
    if role_of(actor, rules) < needed:
        raise RefusedByPolicy(
            f"{verb} needs the role {needed.name.lower()}, which {actor.shown} does not have here",
            hint="roles are mapped under `roles:` of the server configuration",
        )
