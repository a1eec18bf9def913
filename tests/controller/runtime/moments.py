"""Moments of a run, counted by what the journal was given until then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.controller.runtime.estate import Estate


@asynccontextmanager
async def reaching(home: Estate, appends: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Task[Any]]:
    """A task that ends when so many records were written to the journal."""
    journal, count, reached = home.controller.install.journal, 0, asyncio.Event()
    plain = journal.append

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == appends:
            reached.set()
        return await plain(*args, **options)

    waiting = asyncio.create_task(reached.wait())
    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", counted)
        yield waiting
    waiting.cancel()
