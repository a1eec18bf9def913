"""A SQLite file as a journal: opened so that a commit is durable, and its errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controller.journal.failure import JournalDamaged, JournalUnavailable, explained

_READERS_MAX = 4


class SqliteDatabase:
    """One SQLite file in WAL mode with synchronous=FULL: one connection that writes, a few that only read."""

    shared = False

    def __init__(self, path: Path, *, busy_s: float = 5.0) -> None:
        self.path = path
        self._writer = _engine(path, busy_s, writes=True)
        self._readers = _engine(path, busy_s, writes=False)

    async def prepare(self) -> None:
        create_file(self.path)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        with _Translating():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with _Translating():
            async with self._readers.begin() as connection:
                yield connection

    async def schema(self) -> str | None:
        async with self.write() as connection:
            found = await connection.exec_driver_sql(
                "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
            )
            if not found.scalar_one():
                return None
            version = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            return str(version.scalar())

    async def forget_erased(self) -> None:
        """Move everything from the write-ahead log into the file and cut the log, so that erased bytes (which
        secure_delete zeroes in the file) are in neither."""
        with _Translating():
            async with self._writer.connect() as connection:
                await connection.exec_driver_sql("COMMIT")  # a checkpoint works outside of transactions only
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                await connection.exec_driver_sql("BEGIN")

    async def integrity(self) -> tuple[str, ...]:
        async with self.read() as connection:
            rows = await connection.exec_driver_sql("PRAGMA integrity_check(20)")
            return tuple(f"SQLite: {str(r[0]).splitlines()[0]}" for r in rows if r[0] != "ok")

    async def close(self) -> None:
        await self._readers.dispose()
        await self._writer.dispose()


def create_file(path: Path) -> None:
    """An empty file for this user alone, in a directory for this user alone. Existing ones stay as they are."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalUnavailable(f"{path}: {error.strerror}", hint="check the path and its rights") from None


class _Translating:
    """Turns the driver's errors into ours on the way out."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DBAPIError):
            raise explained(error.orig) from None
        if isinstance(error, sqlite3.Error):
            raise explained(error) from None
        if isinstance(error, UnicodeDecodeError):
            raise JournalDamaged("text that is not UTF-8") from None


def _engine(path: Path, busy_s: float, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=1 if writes else _READERS_MAX,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": busy_s},
    )

    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for DDL and for readers
        _configure(connection, writes=writes)

    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: an upgrade in mid-transaction cannot wait and would fail instead.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", configure)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _configure(connection: Any, *, writes: bool) -> None:
    mode = _pragma(connection, "journal_mode = WAL") if writes else _pragma(connection, "journal_mode")
    _pragma(connection, "synchronous = FULL")
    _pragma(connection, "secure_delete = ON")
    _pragma(connection, "cell_size_check = ON")
    if not writes:
        _pragma(connection, "query_only = ON")
    require_durable(str(mode), int(_pragma(connection, "synchronous")))


def require_durable(journal_mode: str, synchronous: int) -> None:
    """Raises JournalUnavailable unless a commit is on the disk when it returns (I8): WAL and FULL (2) or EXTRA (3)."""
    if journal_mode.lower() != "wal" or synchronous < 2:
        raise JournalUnavailable(
            f"a commit would not be durable (journal_mode={journal_mode}, synchronous={synchronous})",
            hint="put the journal on a local disk; network and memory file systems do not do",
        )


def _pragma(connection: Any, text: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA {text}")
        row: Sequence[Any] | None = cursor.fetchone()
        return row[0] if row else None
    finally:
        cursor.close()
