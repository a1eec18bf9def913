"""A look at the newest documents without opening the journal: no lock, no chain, nothing written.

For commands that only want to remember (`alma plan`), beside a controller or not. Every document is held to its own
digest; whether all of them are there only the journal itself can tell, so nothing may be changed after a glance.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path

import orjson

from controller.journal.chain import Json, document_digest
from controller.journal.failure import JournalDamaged, JournalTooNew, explained
from controller.journal.place import SCHEMA, FilePlace, Place

_BUSY_S = 5.0


def documents_at(place: Place, kind: str) -> Mapping[str, Mapping[str, Json]]:
    """Key → body of every document of `kind`; none where there is no journal. Raises JournalDamaged,
    JournalUnavailable and JournalTooNew."""
    if isinstance(place, FilePlace):
        return _of_file(place.path, kind)
    # A file is read without any of this; the driver of a server is loaded only to ask one.
    found: Mapping[str, Mapping[str, Json]] = import_module("controller.journal.server_glance").documents(place, kind)
    return found


def checked(kind: str, rows: Iterable[tuple[str, object, bytes]]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Rows of key, body and digest as documents. Raises JournalDamaged."""
    for key, body, digest in rows:
        if not isinstance(body, str) or document_digest(kind, key, body) != digest:
            raise JournalDamaged(f"the document {kind} {key} is not what was written")
        yield key, orjson.loads(body)


def require_known(schema: str) -> None:
    """Raises JournalTooNew."""
    if schema > SCHEMA:
        raise JournalTooNew(schema, SCHEMA)


def _of_file(path: Path, kind: str) -> Mapping[str, Mapping[str, Json]]:
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
    if found is not None:
        require_known(found[0])
    return found is not None


def _documents(database: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    rows = database.execute("SELECT key, body, digest FROM documents WHERE kind = ? ORDER BY key", (kind,))
    return checked(kind, rows)
