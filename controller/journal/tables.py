"""The tables of the newest schema."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()
SHARED = MetaData()  # what only a database with several writers has
# Compared byte by byte, as SQLite does and as our own code sorts, whatever the locale of the database.
WORD = String().with_variant(String(collation="C"), "postgresql")

# Append-only. `seq` is the order of everything (I23: never `at`, which is for display). `state` is the sum of the
# documents after this record, `hash` covers every other column.
RECORDS = Table(
    "records",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("stream", WORD, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("at", WORD, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("stream", "version", name="records_stream_version"),
    Index("records_seq_kind", "seq", "kind"),  # a filtered tail reads this and not the bodies
)

# Projections: the newest body per (kind, key), written in the same commit as the records that changed it.
DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("kind", WORD, primary_key=True),
    Column("key", WORD, primary_key=True),
    Column("body", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Sealed prior state per op, outside the chain so that it can be erased (I27). Its digest is a document.
SEALED = Table(
    "sealed",
    METADATA,
    Column("op", WORD, primary_key=True),
    Column("blob", Text, nullable=False),
    sqlite_with_rowid=False,
)

# The number of the last record whose commit set or deleted a document: what another process has to look at again.
TOUCHED = Table(
    "touched",
    SHARED,
    Column("kind", WORD, primary_key=True),
    Column("key", WORD, primary_key=True),
    Column("seq", Integer, nullable=False, index=True),
)

# How often each controller has said that it lives. Not in the chain: it says nothing about what was done.
BEATS = Table(
    "beats",
    SHARED,
    Column("controller", WORD, primary_key=True),
    Column("beat", Integer, nullable=False),
)
