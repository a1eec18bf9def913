"""A journal in a fresh directory, with a clock that stands still unless a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.journal.journal import Journal
from tests.controller.journal.clocks import noon


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/alma.db"


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    opened = await Journal.open(url, now=noon)
    yield opened
    await opened.close()
