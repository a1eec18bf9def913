"""A controller whose repository is at a Gitea in memory, reached through its real client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from controller.forges.forge import Forge, ForgeBinding
from tests.controller.forges.fake_forge import TOKEN
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.runtime.clocks import VirtualClock
from tests.controller.runtime.estate import Estate, Repo, estate

GIT_URL = "https://git.example/ops/infra.git"  # where Git would be; what is fetched is the bare repository beside
ENVIRONMENT = {"GITEA_TOKEN": TOKEN}


def repositories(repo: Repo) -> tuple[dict[str, Any], ...]:
    """The entry of the server configuration."""
    forge = {"kind": "gitea", "url": "https://git.example", "token": "env:GITEA_TOKEN"}
    return ({"name": "infra", "url": str(repo.remote), "forge": forge},)


@asynccontextmanager
async def at_gitea(repo: Repo, server: FakeGitea, state: Path) -> AsyncIterator[Estate]:
    """As `estate`; what people push must be told to `server` by `pushed`."""
    clock = VirtualClock()

    def opened(kind: str, binding: ForgeBinding) -> Forge:
        return server.forge(replace(binding, git_url=GIT_URL, wall=server.clock.wall, sleep=clock.sleep))

    more: dict[str, Any] = {"repositories": repositories(repo), "environment": ENVIRONMENT}
    with patch("controller.wiring.open_forge", opened):
        async with estate(repo, state, clock=clock, **more) as home:
            yield home


def pushed(repo: Repo, server: FakeGitea, files: dict[str, str | None], branch: str = "main") -> str:
    """A commit at the remote that the forge knows of."""
    commit = repo.push(files, branch)
    server.arrived(branch, commit)
    return commit
