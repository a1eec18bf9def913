"""A remote and its mirror, both real, below the test's own folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.git.credentials import configure_git
from controller.git.repository import Mirror
from tests.controller.git.origin import Origin


@pytest.fixture(scope="session", autouse=True)
def _git_settings() -> None:
    configure_git(5_000)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin.git")


@pytest.fixture
async def mirror(tmp_path: Path, origin: Origin) -> AsyncIterator[Mirror]:
    made = Mirror.open(tmp_path / "state" / "mirror.git", origin.url, timeout_s=30)
    yield made
    await made.close()
