"""Fixtures of the tests of the Docker engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engines.docker.engine import DockerEngine
from tests.engines.docker.driving import binding
from tests.servers.dockerd import DockerDaemon


@pytest.fixture
async def engine(docker_host: DockerDaemon) -> AsyncIterator[DockerEngine]:
    """The engine on a real, empty Docker host."""
    opened = DockerEngine.open(binding(docker_host.url))
    yield opened
    await opened.close()
