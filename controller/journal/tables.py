"""The tables of the newest schema."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

# Append-only. `seq` is the order of everything (I23: never `at`, which is for display). `state` is the sum of the
# documents after this record, `hash` covers every other column.
RECORDS = Table(
    "records",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("stream", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", String, nullable=False),
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
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Sealed prior state per op, outside the chain so that it can be erased (I27). Its digest is a document.
SEALED = Table(
    "sealed",
    METADATA,
    Column("op", String, primary_key=True),
    Column("blob", Text, nullable=False),
    sqlite_with_rowid=False,
)
