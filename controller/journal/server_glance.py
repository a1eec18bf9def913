"""`glance` at a journal in PostgreSQL: with the driver alone, no pool and no SQLAlchemy engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from controller.journal.chain import Json
from controller.journal.glance import checked, require_known
from controller.journal.place import ServerPlace
from controller.journal.postgres import connected, translating


def documents(place: ServerPlace, kind: str) -> Mapping[str, Mapping[str, Json]]:
    """As `glance.documents_at`. Not for a running loop."""
    return asyncio.run(_documents(place, kind))


async def _documents(place: ServerPlace, kind: str) -> Mapping[str, Mapping[str, Json]]:
    async with translating():
        connection = await connected(place)
        try:
            if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
                return {}
            require_known(str(await connection.fetchval("SELECT version_num FROM alembic_version")))
            rows = await connection.fetch("SELECT key, body, digest FROM documents WHERE kind = $1 ORDER BY key", kind)
            return dict(checked(kind, ((r["key"], r["body"], r["digest"]) for r in rows)))
        finally:
            await connection.close()
