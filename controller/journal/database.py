"""The database under a journal, as promises; one file per kind of database keeps them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from controller.journal.failure import JournalTooNew
from controller.journal.place import SCHEMA, FilePlace, Place
from controller.journal.sqlite import SqliteDatabase

_KNOWN = ("0001",)  # every older schema this code can bring up to SCHEMA


class Database(Protocol):
    """Raises JournalUnavailable and JournalDamaged only."""

    shared: bool  # other processes write too

    async def prepare(self) -> None:
        """Make it usable, where that is ours to do. Raises when a commit would not be durable (I8)."""

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One transaction of the only writer, durable when the block is left. When it fails nothing of it is there,
        or (only if the answer to the commit was lost) all of it."""
        ...

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One consistent view that no write disturbs."""
        ...

    async def schema(self) -> str | None:
        """The version of the tables; None for a new database."""

    async def forget_erased(self) -> None:
        """Erased bytes leave the files, as far as the database can."""

    async def integrity(self) -> tuple[str, ...]:
        """What the database itself finds wrong; empty when nothing is."""
        ...

    async def close(self) -> None:
        """Call it before the loop ends."""


def database_at(place: Place) -> Database:
    """Opened at its first use."""
    if isinstance(place, FilePlace):
        return SqliteDatabase(place.path)
    # Most installs have no PostgreSQL and do not pay for its driver.
    made: Database = import_module("controller.journal.postgres").PostgresDatabase(place)
    return made


async def migrate(database: Database) -> None:
    """Bring the tables to SCHEMA, in one transaction; nothing to do costs one query. Raises JournalTooNew when a
    newer version wrote them (I25)."""
    found = await database.schema()
    if found == SCHEMA:
        return
    if found is not None and found not in _KNOWN:
        raise JournalTooNew(found, SCHEMA)
    async with database.write() as connection:
        # Loaded only here: an up-to-date journal does not pay for Alembic at each start.
        await connection.run_sync(import_module("controller.journal.migrations.upgrade").upgrade)
