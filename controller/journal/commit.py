"""One commit: what callers asked for at the same time, as rows, and the statements that store them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Executable, Table, bindparam, delete, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.errors import AlmaError
from controller.journal.chain import Json, canonical, text_digest
from controller.journal.failure import NotHeld, StaleStream
from controller.journal.projections import ONLY_DOCUMENTS, SEALED_OP, Document, Draft, Entry, OnlyWhile, Recorded
from controller.journal.tables import DOCUMENTS, RECORDS, SEALED, TOUCHED


@dataclass(slots=True)
class Request:
    """One caller's append, already text, so that a bad body fails its own caller only."""

    stream: str
    entries: list[tuple[str, str]]
    documents: list[tuple[str, str, str | None]]
    sealed: Mapping[str, str | None]  # None erases
    expect: int | None
    only_while: OnlyWhile | None
    bodies: list[Mapping[str, Json]]
    answer: asyncio.Future[tuple[Recorded, ...]] = field(repr=False)

    @classmethod
    def of(
        cls,
        stream: str,
        entries: Sequence[Entry],
        documents: Sequence[Document],
        expect: int | None,
        sealed: Mapping[str, str | None],
        only_while: OnlyWhile | None = None,
    ) -> Request:
        """A request of the running loop. Raises TypeError for a body that is not JSON."""
        listed = list(entries) or [Entry(ONLY_DOCUMENTS, {})]
        return cls(
            stream,
            [(e.kind, canonical(e.body)) for e in listed],
            [(d.kind, d.key, None if d.body is None else canonical(d.body)) for d in (*documents, *_digests(sealed))],
            dict(sealed),
            expect,
            only_while,
            [e.body for e in listed],
            asyncio.get_running_loop().create_future(),
        )


Answer: TypeAlias = tuple[Recorded, ...] | StaleStream | NotHeld


def drafted(request: Request, draft: Draft, at: str) -> Answer:
    """Put a request's rows into the draft; an outdated one leaves the draft as it is."""
    held = request.only_while
    if held is not None and draft.digest(held.kind, held.key) != held.digest:
        return NotHeld(held.key)
    version = draft.version(request.stream)
    if request.expect is not None and request.expect != version:
        return StaleStream(request.stream, request.expect, version)
    rows = draft.add(request.stream, request.entries, request.documents, at)
    draft.sealed.update(request.sealed)
    return tuple(
        Recorded(r.seq, r.stream, r.version, r.kind, r.at, b) for r, b in zip(rows, request.bodies, strict=True)
    )


def tell(request: Request, answer: Answer) -> None:
    """Wake the caller; one that was cancelled meanwhile is not there any more."""
    if request.answer.done():
        return
    if isinstance(answer, Exception):
        request.answer.set_exception(answer)
    else:
        request.answer.set_result(answer)


def fail(batch: Sequence[Request], error: AlmaError) -> None:
    """Tell every caller that is still waiting."""
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)


async def write(connection: AsyncConnection, draft: Draft, *, shared: bool) -> None:
    """Store a draft's rows, documents and sealed blobs in the transaction of `connection`; with `shared` also which
    documents other processes have to look at again."""
    names = [c.name for c in RECORDS.columns]
    keep = _KEEPING[connection.dialect.name]
    await connection.execute(insert(RECORDS), [{n: getattr(r, n) for n in names} for r in draft.rows])
    documents = [
        {"kind": kind, "key": key, "body": w.body, "digest": w.digest} for (kind, key), w in draft.documents.items()
    ]
    # Each statement is a round trip to the connection's thread, so each is sent once for all its rows.
    await _sent(connection, keep.document, [d for d in documents if d["body"] is not None])
    await _sent(connection, _DROP_DOCUMENT, [{"a": d["kind"], "b": d["key"]} for d in documents if d["body"] is None])
    blobs = draft.sealed.items()
    await _sent(connection, keep.blob, [{"op": op, "blob": blob} for op, blob in blobs if blob is not None])
    await _sent(connection, _DROP_BLOB, [{"a": op} for op, blob in blobs if blob is None])
    if shared:
        touched = [{"kind": d["kind"], "key": d["key"], "seq": draft.head.seq} for d in documents]
        await _sent(connection, keep.touched, touched)


@dataclass(frozen=True, slots=True)
class _Keeping:
    """The statements that insert or replace, in one database's dialect."""

    document: Executable
    blob: Executable
    touched: Executable

    @classmethod
    def by(cls, upsert: Callable[[Table], Any]) -> _Keeping:
        def keeping(table: Table, keys: Sequence[str], values: Sequence[str]) -> Executable:
            statement = upsert(table)
            newer = {name: statement.excluded[name] for name in values}
            made: Executable = statement.on_conflict_do_update(index_elements=list(keys), set_=newer)
            return made

        return cls(
            keeping(DOCUMENTS, ["kind", "key"], ["body", "digest"]),
            keeping(SEALED, ["op"], ["blob"]),
            keeping(TOUCHED, ["kind", "key"], ["seq"]),
        )


_KEEPING = {"sqlite": _Keeping.by(sqlite.insert), "postgresql": _Keeping.by(postgresql.insert)}
_DROP_DOCUMENT = delete(DOCUMENTS).where(DOCUMENTS.c.kind == bindparam("a"), DOCUMENTS.c.key == bindparam("b"))
_DROP_BLOB = delete(SEALED).where(SEALED.c.op == bindparam("a"))


async def _sent(connection: AsyncConnection, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        await connection.execute(statement, rows)


def _digests(sealed: Mapping[str, str | None]) -> Iterator[Document]:
    """The chain vouches for a blob without holding it: damage to it shows, and so does its loss."""
    for op, blob in sealed.items():
        yield Document(SEALED_OP, op, None if blob is None else {"sha256": text_digest(op, blob).hex()})
