"""The journal: append, read, resume. Everything acknowledged is on the disk; everything read was checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.errors import AlmaError
from controller.journal.anchor import AnchorFile, Head
from controller.journal.chain import ChainReport, Json, Row, canonical, document_digest, text_digest
from controller.journal.database import Database, create_file, database_path
from controller.journal.examine import examine, head_of, rows_after, standing_of
from controller.journal.failure import JournalDamaged, JournalUnavailable, StaleStream
from controller.journal.lock import FileLock
from controller.journal.projections import ONLY_DOCUMENTS, Document, Draft, Entry, Recorded, Standing
from controller.journal.tables import DOCUMENTS, RECORDS, SEALED

__all__ = ["ChainReport", "Document", "Entry", "Journal", "Recorded"]

_BATCH_MAX = 256  # appends that share one commit


@dataclass(slots=True)
class _Request:
    """One caller's append, already text, so that a bad body fails its own caller only."""

    stream: str
    entries: list[tuple[str, str]]
    documents: list[tuple[str, str, str | None]]
    sealed: Mapping[str, str]
    expect: int | None
    bodies: list[Mapping[str, Json]]
    answer: asyncio.Future[tuple[Recorded, ...]] = field(repr=False)


class Journal:
    """One journal, opened by one process. Raises only the errors of `controller.journal.failure`."""

    def __init__(self, database: Database, anchor: AnchorFile, lock: FileLock, now: Callable[[], datetime]) -> None:
        self._database, self._anchor, self._lock, self._now = database, anchor, lock, now
        self._standing = Standing()
        self._pending: list[_Request] = []
        self._flushing: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._damage: JournalDamaged | None = None
        self._unsure = False  # a commit's answer was lost: look what is there before the next one
        self._anchored = 0
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, now: Callable[[], datetime], renew_anchor: bool = False) -> Journal:
        """The journal at `sqlite:////path`, made if it is not there. `now` is the wall clock, for display.

        Raises LockHeld when another process has it, JournalTooNew (I25), JournalUnavailable when a commit would not
        be durable, and JournalDamaged when documents, the newest records or the anchor do not fit (I24).
        `renew_anchor` accepts the head as it is, after a person restored a backup.
        """
        path = database_path(url)
        lock = FileLock.acquire(path.with_name(path.name + ".lock"))
        database = Database(path)
        journal = cls(database, AnchorFile(path.with_name(path.name + ".anchor")), lock, now)
        try:
            await journal._start(renew_anchor)
        except BaseException:
            await database.close()
            lock.release()
            raise
        return journal

    @property
    def head(self) -> int:
        """The number of the newest record; 0 when there is none."""
        return self._standing.head.seq

    @property
    def writable(self) -> bool:
        """False once damage was seen or the journal was closed: nothing may be mutated any more (I24)."""
        return self._damage is None and not self._closed

    async def append(
        self,
        stream: str,
        entries: Sequence[Entry],
        documents: Sequence[Document] = (),
        expect: int | None = None,
        sealed: Mapping[str, str] | None = None,
    ) -> tuple[Recorded, ...]:
        """Add entries to a stream, set documents and keep sealed blobs (op → blob), all in one commit that is on the
        disk on return. Callers at the same time share commits. Documents alone leave one record of their own.

        `expect` is the stream's version as the caller knows it (0: no such stream). Raises StaleStream, TypeError for
        a body that is not JSON, JournalUnavailable or JournalDamaged; then nothing of it was written. A caller that
        is cancelled while waiting does not know.
        """
        listed = list(entries) or [Entry(ONLY_DOCUMENTS, {})]
        request = _Request(
            stream,
            [(e.kind, canonical(e.body)) for e in listed],
            [(d.kind, d.key, None if d.body is None else canonical(d.body)) for d in documents],
            dict(sealed or {}),
            expect,
            [e.body for e in listed],
            asyncio.get_running_loop().create_future(),
        )
        self._require_writable()
        self._pending.append(request)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="journal-commit")
        return await request.answer

    async def read(self, stream: str, after: int = 0) -> tuple[Recorded, ...]:
        """The records of a stream with a version above `after`, in order. Raises JournalDamaged when one of them is
        not there or not what was written."""
        last = self._standing.version(stream)
        if last <= after:
            return ()
        wanted = RECORDS.c.version > after, RECORDS.c.version <= last
        async with self._database.read() as connection:
            found = await connection.execute(
                select(RECORDS).where(RECORDS.c.stream == stream, *wanted).order_by(RECORDS.c.version)
            )
            rows = [Row(*r) for r in found]
        if [r.version for r in rows] != list(range(after + 1, last + 1)):
            raise self._damaged(f"records of stream {stream!r} are missing")
        return tuple(self._checked(r) for r in rows)

    async def tail(self, after_seq: int = 0, limit: int = 1000, kinds: str = "") -> tuple[Recorded, ...]:
        """At most `limit` records after `after_seq` over all streams, in order; with `kinds` only those whose kind
        starts so."""
        async with self._database.read() as connection:
            rows = await rows_after(connection, after_seq, self.head, limit, kinds)
        return tuple(self._checked(r) for r in rows)

    async def document(self, kind: str, key: str) -> Mapping[str, Json] | None:
        """A projection as of the newest commit; None when there is none. Raises JournalDamaged when there should be
        one and it is not what was written."""
        digest = self._standing.digest(kind, key)
        if digest is None:
            return None
        chosen = DOCUMENTS.c.kind == kind, DOCUMENTS.c.key == key
        async with self._database.read() as connection:
            body = (await connection.execute(select(DOCUMENTS.c.body).where(*chosen))).scalar()
        return self._opened(kind, key, body, digest)

    async def documents(self, kind: str, prefix: str = "") -> Mapping[str, Mapping[str, Json]]:
        """All projections of a kind whose key starts with `prefix`, by key in order."""
        wanted = {k: d for k, d in self._standing.digests.get(kind, {}).items() if k.startswith(prefix)}
        chosen = DOCUMENTS.c.kind == kind, DOCUMENTS.c.key >= prefix
        async with self._database.read() as connection:
            found = await connection.execute(select(DOCUMENTS.c.key, DOCUMENTS.c.body).where(*chosen))
            bodies = {k: b for k, b in found if k in wanted}
        return {k: self._opened(kind, k, bodies.get(k), wanted[k]) for k in sorted(wanted)}

    async def put_sealed(self, op: str, blob: str) -> None:
        """Keep an op's sealed prior state; durable on return. `append(sealed=…)` does it with the intent."""
        self._require_writable()
        async with self._writing, self._database.write() as connection:
            await _keep_sealed(connection, {op: blob})

    async def sealed(self, op: str) -> str | None:
        """An op's sealed prior state; None when there is none or it was erased."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(SEALED).where(SEALED.c.op == op))).one_or_none()
        if row is None:
            return None
        if row.digest != text_digest(op, row.blob):
            raise self._damaged(f"the sealed prior state of op {op}")
        return str(row.blob)

    async def erase_sealed(self, ops: Sequence[str]) -> None:
        """Erase what no undo can need any more (I27): afterwards the bytes are in no file of the journal."""
        self._require_writable()
        async with self._writing:
            async with self._database.write() as connection:
                await connection.execute(delete(SEALED).where(SEALED.c.op.in_(list(ops))))
            await self._database.forget_erased()

    async def verify(self) -> ChainReport:
        """Read and check every record and document. Damage is reported, and stops mutation from then on."""
        report = await examine(self._database, self._anchor)
        if report.damages:
            self._damaged(report.damages[0].what, report.damages[0].seq)
        return report

    async def close(self) -> None:
        """Finish what was asked for, write the anchor, end the threads, release the lock. Safe to repeat."""
        if self._closed:
            return
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        self._closed = True
        try:
            if self._damage is None and self.head:
                self._anchor.write(self._standing.head, sync=True)
        finally:
            await self._database.close()
            self._lock.release()

    async def _start(self, renew_anchor: bool) -> None:
        create_file(self._database.path)
        anchored = self._anchor.read() if not renew_anchor else None
        if anchored is not None and anchored.seq and await self._database.schema() is None:
            raise JournalDamaged("the tables are gone")
        await self._database.migrate()
        async with self._database.read() as connection:
            self._standing = await standing_of(connection)
            await self._check_head(connection, anchored, renew_anchor)
        if anchored is None:
            self._anchor.create(self._standing.head)
        self._anchored = anchored.seq if anchored else self.head

    async def _check_head(self, connection: AsyncConnection, anchored: Head | None, renew: bool) -> None:
        """The newest records follow from the anchor without a gap."""
        head = self._standing.head
        if anchored is None:
            if head.seq and not renew:
                raise JournalDamaged("its anchor file is gone")
            return
        if anchored.seq > head.seq:
            raise JournalDamaged(f"the newest records are gone: it ends at {head.seq}, the anchor is {anchored.seq}")
        before = anchored
        for row in await rows_after(connection, max(anchored.seq - 1, 0), head.seq, head.seq - anchored.seq + 1):
            expected = anchored.hash if row.seq == anchored.seq else row.hash
            follows = row.seq == anchored.seq or (row.seq == before.seq + 1 and row.prev_hash == before.hash)
            if not row.intact or row.hash != expected or not follows:
                raise JournalDamaged("it does not follow from the anchor", row.seq)
            before = Head(row.seq, row.hash)
        if before.seq != head.seq:
            raise JournalDamaged(f"records after {before.seq} are missing")

    async def _flush(self) -> None:
        """Commit what is waiting until nothing is. Whatever goes wrong is told to every caller of that batch."""
        while self._pending:
            batch, self._pending = self._pending[:_BATCH_MAX], self._pending[_BATCH_MAX:]
            try:
                await self._commit(batch)
            except AlmaError as error:
                _fail(batch, error)
            except BaseException:
                _fail(batch, JournalUnavailable("the commit was interrupted"))
                raise

    async def _commit(self, batch: Sequence[_Request]) -> None:
        async with self._writing:
            self._require_writable()
            await self._settle()
            at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
            draft, answers = Draft(self._standing), []
            for request in batch:
                answers.append((request, _drafted(request, draft, at)))
            if draft.rows:
                await self._store(draft)
        for request, answer in answers:
            if not request.answer.done():
                _tell(request, answer)

    async def _settle(self) -> None:
        """Before a write: the anchor is not behind, and we know what the last, perhaps failed, commit left."""
        if self._unsure:
            async with self._database.read() as connection:
                self._standing = await standing_of(connection)
            self._unsure = False
        if self._anchored < self.head:
            self._anchor.write(self._standing.head)
            self._anchored = self.head

    async def _store(self, draft: Draft) -> None:
        try:
            async with self._database.write() as connection:
                if await head_of(connection) != self._standing.head:
                    raise self._damaged("another process wrote to it")
                await _write(connection, draft)
        except JournalDamaged as error:
            self._damage = error
            raise
        except BaseException:
            self._unsure = True
            raise
        self._standing.take(draft)
        # Behind is harmless, so a failure here is not the callers': the next commit tries again first.
        try:
            self._anchor.write(self._standing.head)
            self._anchored = self.head
        except JournalUnavailable:
            return

    def _require_writable(self) -> None:
        if self._damage is not None:
            raise self._damage
        if self._closed:
            raise JournalUnavailable("it is closed", hint="open it again")

    def _damaged(self, what: str, seq: int | None = None) -> JournalDamaged:
        self._damage = self._damage or JournalDamaged(what, seq)
        return self._damage

    def _checked(self, row: Row) -> Recorded:
        if not row.intact:
            raise self._damaged("its hash does not fit", row.seq)
        return Recorded(row.seq, row.stream, row.version, row.kind, row.at, orjson.loads(row.body))

    def _opened(self, kind: str, key: str, body: object, digest: bytes) -> Mapping[str, Json]:
        if not isinstance(body, str) or document_digest(kind, key, body) != digest:
            raise self._damaged(f"the document {kind} {key!r}")
        content: Mapping[str, Json] = orjson.loads(body)
        return content


def _drafted(request: _Request, draft: Draft, at: str) -> tuple[Recorded, ...] | StaleStream:
    version = draft.version(request.stream)
    if request.expect is not None and request.expect != version:
        return StaleStream(request.stream, request.expect, version)
    rows = draft.add(request.stream, request.entries, request.documents, at)
    draft.sealed.update(request.sealed)
    return tuple(
        Recorded(r.seq, r.stream, r.version, r.kind, r.at, b) for r, b in zip(rows, request.bodies, strict=True)
    )


def _tell(request: _Request, answer: tuple[Recorded, ...] | StaleStream) -> None:
    if isinstance(answer, StaleStream):
        request.answer.set_exception(answer)
    else:
        request.answer.set_result(answer)


def _fail(batch: Sequence[_Request], error: AlmaError) -> None:
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)


async def _write(connection: AsyncConnection, draft: Draft) -> None:
    names = [c.name for c in RECORDS.columns]
    await connection.execute(insert(RECORDS), [{n: getattr(r, n) for n in names} for r in draft.rows])
    kept = [
        {"kind": kind, "key": key, "body": w.body, "digest": w.digest}
        for (kind, key), w in draft.documents.items()
        if w.body is not None
    ]
    if kept:
        statement = upsert(DOCUMENTS)
        changed = {"body": statement.excluded.body, "digest": statement.excluded.digest}
        await connection.execute(statement.on_conflict_do_update(index_elements=["kind", "key"], set_=changed), kept)
    for (kind, key), written in draft.documents.items():
        if written.body is None:
            await connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.key == key))
    if draft.sealed:
        await _keep_sealed(connection, draft.sealed)


async def _keep_sealed(connection: AsyncConnection, blobs: Mapping[str, str]) -> None:
    statement = upsert(SEALED)
    changed = {"blob": statement.excluded.blob, "digest": statement.excluded.digest}
    rows = [{"op": op, "blob": blob, "digest": text_digest(op, blob)} for op, blob in blobs.items()]
    await connection.execute(statement.on_conflict_do_update(index_elements=["op"], set_=changed), rows)
