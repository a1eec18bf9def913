"""The chain as lines of JSON, one record each with its hash, and the check of such lines by themselves (I46).

Reads beside a controller: a reader of a WAL database, or of PostgreSQL, blocks nobody. Sealed prior state is no part
of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import orjson

from controller.journal.chain import GENESIS, ChainReport, Damage, Row
from controller.journal.database import database_at
from controller.journal.examine import head_of, rows_after
from controller.journal.failure import JournalUnavailable, explained
from controller.journal.place import FilePlace, Place, ServerPlace

AUDIT_STREAM = "audit"  # who asked for what (I46)
_BUSY_S = 5.0
_CHUNK = 1000
_DAMAGES_MAX = 100
_COLUMNS = "seq, stream, version, kind, at, body, state, prev_hash, hash"


def exported(place: Place, after_seq: int = 0, stream: str = "") -> Iterator[str]:
    """Every record after `after_seq` as one line (of one stream, where one is named), in order, as it was when the
    first was asked for. Raises JournalUnavailable and JournalDamaged."""
    if isinstance(place, FilePlace):
        return _of_file(place.path, after_seq, stream)
    return _of_server(place, after_seq, stream)


def _of_server(place: ServerPlace, after_seq: int, stream: str) -> Iterator[str]:
    """The loop runs only while the next rows are asked for."""
    with asyncio.Runner() as runner:
        chunks = _chunks(place, after_seq)
        while rows := runner.run(_next(chunks)):
            yield from (_line(row) for row in rows if stream in ("", row.stream))


async def _chunks(place: ServerPlace, after_seq: int) -> AsyncIterator[list[Row]]:
    database = database_at(place)
    try:
        if await database.schema() is None:
            raise JournalUnavailable("its tables are not there", hint="check `journal:` in alma-server.yaml")
        async with database.read() as connection:
            last = (await head_of(connection)).seq
            while rows := await rows_after(connection, after_seq, last, _CHUNK):
                yield rows
                after_seq = rows[-1].seq
    finally:
        await database.close()


async def _next(chunks: AsyncIterator[list[Row]]) -> list[Row]:
    return await anext(chunks, [])


def _of_file(path: Path, after_seq: int, stream: str) -> Iterator[str]:
    if not path.exists():
        raise JournalUnavailable(f"{path} is not there", hint="check `journal:` in alma-server.yaml")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as database:
            of_it = " AND stream = ?" if stream else ""
            query = f"SELECT {_COLUMNS} FROM records WHERE seq > ?{of_it} ORDER BY seq"  # noqa: S608 - our own words
            found = database.execute(query, (after_seq, stream) if stream else (after_seq,))
            for row in found:
                yield _line(Row(*row))
    except sqlite3.Error as error:
        raise explained(error) from None


def verified(lines: Iterable[str], stream: str = "") -> ChainReport:
    """Whether exported lines are a chain without a gap. Of an export that begins later the first record's
    predecessor is taken as given. `stream`: they are all of one stream, whose versions leave no gap; what lies between
    them is not there, so that each is held to its own hash only."""
    damages: list[Damage] = []
    before: Row | None = None
    count = 0
    for number, line in enumerate(lines, 1):
        row = _row(line)
        if row is None:
            damages.append(Damage(None, f"line {number} is no record"))
            continue
        count += 1
        damages += _wrong_in_stream(before, row, stream) if stream else _wrong(before, row)
        before = row
    head = (before.seq, before.hash.hex()) if before else (0, GENESIS.hex())
    return ChainReport(count, 0, *head, tuple(damages[:_DAMAGES_MAX]))


def _wrong(before: Row | None, row: Row) -> Iterator[Damage]:
    if before is None and row.seq == 1 and row.prev_hash != GENESIS:
        yield Damage(row.seq, "it does not begin the chain")
    if before is not None and row.seq != before.seq + 1:
        yield Damage(row.seq, f"it follows on {before.seq}: records are missing")
    elif before is not None and row.prev_hash != before.hash:
        yield Damage(row.seq, "it does not follow on the record before it")
    if not row.intact:
        yield Damage(row.seq, "its hash does not fit")


def _wrong_in_stream(before: Row | None, row: Row, stream: str) -> Iterator[Damage]:
    if row.stream != stream:
        yield Damage(row.seq, f"it is not of the stream {stream}")
    elif row.version != (before.version + 1 if before else 1) or (before and row.seq <= before.seq):
        yield Damage(row.seq, "it does not follow on the record before it: records are missing")
    if not row.intact:
        yield Damage(row.seq, "its hash does not fit")


def _line(row: Row) -> str:
    told = {
        "seq": row.seq,
        "stream": row.stream,
        "version": row.version,
        "kind": row.kind,
        "at": row.at,
        "body": row.body,  # as text: the hash covers exactly this
        "state": row.state.hex(),
        "prev_hash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }
    return orjson.dumps(told).decode()


def _row(line: str) -> Row | None:
    try:
        told = orjson.loads(line)
        hashes = (bytes.fromhex(told[name]) for name in ("state", "prev_hash", "hash"))
        return Row(
            int(told["seq"]), told["stream"], int(told["version"]), told["kind"], told["at"], told["body"], *hashes
        )
    except (ValueError, KeyError, TypeError):
        return None
