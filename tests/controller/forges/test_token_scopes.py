"""E14: the documented minimum lacks nothing and has nothing too much; each right beyond it is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.forges.github_rights import app_rights, token_rights
from tests.controller.forges.github_server.installed import MINIMUM
from tests.controller.forges.gitlab_server.server import GitLabServer

Report = Callable[..., None]
ALL = {"pull": True, "push": True, "admin": False}

BROAD_SCOPES = ("admin:org", "admin:repo_hook", "delete_repo", "gist", "user", "workflow", "write:packages", "project")
BROAD_PERMISSIONS = (
    ("administration", "write"),
    ("actions", "write"),
    ("secrets", "read"),
    ("metadata", "write"),
    ("contents", "admin"),
    ("repository_hooks", "write"),
    ("members", "write"),
    ("pages", "some word of the future"),
)
BROAD_AT_GITLAB = ("sudo", "admin_mode", "create_runner", "manage_runner", "write_registry", "k8s_proxy", "ai_features")


def test_the_minimum_is_enough_and_not_too_much() -> None:
    assert token_rights(ALL, None, "ops/infra").missing == token_rights(ALL, None, "ops/infra").excess == ()
    found = app_rights(MINIMUM)
    assert (found.rights, found.missing, found.excess) == (("pull", "push"), (), ())
    welcome = app_rights({**MINIMUM, "members": "read", "checks": "write"})
    assert welcome.excess == ()


@pytest.mark.parametrize("scope", BROAD_SCOPES)
def test_a_scope_of_a_classic_token_that_nothing_uses_is_named(scope: str, report_n: Report) -> None:
    found = token_rights(ALL, f"repo, {scope}", "ops/infra")
    assert f"the classic token has the scope {scope}, which nothing uses" in found.excess
    report_n("E14 github, too broad", 1)


@pytest.mark.parametrize(("name", "level"), BROAD_PERMISSIONS)
def test_a_permission_of_an_app_beyond_the_minimum_is_named(name: str, level: str, report_n: Report) -> None:
    [line] = app_rights({**MINIMUM, name: level}).excess
    assert name.replace("_", " ").capitalize() in line
    report_n("E14 github, too broad", 1)


@pytest.mark.parametrize("name", MINIMUM)
def test_a_permission_of_an_app_that_is_missing_is_named(name: str, report_n: Report) -> None:
    [line] = app_rights({key: level for key, level in MINIMUM.items() if key != name}).missing
    assert line.endswith(f"{name.replace('_', ' ').capitalize()}: {MINIMUM[name]}")
    report_n("E14 github, missing", 1)


@pytest.mark.parametrize("scope", BROAD_AT_GITLAB)
async def test_a_scope_at_gitlab_beyond_the_minimum_is_named(scope: str, report_n: Report) -> None:
    server = GitLabServer()
    server.scopes = ["api", scope]
    info = await server.forge().about()
    assert info.excess == (f"the token has the scope {scope}, which nothing uses",)
    assert info.missing == ()
    report_n("E14 gitlab, too broad", 1)
