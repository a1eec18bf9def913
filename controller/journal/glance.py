"""A look at the newest documents without opening the journal: no lock, no chain, nothing written.

For commands that only want to remember (`alma plan`), beside a controller or not. Every document is held to its own
digest; whether all of them are there only the journal itself can tell, so nothing may be changed after a glance.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import orjson

from controller.journal.chain import Json, document_digest
from controller.journal.failure import JournalDamaged, JournalTooNew, explained
from controller.journal.place import SCHEMA

_BUSY_S = 5.0


def documents_at(path: Path, kind: str) -> Mapping[str, Mapping[str, Json]]:
    """Key → body of every document of `kind`; none where there is no journal. Raises JournalDamaged,
    JournalUnavailable and JournalTooNew."""
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as database:
            return dict(_documents(database, kind)) if _is_made(database) else {}
    except sqlite3.Error as error:
        raise explained(error) from None


def _is_made(database: sqlite3.Connection) -> bool:
    """False for a file that has no tables yet."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return False
    found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    if found is not None and found[0] > SCHEMA:
        raise JournalTooNew(found[0], SCHEMA)
    return found is not None


def _documents(database: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    rows = database.execute("SELECT key, body, digest FROM documents WHERE kind = ? ORDER BY key", (kind,))
    for key, body, digest in rows:
        if not isinstance(body, str) or document_digest(kind, key, body) != digest:
            raise JournalDamaged(f"the document {kind} {key} is not what was written")
        yield key, orjson.loads(body)
