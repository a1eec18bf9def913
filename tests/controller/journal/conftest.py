"""A journal in a fresh directory or database, with a clock that stands still unless a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.journal.journal import Journal
from tests.controller.journal.clocks import noon


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, state: Path) -> str:
    """Of no journal yet; each test runs on both kinds of database, unless it is marked `on_a_file`."""
    if request.param == "sqlite":
        return f"sqlite:///{state}/alma.db"
    return str(request.getfixturevalue("postgres").empty())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
async def journal(url: str, state: Path) -> AsyncIterator[Journal]:
    opened = await Journal.open(url, state, now=noon)
    yield opened
    await opened.close()
