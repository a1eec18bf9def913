"""Reading the journal as it is: its head, what stands, rows in order, and the check of everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.journal.anchor import AnchorFile, Head
from controller.journal.chain import GENESIS, ChainReport, Damage, Row, as_state, document_digest, text_digest
from controller.journal.database import Database
from controller.journal.failure import JournalDamaged
from controller.journal.projections import SEALED_OP, Standing
from controller.journal.tables import DOCUMENTS, RECORDS, SEALED, TOUCHED

_CHUNK = 1000  # rows per look: about 8 ms of the loop's time
_DAMAGES_MAX = 100


async def head_of(connection: AsyncConnection) -> Head:
    """The newest record in the table."""
    newest = select(RECORDS.c.seq, RECORDS.c.hash).order_by(RECORDS.c.seq.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    return Head(row.seq, row.hash) if row else Head(0, GENESIS)


async def rows_after(
    connection: AsyncConnection, after_seq: int, last_seq: int, limit: int, kinds: str = ""
) -> list[Row]:
    """Records with after_seq < seq ≤ last_seq whose kind starts with `kinds`, in order, unchecked."""
    within = RECORDS.c.seq > after_seq, RECORDS.c.seq <= last_seq
    statement = select(RECORDS).where(*within)
    if kinds:
        starts = RECORDS.c.kind >= kinds, RECORDS.c.kind < kinds + "\U0010ffff"
        statement = select(RECORDS).where(
            RECORDS.c.seq.in_(select(RECORDS.c.seq).where(*within, *starts).order_by(RECORDS.c.seq).limit(limit))
        )
    found = await connection.execute(statement.order_by(RECORDS.c.seq).limit(limit))
    return [Row(*r) for r in found]


async def standing_of(connection: AsyncConnection) -> Standing:
    """Head, streams and documents, checked against the sum in the newest record. Raises JournalDamaged."""
    standing = Standing(head=await head_of(connection))
    async for kind, key, body, _ in _documents(connection):
        try:
            standing.load(kind, key, body)
        except (TypeError, ValueError, KeyError):
            raise JournalDamaged(f"the document {kind!r} {key!r}") from None
    newest = await rows_after(connection, standing.head.seq - 1, standing.head.seq, 1)
    if newest and not newest[0].intact:
        raise JournalDamaged("its hash does not fit", newest[0].seq)
    if as_state(standing.total) != (newest[0].state if newest else as_state(0)):
        raise JournalDamaged(await _odd_document(connection))
    return standing


async def catch_up(connection: AsyncConnection, standing: Standing) -> None:
    """Take in what other processes committed since. Raises JournalDamaged when it does not follow on what we know:
    records that were there are gone after a failover or a restore, or were changed."""
    head = await head_of(connection)
    if head == standing.head:
        return
    known = standing.head
    if head.seq < known.seq:
        raise JournalDamaged(f"the newest records are gone: it ends at {head.seq}, and {known.seq} was there")
    newest = await _followed(connection, known, head)
    since = select(TOUCHED.c.kind, TOUCHED.c.key, DOCUMENTS.c.body).where(TOUCHED.c.seq > known.seq)
    at = (DOCUMENTS.c.kind == TOUCHED.c.kind) & (DOCUMENTS.c.key == TOUCHED.c.key)
    changed = await connection.execute(since.select_from(TOUCHED.outerjoin(DOCUMENTS, at)))
    for kind, key, body in changed:
        standing.replace(kind, key, body)
    standing.head = head
    if as_state(standing.total) != newest.state:
        raise JournalDamaged(await _odd_document(connection))


async def _followed(connection: AsyncConnection, known: Head, head: Head) -> Row:
    """The newest record, after every one since `known` was checked."""
    before, at = known, max(known.seq - 1, 0)
    newest: Row | None = None
    while at < head.seq:
        rows = await rows_after(connection, at, head.seq, _CHUNK)
        for row in rows:
            follows = row.hash == known.hash if row.seq == known.seq else Head(row.seq - 1, row.prev_hash) == before
            if not row.intact or not follows:
                raise JournalDamaged("it does not follow on what was there", row.seq)
            before, newest = Head(row.seq, row.hash), row
        if not rows:
            raise JournalDamaged(f"records after {at} are missing")
        at = rows[-1].seq
    assert newest is not None, "there are records after what we know"
    return newest


async def examine(database: Database, anchor: AnchorFile) -> ChainReport:
    """Every record, every document and the anchor. Names damage, never raises JournalDamaged."""
    walk = _Walk()
    documents = 0
    try:
        walk.anchored = anchor.read()
        async with database.read() as connection:
            await walk.run(connection)
            standing = await standing_of(connection)
            walk.damages += await _lost_blobs(connection)
            documents = sum(len(keys) for keys in standing.digests.values())
        walk.damages += [Damage(None, line) for line in await database.integrity()]
    except JournalDamaged as error:
        walk.damages.append(Damage(error.seq, error.what))
    head = walk.head
    return ChainReport(walk.records, documents, head.seq, head.hash.hex(), tuple(walk.damages[:_DAMAGES_MAX]))


@dataclass(slots=True)
class _Walk:
    """One pass over the chain, in chunks."""

    head: Head = field(default_factory=lambda: Head(0, GENESIS))
    anchored: Head | None = None
    records: int = 0
    damages: list[Damage] = field(default_factory=list)

    async def run(self, connection: AsyncConnection) -> None:
        last = (await head_of(connection)).seq
        while chunk := await rows_after(connection, self.head.seq, last, _CHUNK):
            for row in chunk:
                self._step(row)
        if self.anchored is None and self.records:
            self.damages.append(Damage(None, "its anchor file is gone"))
        if self.anchored is not None and self.anchored.seq > self.head.seq:
            self.damages.append(Damage(None, f"it ends at {self.head.seq}, the anchor is {self.anchored.seq}"))

    def _step(self, row: Row) -> None:
        if row.seq != self.head.seq + 1:
            self.damages.append(Damage(row.seq, f"it follows on {self.head.seq}: records are missing"))
        elif row.prev_hash != self.head.hash:
            self.damages.append(Damage(row.seq, "it does not follow on the record before it"))
        if not row.intact:
            self.damages.append(Damage(row.seq, "its hash does not fit"))
        if self.anchored is not None and self.anchored.seq == row.seq and self.anchored.hash != row.hash:
            self.damages.append(Damage(row.seq, "it is not the record that the anchor names"))
        self.head = Head(row.seq, row.hash)
        self.records += 1


async def _documents(connection: AsyncConnection) -> AsyncIterator[tuple[str, str, str, bytes]]:
    found = await connection.stream(select(DOCUMENTS))
    async for rows in found.partitions(_CHUNK):
        for row in rows:
            yield row.kind, row.key, row.body, row.digest


async def _odd_document(connection: AsyncConnection) -> str:
    """Which document spoils the sum, if one by itself can be named."""
    async for kind, key, body, digest in _documents(connection):
        if document_digest(kind, key, body) != digest:
            return f"the document {kind} {key!r}"
    return "a document is missing or older than the newest record"


async def _lost_blobs(connection: AsyncConnection) -> list[Damage]:
    """Sealed blobs that are not there or not what was put."""
    stored = await connection.stream(select(SEALED))
    held = {r.op: text_digest(r.op, r.blob).hex() async for r in stored if isinstance(r.blob, str)}
    wanted = select(DOCUMENTS.c.key, DOCUMENTS.c.body).where(DOCUMENTS.c.kind == SEALED_OP)
    return [
        Damage(None, f"the sealed prior state of op {r.key}")
        async for r in await connection.stream(wanted)
        if held.get(r.key) != orjson.loads(r.body)["sha256"]
    ]
