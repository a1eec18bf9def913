"""Roles: the highest rule that names the actor, and no answer means no."""

from __future__ import annotations

import pytest

from controller.errors import RefusedByPolicy
from controller.forges.forge import Account, Permission, Standing
from controller.operations.access import Role, RoleRules, forge_actor, os_actor, require, role_of

RULES = RoleRules(
    ("forge:read",), ("forge:write", "os:%ops", "team:org/ops", "login:carol"), ("forge:admin", "os:root")
)


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        (Permission.NONE, Role.NONE),
        (Permission.READ, Role.READ),
        (Permission.WRITE, Role.OPERATE),
        (Permission.ADMIN, Role.ADMIN),
    ],
)
def test_a_forge_permission_gives_its_role(permission: Permission, role: Role) -> None:
    assert role_of(forge_actor("gitea", Account("7", "alice"), Standing(permission)), RULES) is role


def test_a_team_and_a_login_can_be_named() -> None:
    team = forge_actor("gitea", Account("7", "alice"), Standing(Permission.NONE, frozenset({"org/ops"})))
    named = forge_actor("gitea", Account("8", "carol"), Standing(Permission.NONE))
    assert role_of(team, RULES) is Role.OPERATE and role_of(named, RULES) is Role.OPERATE


def test_users_of_this_machine_have_the_role_of_their_name_or_group() -> None:
    assert role_of(os_actor("alice", ()), RULES) is Role.NONE
    assert role_of(os_actor("alice", ("ops",)), RULES) is Role.OPERATE
    assert role_of(os_actor("root", ()), RULES) is Role.ADMIN
    assert role_of(os_actor("anyone", (), controller=True), RULES) is Role.ADMIN


def test_a_login_that_looks_like_a_rule_gives_nothing() -> None:
    actor = forge_actor("gitea", Account("9", "os:root"), Standing(Permission.NONE))
    assert role_of(actor, RULES) is Role.NONE
    assert role_of(os_actor("forge:admin", ()), RULES) is Role.NONE


def test_without_the_role_it_is_refused_in_words() -> None:
    with pytest.raises(RefusedByPolicy, match="confirm needs the role operate"):
        require(os_actor("alice", ()), RULES, Role.OPERATE, "confirm")
