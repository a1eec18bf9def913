"""What stands after the newest record: the version of each stream and the digest of each document.

Kept in memory, because only then is "not there" known and not merely not found (I9): a damaged index that hides a
row is noticed. Pure: a `Draft` collects what one commit will change, `Standing.take` adopts it once it is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from controller.journal.anchor import Head
from controller.journal.chain import GENESIS, Json, Row, as_state, canonical, document_digest, moved, row_hash

STREAM = "journal.stream"  # documents of this kind are ours: key = stream, body = the version of its last record
SEALED_OP = "journal.sealed"  # likewise: key = op, body = the digest of its sealed blob, which lies outside
ONLY_DOCUMENTS = "journal.documents"  # the record of an append that has documents and no entry


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, before it has a place. `kind` is dotted (`run.intent`); `body` is JSON."""

    kind: str
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry in its place. `at` is UTC in ISO form, for display only; order is `seq` (I23)."""

    seq: int
    stream: str
    version: int
    kind: str
    at: str
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Document:
    """A projection row: what holds now, written in the same commit as what made it so. `body` None deletes it."""

    kind: str
    key: str
    body: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class OnlyWhile:
    """A commit is made only while this document is exactly this: the lease under which its caller works (I14)."""

    kind: str
    key: str
    body: Mapping[str, Json]

    @property
    def digest(self) -> bytes:
        return document_digest(self.kind, self.key, canonical(self.body))


@dataclass(frozen=True, slots=True)
class Written:
    """A document ready to be stored: canonical text and its digest; None deletes."""

    body: str | None
    digest: bytes | None


@dataclass(slots=True)
class Standing:
    """Everything known of the newest state without its bodies. About 200 bytes per document and stream."""

    head: Head = field(default_factory=lambda: Head(0, GENESIS))
    total: int = 0
    digests: dict[str, dict[str, bytes]] = field(default_factory=dict)  # kind → key → digest
    streams: dict[str, int] = field(default_factory=dict)  # stream → version of its last record

    def version(self, stream: str) -> int:
        return self.streams.get(stream, 0)

    def digest(self, kind: str, key: str) -> bytes | None:
        return self.digests.get(kind, {}).get(key)

    def load(self, kind: str, key: str, body: str) -> None:
        """Count in one stored document. Raises ValueError when a stream's version is no version."""
        digest = document_digest(kind, key, body)
        self.digests.setdefault(kind, {})[key] = digest
        self.total = moved(self.total, None, digest)
        if kind == STREAM:
            self.streams[key] = int(orjson.loads(body)["version"])

    def replace(self, kind: str, key: str, body: str | None) -> None:
        """Another process stored this body, or deleted the document. Raises ValueError as `load` does."""
        held = self.digests.get(kind, {}).pop(key, None)
        self.total = moved(self.total, held, None)
        if body is not None:
            self.load(kind, key, body)

    def take(self, draft: Draft) -> None:
        """The draft is durable now."""
        self.head, self.total = draft.head, draft.total
        self.streams.update(draft.streams)
        for (kind, key), written in draft.documents.items():
            if written.digest is None:
                self.digests.get(kind, {}).pop(key, None)
            else:
                self.digests.setdefault(kind, {})[key] = written.digest


class Draft:
    """The rows of one commit, made on top of a Standing that stays as it is."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self.head, self.total = standing.head, standing.total
        self.rows: list[Row] = []
        self.documents: dict[tuple[str, str], Written] = {}
        self.streams: dict[str, int] = {}
        self.sealed: dict[str, str | None] = {}  # op → blob, None erases

    def version(self, stream: str) -> int:
        return self.streams.get(stream) or self._standing.version(stream)

    def digest(self, kind: str, key: str) -> bytes | None:
        held = self.documents.get((kind, key))
        return held.digest if held else self._standing.digest(kind, key)

    def add(
        self, stream: str, entries: Sequence[tuple[str, str]], documents: Sequence[tuple[str, str, str | None]], at: str
    ) -> list[Row]:
        """Append entries (kind, canonical body) to a stream and set documents (kind, key, canonical body or None)."""
        for kind, key, body in documents:
            self._set(kind, key, body)
        return [self._row(stream, kind, body, at) for kind, body in entries]

    def _row(self, stream: str, kind: str, body: str, at: str) -> Row:
        version = self.version(stream) + 1
        self._set(STREAM, stream, canonical({"version": version}))
        seq, prev = self.head.seq + 1, self.head.hash
        bare = Row(seq, stream, version, kind, at, body, as_state(self.total), prev, b"")
        row = replace(bare, hash=row_hash(bare))
        self.head = Head(seq, row.hash)
        self.streams[stream] = version
        self.rows.append(row)
        return row

    def _set(self, kind: str, key: str, body: str | None) -> None:
        before = self.digest(kind, key)
        after = None if body is None else document_digest(kind, key, body)
        self.total = moved(self.total, before, after)
        self.documents[kind, key] = Written(body, after)
