"""What several writers of one database need; a SQLite file has one writer and gets none of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
_WORD = sa.String(collation="C")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "touched",
        sa.Column("kind", _WORD, primary_key=True),
        sa.Column("key", _WORD, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
    )
    op.create_index("ix_touched_seq", "touched", ["seq"])
    op.create_table(
        "beats",
        sa.Column("controller", _WORD, primary_key=True),
        sa.Column("beat", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("beats")
        op.drop_table("touched")
