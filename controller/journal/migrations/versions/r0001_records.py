"""Records, documents and sealed prior state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
_WORD = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("stream", _WORD, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("at", _WORD, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("stream", "version", name="records_stream_version"),
    )
    op.create_index("records_seq_kind", "records", ["seq", "kind"])
    op.create_table(
        "documents",
        sa.Column("kind", _WORD, primary_key=True),
        sa.Column("key", _WORD, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sealed",
        sa.Column("op", _WORD, primary_key=True),
        sa.Column("blob", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
