"""The set-up that a person asks for: one webhook of ours, a branch that waits for our statuses, on three forges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from controller.forges.forge import ForgeRefused
from controller.forges.set_up import SetsUp
from controller.review.statuses import BEFORE_MERGE
from tests.controller.forges.fake_forge import SECRET
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.gitlab_server.server import GitLabServer
from tests.controller.forges.memory_forges import FORGES

URL = "https://alma.example/webhooks/infra"


@dataclass(frozen=True)
class Shown:
    """A webhook, whatever the forge calls its parts."""

    url: str
    secret: str


def hooks(server: FakeRepository) -> list[Shown]:
    return [_shown(hook) for hook in server.hooks.values()]


def _shown(hook: Mapping[str, Any]) -> Shown:
    config = hook.get("config", hook)
    return Shown(config["url"], config.get("secret") or config.get("token", ""))


def a_foreign_hook(server: FakeRepository) -> None:
    config = {"url": "https://ci.example", "secret": "theirs"}
    server.hooks[1] = {"id": 1, "url": "https://ci.example", "token": "theirs", "config": config, "events": ["push"]}


def set_up(server: FakeRepository, **config: object) -> SetsUp:
    forge = server.forge(server.binding(**config))
    assert isinstance(forge, SetsUp)
    return forge


@pytest.mark.parametrize("kind", FORGES)
async def test_one_webhook_of_ours_is_kept_and_those_of_others_stay(kind: str) -> None:
    server = FORGES[kind]()
    a_foreign_hook(server)
    foreign = hooks(server)
    for renew in (False, False, True):
        await set_up(server).ensure_webhook(URL, renew=renew)
    assert hooks(server) == [*foreign, Shown(URL, SECRET)]


@pytest.mark.parametrize("kind", FORGES)
async def test_a_webhook_without_a_secret_is_not_made(kind: str) -> None:
    server = FORGES[kind]()
    with pytest.raises(ForgeRefused):
        await set_up(server, webhook_secret="").ensure_webhook(URL)
    assert hooks(server) == []


async def test_a_branch_at_github_waits_for_our_statuses_and_for_those_it_waited_for() -> None:
    server = GitHubServer()
    for _ in range(2):
        await set_up(server).protect_branch(BEFORE_MERGE)
    assert server.protection is not None
    assert contexts(server) == sorted(BEFORE_MERGE)
    server.protection = {"required_status_checks": {"strict": True, "contexts": ["ci"]}}
    await set_up(server).protect_branch(BEFORE_MERGE)
    assert contexts(server) == sorted((*BEFORE_MERGE, "ci"))
    server.protection = {"enforce_admins": {"enabled": True}}
    await set_up(server).protect_branch(BEFORE_MERGE)
    assert contexts(server) == sorted(BEFORE_MERGE)


def contexts(server: GitHubServer) -> list[str]:
    assert server.protection is not None
    checks = server.protection["required_status_checks"]
    assert isinstance(checks, dict)
    return sorted(checks["contexts"])


async def test_a_branch_at_gitlab_takes_no_push_and_needs_a_good_pipeline() -> None:
    server = GitLabServer()
    for _ in range(2):
        await set_up(server).protect_branch(BEFORE_MERGE)
    assert server.pipelines_must_succeed
    assert set(server.protected) == {"main"}


async def test_a_branch_at_gitea_waits_for_our_statuses_and_for_those_it_waited_for() -> None:
    server = FakeGitea()
    for _ in range(2):
        await set_up(server).protect_branch(BEFORE_MERGE)
    assert server.protections["main"]["status_check_contexts"] == list(BEFORE_MERGE)
    server.protections["main"]["status_check_contexts"] = ["ci"]
    await set_up(server).protect_branch(BEFORE_MERGE)
    assert server.protections["main"]["status_check_contexts"] == ["ci", *BEFORE_MERGE]
