"""The forges in memory that a row of the reliability matrix is shown on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx2

from controller.forges.forge import Forge
from controller.forges.gitea import GiteaForge
from controller.forges.github import GitHubForge
from controller.forges.gitlab import GitLabForge
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.gitlab_server.server import GitLabServer

FORGES: Mapping[str, Callable[[], FakeRepository]] = {
    "gitea": FakeGitea,
    "github": GitHubServer,
    "gitlab": GitLabServer,
}
_OPENED = {FakeGitea: GiteaForge, GitHubServer: GitHubForge, GitLabServer: GitLabForge}


def forge_over(server: FakeRepository, transport: httpx2.AsyncBaseTransport) -> Forge:
    """A process of ours that reaches `server` by this way."""
    kind: type[GiteaForge | GitHubForge | GitLabForge] = _OPENED[type(server)]
    return kind.open(server.binding(), transport=transport)
