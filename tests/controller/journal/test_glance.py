"""What a command may remember without opening the journal."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.journal.failure import JournalDamaged, JournalTooNew
from controller.journal.glance import documents_at
from controller.journal.journal import Journal
from controller.journal.place import FilePlace
from controller.journal.projections import Document


async def opened(path: Path) -> Journal:
    return await Journal.open(f"sqlite:///{path}", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def written(path: Path) -> None:
    journal = await opened(path)
    await journal.append(
        "s", [], [Document("scope", "prod", {"sync": "synced"}), Document("run", "r1", {"word": "done"})]
    )
    await journal.close()


async def test_a_glance_shows_the_documents_of_one_kind(tmp_path: Path) -> None:
    await written(tmp_path / "alma.db")
    assert documents_at(FilePlace(tmp_path / "alma.db"), "scope") == {"prod": {"sync": "synced"}}


async def test_a_glance_beside_an_open_journal_sees_its_last_commit_and_disturbs_nothing(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "alma.db")
    await journal.append("s", [], [Document("scope", "prod", {"sync": "unknown"})])
    assert documents_at(FilePlace(tmp_path / "alma.db"), "scope") == {"prod": {"sync": "unknown"}}
    await journal.append("s", [], [Document("scope", "prod", {"sync": "synced"})])
    assert documents_at(FilePlace(tmp_path / "alma.db"), "scope") == {"prod": {"sync": "synced"}}
    await journal.close()


def test_where_no_journal_is_nothing_is_remembered_and_none_is_made(tmp_path: Path) -> None:
    assert documents_at(FilePlace(tmp_path / "alma.db"), "scope") == {}
    assert list(tmp_path.iterdir()) == []


async def test_a_document_that_was_changed_by_hand_is_damage(tmp_path: Path) -> None:
    await written(tmp_path / "alma.db")
    with sqlite3.connect(tmp_path / "alma.db") as database:
        database.execute("UPDATE documents SET body = '{\"sync\":\"x\"}' WHERE kind = 'scope'")
    with pytest.raises(JournalDamaged):
        documents_at(FilePlace(tmp_path / "alma.db"), "scope")


async def test_a_journal_of_a_newer_version_is_not_read(tmp_path: Path) -> None:
    await written(tmp_path / "alma.db")
    with sqlite3.connect(tmp_path / "alma.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(JournalTooNew):
        documents_at(FilePlace(tmp_path / "alma.db"), "scope")


def test_what_is_no_database_is_damage(tmp_path: Path) -> None:
    (tmp_path / "alma.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(JournalDamaged):
        documents_at(FilePlace(tmp_path / "alma.db"), "scope")
