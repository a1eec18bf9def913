"""The hash chain as arithmetic: one record's hash, one document's digest, the sum over all documents. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = Any

GENESIS = bytes(32)  # what the first record's prev_hash is
_SUM = 1 << 256


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it lies in the table. `body` is canonical JSON text."""

    seq: int
    stream: str
    version: int
    kind: str
    at: str
    body: str
    state: bytes
    prev_hash: bytes
    hash: bytes

    @property
    def intact(self) -> bool:
        """True if `hash` covers exactly what stands in the other columns."""
        try:
            return self.hash == row_hash(self)
        except (TypeError, ValueError, AttributeError):  # damage may change a column's type
            return False


@dataclass(frozen=True, slots=True)
class Damage:
    """One place where the journal is not what was written; `seq` None where no single record is meant."""

    seq: int | None
    what: str

    def __str__(self) -> str:
        return f"record {self.seq}: {self.what}" if self.seq is not None else self.what


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` found: how many records and documents it read, the head, and every damaged place (at most 100)."""

    records: int
    documents: int
    head_seq: int
    head_hash: str
    damages: tuple[Damage, ...] = ()

    @property
    def intact(self) -> bool:
        return not self.damages


def canonical(body: Mapping[str, Json]) -> str:
    """JSON with sorted keys: equal bodies give equal text. Raises TypeError for what is not JSON."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()


def row_hash(row: Row) -> bytes:
    """SHA-256 over the canonical JSON of every column but `hash`. Works on rows whose `hash` is not known yet."""
    covered = {
        "at": row.at,
        "body": orjson.Fragment(row.body),
        "kind": row.kind,
        "prev": row.prev_hash.hex(),
        "seq": row.seq,
        "state": row.state.hex(),
        "stream": row.stream,
        "version": row.version,
    }
    return hashlib.sha256(orjson.dumps(covered, option=orjson.OPT_SORT_KEYS)).digest()


def document_digest(kind: str, key: str, body: str) -> bytes:
    """SHA-256 that binds a document's body to its place."""
    return hashlib.sha256(orjson.dumps([kind, key, body])).digest()


def text_digest(op: str, blob: str) -> bytes:
    """SHA-256 of a sealed blob and the op it belongs to. The blob is ciphertext, so nothing can be guessed from it."""
    return hashlib.sha256(orjson.dumps([op, blob])).digest()


def moved(total: int, removed: bytes | None, added: bytes | None) -> int:
    """The sum over all documents' digests after one was replaced; order of writing does not matter."""
    gone = int.from_bytes(removed, "big") if removed else 0
    come = int.from_bytes(added, "big") if added else 0
    return (total - gone + come) % _SUM


def as_state(total: int) -> bytes:
    """The sum as it is stored in a record."""
    return total.to_bytes(32, "big")
