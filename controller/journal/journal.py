"""The journal: append, read, resume. Everything acknowledged is on the disk; everything read was checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.errors import AlmaError
from controller.journal.anchor import AnchorFile, Head
from controller.journal.chain import ChainReport, Json, Row, canonical, document_digest, text_digest
from controller.journal.commit import Answer, Request, drafted, fail, tell, write
from controller.journal.database import Database, database_at, migrate
from controller.journal.examine import catch_up, examine, rows_after, standing_of
from controller.journal.failure import Evicted, JournalDamaged, JournalUnavailable
from controller.journal.lock import FileLock
from controller.journal.place import FilePlace, Place, place_of
from controller.journal.projections import SEALED_OP, Document, Draft, Entry, OnlyWhile, Recorded, Standing
from controller.journal.tables import DOCUMENTS, RECORDS, SEALED

__all__ = ["ChainReport", "Document", "Entry", "Journal", "Recorded"]

_BATCH_MAX = 256  # appends that share one commit
_Chosen: TypeAlias = Callable[[Mapping[str, bytes]], Iterable[str]]  # of the digests of a kind, by key


class Journal:
    """One journal, opened by one process; a shared one by several. Raises only the errors of
    `controller.journal.failure`.

    What stands (`Standing`) moves only while `_writing` is held. In a shared journal it is brought up to date in the
    transaction that relies on it: for a write after the database's own writer lock was taken, for a read in its view.
    """

    def __init__(
        self, database: Database, anchor: AnchorFile, lock: FileLock | None, now: Callable[[], datetime]
    ) -> None:
        self._database, self._anchor, self._lock, self._now = database, anchor, lock, now
        self._standing = Standing()
        self._pending: list[Request] = []
        self._flushing: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._damage: JournalDamaged | None = None
        self._unsure = False  # a commit's answer was lost: look what is there before the next one
        self._anchored = 0
        self._closed = False
        self._required: tuple[str, str, bytes | None] | None = None  # a document without which nothing is written
        self._evicted = False

    @classmethod
    async def open(
        cls, url: str, state: Path | None = None, *, now: Callable[[], datetime], renew_anchor: bool = False
    ) -> Journal:
        """The journal at `sqlite:////path` or in a PostgreSQL database (whose anchor lies in `state`), made if it is
        not there. `now` is the wall clock, for display.

        Raises LockHeld when another process has it, JournalTooNew (I25), JournalUnavailable when a commit would not
        be durable, and JournalDamaged when documents, the newest records or the anchor do not fit (I24).
        `renew_anchor` accepts the head as it is, after a person restored a backup.
        """
        place = place_of(url)
        anchor, lock = _anchor_of(place, state), _lock_of(place)
        database = database_at(place)
        journal = cls(database, anchor, lock, now)
        try:
            await journal._start(renew_anchor)
        except BaseException:
            await database.close()
            if lock is not None:
                lock.release()
            raise
        return journal

    @property
    def head(self) -> int:
        """The number of the newest record; 0 when there is none."""
        return self._standing.head.seq

    @property
    def writable(self) -> bool:
        """False once damage was seen or the journal was closed, and once what `require` named is gone: nothing may be
        mutated any more (I24)."""
        return self._damage is None and not self._closed and not self._evicted

    @property
    def shared(self) -> bool:
        """True if other processes may write too."""
        return self._database.shared

    def require(self, kind: str, key: str) -> None:
        """From now on every commit is refused with Evicted, for good, once this document is not what it is now: that
        is looked at in the transaction of the commit (I14)."""
        self._required = (kind, key, self._standing.digest(kind, key))

    async def require_now(self) -> None:
        """Raises Evicted if a commit would."""
        async with self._settled():
            self._require_document()

    async def version(self, stream: str) -> int:
        """Of the stream's newest record now; 0 when there is none."""
        async with self._viewing():
            return self._standing.version(stream)

    async def append(
        self,
        stream: str,
        entries: Sequence[Entry],
        documents: Sequence[Document] = (),
        expect: int | None = None,
        sealed: Mapping[str, str] | None = None,
        only_while: OnlyWhile | None = None,
    ) -> tuple[Recorded, ...]:
        """Add entries to a stream, set documents and keep sealed blobs (op → blob), all in one commit that is on the
        disk on return. Callers at the same time share commits. Documents alone leave one record of their own.

        `expect` is the stream's version as the caller knows it (0: no such stream). Raises StaleStream, NotHeld where
        `only_while` is not so in the very transaction, TypeError for
        a body that is not JSON, JournalUnavailable or JournalDamaged; then nothing of it was written. A caller that
        is cancelled while waiting does not know.
        """
        return await self._put(Request.of(stream, entries, documents, expect, sealed or {}, only_while))

    async def read(self, stream: str, after: int = 0) -> tuple[Recorded, ...]:
        """The records of a stream with a version above `after`, in order. Raises JournalDamaged when one of them is
        not there or not what was written."""
        async with self._viewing() as connection:
            last = self._standing.version(stream)
            if last <= after:
                return ()
            wanted = RECORDS.c.version > after, RECORDS.c.version <= last
            found = await connection.execute(
                select(RECORDS).where(RECORDS.c.stream == stream, *wanted).order_by(RECORDS.c.version)
            )
            rows = [Row(*r) for r in found]
        if [r.version for r in rows] != list(range(after + 1, last + 1)):
            raise self._damaged(f"records of stream {stream!r} are missing")
        return tuple(self._checked(r) for r in rows)

    async def newest(self, stream: str, most: int) -> tuple[Recorded, ...]:
        """The last `most` records of a stream, in order. Raises as `read` does."""
        return await self.read(stream, max(0, self._standing.version(stream) - most))

    async def tail(self, after_seq: int = 0, limit: int = 1000, kinds: str = "") -> tuple[Recorded, ...]:
        """At most `limit` records after `after_seq` over all streams, in order; with `kinds` only those whose kind
        starts so."""
        async with self._viewing() as connection:
            head = self.head
            rows = await rows_after(connection, after_seq, head, limit, kinds)
        # A filtered view cannot know what it should hold; `verify` does.
        if not kinds and [r.seq for r in rows] != list(range(after_seq + 1, min(after_seq + limit, head) + 1)):
            raise self._damaged(f"records after {after_seq} are missing")
        return tuple(self._checked(r) for r in rows)

    async def document(self, kind: str, key: str) -> Mapping[str, Json] | None:
        """A projection as of the newest commit; None when there is none. Raises JournalDamaged when there should be
        one and it is not what was written."""
        return (await self._documents(kind, lambda held: (key,) if key in held else ())).get(key)

    async def documents(self, kind: str, prefix: str = "") -> Mapping[str, Mapping[str, Json]]:
        """All projections of a kind whose key starts with `prefix`, by key in order."""
        return await self._documents(kind, lambda held: sorted(k for k in held if k.startswith(prefix)))

    async def _documents(self, kind: str, chosen: _Chosen) -> Mapping[str, Mapping[str, Json]]:
        """A commit that came between the digests and the bodies is no damage: then they are looked at once more while
        nobody writes. Of a shared journal only that look is sure."""
        looked = _Looked(kind, {}, {})
        if not self._database.shared:
            if not (wanted := self._wanted(kind, chosen)):
                return {}
            async with self._reading() as connection:
                looked = await self._look(connection, kind, wanted)
        if self._database.shared or looked.wrong is not None:
            async with self._settled() as connection:
                looked = await self._look(connection, kind, self._wanted(kind, chosen))
        if looked.wrong is not None:
            raise self._damaged(f"the document {looked.kind} {looked.wrong!r}")
        return {k: orjson.loads(str(looked.bodies[k])) for k in looked.digests}

    def _wanted(self, kind: str, chosen: _Chosen) -> dict[str, bytes]:
        held = self._standing.digests.get(kind, {})
        return {k: held[k] for k in chosen(held)}

    async def _look(self, connection: AsyncConnection, kind: str, wanted: Mapping[str, bytes]) -> _Looked:
        """Stored documents beside the digests they should have."""
        if not wanted:
            return _Looked(kind, {}, {})
        within = DOCUMENTS.c.kind == kind, DOCUMENTS.c.key >= min(wanted), DOCUMENTS.c.key <= max(wanted)
        found = await connection.execute(select(DOCUMENTS.c.key, DOCUMENTS.c.body).where(*within))
        return _Looked(kind, {k: b for k, b in found if k in wanted}, wanted)

    async def put_sealed(self, op: str, blob: str) -> None:
        """Keep an op's sealed prior state; durable on return. `append(sealed=…)` does it with the intent."""
        await self.append(SEALED_OP, [Entry("journal.sealed", {"op": op})], sealed={op: blob})

    async def sealed(self, op: str) -> str | None:
        """An op's sealed prior state; None when there is none or it was erased. Raises JournalDamaged when it should
        be there and is not what was put."""
        async with self._viewing() as connection:
            about, blob = await self._sealed_now(connection, op)
        if not _is_blob(op, about, blob):
            async with self._settled() as connection:  # it may just have been erased
                about, blob = await self._sealed_now(connection, op)
        if not _is_blob(op, about, blob):
            raise self._damaged(f"the sealed prior state of op {op}")
        return blob if about else None

    async def _sealed_now(self, connection: AsyncConnection, op: str) -> tuple[bytes | None, str | None]:
        """The digest of the document that vouches for a blob, and the blob."""
        if (about := self._standing.digest(SEALED_OP, op)) is None:
            return None, None
        return about, (await connection.execute(select(SEALED.c.blob).where(SEALED.c.op == op))).scalar()

    async def erase_sealed(self, ops: Sequence[str]) -> None:
        """Erase what no undo can need any more (I27): afterwards the bytes are in no file of the journal. Ops that
        have none are left out."""
        held = [op for op in dict.fromkeys(ops) if self._standing.digest(SEALED_OP, op) is not None]
        if held:
            await self._put(Request.of(SEALED_OP, [Entry("journal.erased", {"ops": held})], (), None, _nothing(held)))
            async with self._writing:
                await self._database.forget_erased()

    async def verify(self) -> ChainReport:
        """Read and check every record and document. Damage is reported, and stops mutation from then on."""
        report = await examine(self._database, self._anchor)
        if report.damages:
            self._damaged(report.damages[0].what, report.damages[0].seq)
        return report

    @classmethod
    async def inspect(cls, url: str, state: Path | None = None) -> ChainReport:
        """As `verify`, for a journal that is too damaged to open. Raises LockHeld while another process has a SQLite
        journal, and JournalUnavailable when there is none."""
        place = place_of(url)
        if isinstance(place, FilePlace) and not place.path.exists():
            raise JournalUnavailable(f"{place.path} is not there", hint="check `journal:` in alma-server.yaml")
        anchor, lock, database = _anchor_of(place, state), _lock_of(place), database_at(place)
        try:
            if database.shared and await database.schema() is None:
                raise JournalUnavailable("its tables are not there", hint="check `journal:` in alma-server.yaml")
            return await examine(database, anchor)
        finally:
            await database.close()
            if lock is not None:
                lock.release()

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
            if self._lock is not None:
                self._lock.release()

    async def _start(self, renew_anchor: bool) -> None:
        await self._database.prepare()
        anchored = self._anchor.read() if not renew_anchor else None
        if anchored is not None and anchored.seq and await self._database.schema() is None:
            raise JournalDamaged("the tables are gone")
        await migrate(self._database)
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
            # One more controller of a shared journal begins with what it finds.
            if head.seq and not renew and not self._database.shared:
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

    async def _put(self, request: Request) -> tuple[Recorded, ...]:
        self._require_writable()
        self._pending.append(request)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="journal-commit")
        return await request.answer

    async def _flush(self) -> None:
        """Commit what is waiting until nothing is. Whatever goes wrong is told to every caller of that batch."""
        while self._pending:
            batch, self._pending = self._pending[:_BATCH_MAX], self._pending[_BATCH_MAX:]
            try:
                await self._commit(batch)
            except AlmaError as error:
                fail(batch, error)
            except BaseException:
                fail(batch, JournalUnavailable("the commit was interrupted"))
                raise

    async def _commit(self, batch: Sequence[Request]) -> None:
        async with self._writing:
            self._require_writable()
            answers = await self._store(batch)
        for request, answer in zip(batch, answers, strict=True):
            tell(request, answer)

    async def _store(self, batch: Sequence[Request]) -> list[Answer]:
        """One commit of all that is not stale."""
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
        draft, answers = None, []
        try:
            async with self._changing() as connection:
                await self._know(connection)
                self._require_document()
                self._anchor_head()
                draft = Draft(self._standing)
                answers = [drafted(request, draft, at) for request in batch]
                # If anybody got past the lock, the number of our first row is taken, and that is damage.
                if draft.rows:
                    await write(connection, draft, shared=self._database.shared)
        except JournalUnavailable:
            self._unsure = True
            if draft is None or not draft.rows or not await self._is_stored(draft):
                raise
        except BaseException:
            self._unsure = True
            raise
        else:
            if draft.rows:
                self._standing.take(draft)
        # Behind is harmless, so a failure here is not the callers': the next commit tries again first.
        with suppress(JournalUnavailable):
            self._anchor_head()
        return answers

    async def _is_stored(self, draft: Draft) -> bool:
        """After the answer to a commit was lost: whether a server has it all the same. The writer's lock is waited for,
        so a commit that is still under way is over. False when that cannot be known."""
        if not self._database.shared:
            return False
        try:
            async with self._changing() as connection:
                await self._know(connection)
                last = draft.rows[-1]
                rows = await rows_after(connection, last.seq - 1, last.seq, 1)
                return [r.hash for r in rows] == [last.hash]
        except JournalUnavailable:
            return False

    def _anchor_head(self) -> None:
        """The anchor names the newest record we know of."""
        if self._anchored < self.head:
            self._anchor.write(self._standing.head)
            self._anchored = self.head

    async def _know(self, connection: AsyncConnection) -> None:
        """What others committed, and what our last, perhaps failed, commit left."""
        if self._database.shared:
            await catch_up(connection, self._standing)
        elif self._unsure:
            self._standing = await standing_of(connection)
        self._unsure = False

    @asynccontextmanager
    async def _settled(self) -> AsyncIterator[AsyncConnection]:
        """A view that agrees with what we know: nobody of this process writes, and others' commits are taken in."""
        async with self._writing, self._reading() as connection:
            await self._know(connection)
            yield connection

    @asynccontextmanager
    async def _viewing(self) -> AsyncIterator[AsyncConnection]:
        """A view of at least what was committed when it was asked for."""
        async with self._settled() if self._database.shared else self._reading() as connection:
            yield connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with self._noting_damage():
            async with self._database.read() as connection:
                yield connection

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        self._require_writable()
        with self._noting_damage():
            async with self._database.write() as connection:
                yield connection

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Damage stops mutation, wherever it is seen (I24)."""
        try:
            yield
        except JournalDamaged as error:
            self._damage = self._damage or error
            raise

    def _require_writable(self) -> None:
        if self._damage is not None:
            raise self._damage
        if self._closed:
            raise JournalUnavailable("it is closed", hint="open it again")

    def _require_document(self) -> None:
        if self._required is None:
            return
        kind, key, digest = self._required
        self._evicted = self._evicted or self._standing.digest(kind, key) != digest
        if self._evicted:
            raise Evicted

    def _damaged(self, what: str, seq: int | None = None) -> JournalDamaged:
        self._damage = self._damage or JournalDamaged(what, seq)
        return self._damage

    def _checked(self, row: Row) -> Recorded:
        if not row.intact:
            raise self._damaged("its hash does not fit", row.seq)
        return Recorded(row.seq, row.stream, row.version, row.kind, row.at, orjson.loads(row.body))


@dataclass(frozen=True, slots=True)
class _Looked:
    """Bodies as stored, and the digests they should have."""

    kind: str
    bodies: Mapping[str, object]
    digests: Mapping[str, bytes]

    @property
    def wrong(self) -> str | None:
        """The first key whose body is not what was written."""
        return next((k for k, digest in self.digests.items() if not self._fits(k, digest)), None)

    def _fits(self, key: str, digest: bytes) -> bool:
        body = self.bodies.get(key)
        return isinstance(body, str) and document_digest(self.kind, key, body) == digest


def _is_blob(op: str, about: bytes | None, blob: object) -> bool:
    """Whether `blob` is what the document with the digest `about` vouches for."""
    if about is None:
        return True
    vouching = canonical({"sha256": text_digest(op, blob).hex()}) if isinstance(blob, str) else ""
    return document_digest(SEALED_OP, op, vouching) == about


def _lock_of(place: Place) -> FileLock | None:
    """A file has one process; a database server orders many by itself."""
    return FileLock.acquire(_beside(place.path, ".lock")) if isinstance(place, FilePlace) else None


def _anchor_of(place: Place, state: Path | None) -> AnchorFile:
    if isinstance(place, FilePlace):
        return AnchorFile(_beside(place.path, ".anchor"))
    if state is None:
        raise JournalUnavailable("no folder for its anchor", hint="name one with --state or $ALMA_STATE")
    return AnchorFile(state / "journal.anchor")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _nothing(ops: Sequence[str]) -> dict[str, str | None]:
    return dict.fromkeys(ops)
