"""A PostgreSQL database as a journal: one writer at a time over all controllers, durable commits, bounded waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controller.errors import AlmaError
from controller.journal.failure import JournalUnavailable, of_sqlstate
from controller.journal.place import ServerPlace

_WRITER = 0x616C6D61  # "alma": the advisory lock that orders all writers of one database
_READERS_MAX = 4
_CONNECT_S = 10.0
_COMMAND_S = 60.0
_LOCK_WAIT = "20s"
# A process that is stopped in the middle of a transaction must not stop the others for longer than this.
_IDLE_IN_TRANSACTION = "5s"
_SESSION = {
    "application_name": "alma",
    "lock_timeout": _LOCK_WAIT,
    "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
}


class PostgresDatabase:
    """One connection that writes, a few that only read. A connection that died is replaced at its next use."""

    shared = True

    def __init__(self, place: ServerPlace) -> None:
        self._place = place
        # A writer reads what was committed before it got the lock; a snapshot would be from before it waited.
        self._writer = self._engine(1, "READ COMMITTED")
        self._readers = self._engine(_READERS_MAX, "REPEATABLE READ")

    async def prepare(self) -> None:
        async with self.read() as connection:
            fsync = (await connection.exec_driver_sql("SHOW fsync")).scalar_one()
            recovering = (await connection.exec_driver_sql("SELECT pg_is_in_recovery()")).scalar_one()
            encoding = (await connection.exec_driver_sql("SHOW server_encoding")).scalar_one()
        if fsync != "on":
            raise JournalUnavailable("a commit would not be durable (fsync=off)", hint="set fsync = on in PostgreSQL")
        if recovering:
            raise JournalUnavailable("this PostgreSQL is a standby", hint="name the primary in `journal:`")
        if encoding != "UTF8":
            raise JournalUnavailable(
                "the database is not in UTF8", hint="createdb --encoding UTF8 --template template0"
            )

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with translating(), self._writer.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        async with translating(), self._readers.begin() as connection:
            yield connection

    async def schema(self) -> str | None:
        async with self.write() as connection:
            found = await connection.exec_driver_sql("SELECT to_regclass('alembic_version') IS NOT NULL")
            if not found.scalar_one():
                return None
            version = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            return str(version.scalar())

    async def forget_erased(self) -> None:
        """No row holds the bytes any more; when its files let go of them is PostgreSQL's own affair (VACUUM, WAL)."""

    async def integrity(self) -> tuple[str, ...]:
        """PostgreSQL answers with an error for a page it cannot read, and that is told where it happens."""
        return ()

    async def close(self) -> None:
        await self._readers.dispose()
        await self._writer.dispose()

    def _engine(self, size: int, isolation: str) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connected,
            pool_size=size,
            max_overflow=0,
            pool_pre_ping=True,
            hide_parameters=True,
            isolation_level=isolation,
        )

    async def _connected(self) -> Any:
        connection = await connected(self._place)
        if await connection.fetchval("SHOW synchronous_commit") == "off":  # a stronger setting than `on` stays
            await connection.execute("SET synchronous_commit = on")
        return connection


async def connected(place: ServerPlace) -> Any:
    """A connection of the driver itself. Raises what the driver raises."""
    return await asyncpg.connect(
        place.url,
        timeout=_CONNECT_S,
        command_timeout=_COMMAND_S,
        server_settings=_SESSION,
    )


@asynccontextmanager
async def translating() -> AsyncIterator[None]:
    """Turns the driver's errors into ours on the way out; their texts may quote a row or a URL and are dropped."""
    try:
        yield
    except AlmaError:
        raise
    except DBAPIError as error:
        raise of_sqlstate(getattr(error.orig, "sqlstate", None), _name(error.orig)) from None
    except asyncpg.PostgresError as error:
        raise of_sqlstate(error.sqlstate, type(error).__name__) from None
    except (TimeoutError, asyncpg.InterfaceError, SQLAlchemyError, OSError) as error:
        raise of_sqlstate(None, type(error).__name__) from None


def _name(error: BaseException | None) -> str:
    """SQLAlchemy's adapter wraps the driver's own class."""
    return type((error and error.__cause__) or error).__name__
