"""A reader that meets a commit under way sees the state before it or after it, and never takes it for damage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.journal.journal import Document, Entry, Journal
from controller.journal.sqlite import SqliteDatabase
from tests.controller.journal.databases import on_a_file

pytestmark = on_a_file  # readers of a shared journal wait for their own process's commit

Meanwhile = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """`meanwhile(change)`: the next read waits for its connection until `change` is over."""
    changes: list[Callable[[], Awaitable[object]]] = []
    real = SqliteDatabase.read

    @asynccontextmanager
    async def late(database: SqliteDatabase) -> AsyncIterator[AsyncConnection]:
        while changes:
            await changes.pop()()
        async with real(database) as connection:
            yield connection

    monkeypatch.setattr(SqliteDatabase, "read", late)
    return changes.append


async def put(journal: Journal, body: dict[str, int] | None) -> None:
    await journal.append("s", [Entry("n", {})], [Document("run", "1", body)])


async def test_a_document_that_is_replaced_while_it_is_read(journal: Journal, meanwhile: Meanwhile) -> None:
    await put(journal, {"n": 1})
    meanwhile(lambda: put(journal, {"n": 2}))
    assert await journal.document("run", "1") == {"n": 2}
    meanwhile(lambda: put(journal, {"n": 3}))
    assert await journal.documents("run") == {"1": {"n": 3}}
    assert journal.writable


async def test_a_document_that_is_deleted_while_it_is_read(journal: Journal, meanwhile: Meanwhile) -> None:
    await put(journal, {"n": 1})
    meanwhile(lambda: put(journal, None))
    assert await journal.document("run", "1") is None
    assert journal.writable


async def test_a_sealed_prior_that_is_erased_while_it_is_read(journal: Journal, meanwhile: Meanwhile) -> None:
    await journal.put_sealed("op", "blob")
    assert await journal.sealed("op") == "blob"
    meanwhile(lambda: journal.erase_sealed(["op"]))
    assert await journal.sealed("op") is None
    assert journal.writable
