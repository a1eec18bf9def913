"""Append, read, resume."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect

from controller.errors import InvalidInput
from controller.journal import migrations
from controller.journal.failure import JournalDamaged, JournalTooNew, JournalUnavailable, NotHeld, StaleStream
from controller.journal.journal import Document, Entry, Journal
from controller.journal.lock import LockHeld
from controller.journal.place import SCHEMA, place_of
from controller.journal.projections import OnlyWhile
from controller.journal.sqlite import require_durable
from controller.journal.tables import METADATA
from tests.controller.journal.clocks import noon
from tests.controller.journal.databases import on_a_file


async def test_what_was_appended_is_read_back_in_order(journal: Journal) -> None:
    first = await journal.append("run/1", [Entry("run.started", {"n": 1}), Entry("run.intent", {"deep": {"x": [1]}})])
    await journal.append("run/2", [Entry("run.started", {})])
    assert [(r.seq, r.version, r.kind) for r in first] == [(1, 1, "run.started"), (2, 2, "run.intent")]
    assert await journal.read("run/1") == first
    assert await journal.read("run/1", after=1) == first[1:]
    assert await journal.read("nobody") == ()
    assert first[0].at == "2026-01-01T12:00:00.000+00:00"


async def test_tail_goes_over_all_streams_and_filters_by_kind(journal: Journal) -> None:
    for stream in "ab":
        await journal.append(stream, [Entry("run.started", {}), Entry("scope.paused", {})])
    assert [r.seq for r in await journal.tail()] == [1, 2, 3, 4]
    assert [r.seq for r in await journal.tail(after_seq=1, limit=2)] == [2, 3]
    assert [r.seq for r in await journal.tail(kinds="scope.")] == [2, 4]
    assert journal.head == 4


async def test_a_stream_that_moved_is_stale_and_nothing_is_written(journal: Journal) -> None:
    await journal.append("s", [Entry("a", {})], expect=0)
    with pytest.raises(StaleStream, match="at version 1, not 0"):
        await journal.append("s", [Entry("b", {})], [Document("status", "s", {"x": 1})], expect=0)
    assert len(await journal.read("s")) == 1
    assert await journal.document("status", "s") is None


async def test_of_callers_that_expect_one_version_exactly_one_wins(journal: Journal) -> None:
    tries = [journal.append("s", [Entry("claimed", {"by": n})], expect=0) for n in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(a, tuple) for a in answers) == 1
    assert sum(isinstance(a, StaleStream) for a in answers) == 19


async def test_a_body_that_is_not_json_fails_its_own_caller_only(journal: Journal) -> None:
    good = journal.append("s", [Entry("good", {})])
    bad = journal.append("s", [Entry("bad", {"x": object()})])
    answers = await asyncio.gather(good, bad, return_exceptions=True)
    assert isinstance(answers[0], tuple)
    assert isinstance(answers[1], TypeError)


async def test_documents_hold_the_newest_body_and_can_be_deleted(journal: Journal) -> None:
    await journal.append("s", [Entry("a", {})], [Document("status", "prod/a", {"n": 1}), Document("status", "qa", {})])
    await journal.append("s", [Entry("a", {})], [Document("status", "prod/a", {"n": 2})])
    assert await journal.document("status", "prod/a") == {"n": 2}
    assert await journal.documents("status", "prod/") == {"prod/a": {"n": 2}}
    await journal.append("s", [], [Document("status", "prod/a", None)])
    assert await journal.document("status", "prod/a") is None
    assert await journal.documents("status") == {"qa": {}}
    assert (await journal.verify()).intact


async def test_a_document_that_is_read_while_it_is_written_is_no_damage(journal: Journal) -> None:
    """The reader sees one of the bodies that were written, never a mix of two (I24 must not cry wolf)."""

    async def write(n: int) -> None:
        await journal.append("scope:a", [Entry("scope.seen", {})], [Document("scope", "a", {"n": n})])

    await write(-1)
    seen = []
    for n in range(60):
        writing = asyncio.create_task(write(n))
        while not writing.done():
            found = await journal.document("scope", "a")
            listed = (await journal.documents("scope"))["a"]
            assert found is not None
            seen += [found["n"], listed["n"]]
        await writing
    assert seen == sorted(seen)
    assert journal.writable


async def test_everything_is_there_after_opening_again(url: str, state: Path) -> None:
    journal = await Journal.open(url, state, now=noon)
    records = await journal.append("s", [Entry("a", {"x": "ü"})], [Document("k", "1", {"y": 1})], sealed={"op": "blob"})
    await journal.close()
    again = await Journal.open(url, state, now=noon)
    assert await again.read("s") == records
    assert await again.document("k", "1") == {"y": 1}
    assert await again.sealed("op") == "blob"
    assert (await again.append("s", [Entry("b", {})], expect=1))[0].seq == 2
    assert (await again.verify()).intact
    await again.close()


@on_a_file
async def test_erased_prior_state_is_in_no_file(journal: Journal, tmp_path: Path) -> None:
    """I27: sealed prior state goes when no undo can need it; the chain stays whole without it."""
    await journal.append("s", [Entry("run.intent", {})], sealed={"op1": "BLOB-ONE" * 9, "op2": "BLOB-TWO" * 9})
    await journal.put_sealed("op3", "BLOB-THREE" * 9)
    await journal.erase_sealed(["op1", "op3"])
    on_disk = b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir())
    assert b"BLOB-ONE" not in on_disk
    assert b"BLOB-THREE" not in on_disk
    assert await journal.sealed("op1") is None
    assert await journal.sealed("op2") == "BLOB-TWO" * 9
    assert (await journal.verify()).intact


@on_a_file
async def test_a_second_opener_is_refused_with_the_holder_named(journal: Journal, url: str, state: Path) -> None:
    with pytest.raises(LockHeld, match=r"in use by process \d+"):
        await Journal.open(url, state, now=noon)


async def test_a_closed_journal_takes_nothing_more(url: str, state: Path) -> None:
    journal = await Journal.open(url, state, now=noon)
    await journal.close()
    await journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        await journal.append("s", [Entry("a", {})])
    assert not journal.writable


async def test_close_waits_for_what_was_asked_for(url: str, state: Path) -> None:
    journal = await Journal.open(url, state, now=noon)
    asked = [asyncio.ensure_future(journal.append("s", [Entry("a", {})])) for _ in range(5)]
    await asyncio.sleep(0)
    await journal.close()
    assert [len(await a) for a in asked] == [1] * 5


@on_a_file
async def test_a_newer_schema_is_refused_in_words_and_left_alone(url: str, state: Path, tmp_path: Path) -> None:
    """I25, A13: a downgrade says so before it touches anything."""
    await (await Journal.open(url, state, now=noon)).close()
    file = tmp_path / "state/alma.db"
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = file.read_bytes()
    with pytest.raises(JournalTooNew, match="has schema 9999, this version knows up to 0002"):
        await Journal.open(url, state, now=noon)
    assert file.read_bytes() == before


@on_a_file
async def test_a_missing_anchor_is_damage_until_a_person_accepts_the_head(
    url: str, state: Path, tmp_path: Path
) -> None:
    journal = await Journal.open(url, state, now=noon)
    await journal.append("s", [Entry("a", {})])
    await journal.close()
    (tmp_path / "state/alma.db.anchor").unlink()
    with pytest.raises(JournalDamaged, match="anchor file is gone"):
        await Journal.open(url, state, now=noon)
    await (await Journal.open(url, state, now=noon, renew_anchor=True)).close()
    await (await Journal.open(url, state, now=noon)).close()


@on_a_file
async def test_files_are_for_their_owner_alone(journal: Journal, tmp_path: Path) -> None:
    await journal.append("s", [Entry("a", {})])
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mysql://h/db", "neither SQLite nor PostgreSQL"),
        ("postgresql://h", "names no database"),
        ("postgresql://alma:canary@h:x/db", "names no database"),
        ("postgresql://h/db?password=canary", "a password among the options"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////x/a.db?mode=ro", "options"),
        ("nonsense", "not a database URL"),
    ],
)
def test_other_urls_are_refused(url: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as refused:
        place_of(url)
    assert "canary" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("mode", "synchronous"), [("delete", 2), ("memory", 2), ("wal", 1), ("wal", 0), ("off", 3)])
def test_settings_that_lose_commits_are_refused(mode: str, synchronous: int) -> None:
    """A9: start refuses weaker settings."""
    with pytest.raises(JournalUnavailable, match="not be durable"):
        require_durable(mode, synchronous)


@on_a_file
async def test_a_row_of_somebody_else_stops_mutation(journal: Journal, tmp_path: Path) -> None:
    """I14: whoever got past the lock is noticed before a record of ours follows."""
    await journal.append("s", [Entry("a", {})])
    raw = sqlite3.connect(tmp_path / "state/alma.db")
    with raw:
        raw.execute("INSERT INTO records SELECT 2, stream, 2, kind, at, body, state, hash, hash FROM records")
    raw.close()
    with pytest.raises(JournalDamaged, match="SQLITE_CONSTRAINT"):
        await journal.append("s", [Entry("b", {})])
    assert not journal.writable


@on_a_file
async def test_the_tables_are_those_of_the_migrations(journal: Journal, tmp_path: Path) -> None:
    """The code's tables and the migrated ones have the same columns, keys and indexes."""

    def shape(engine: Engine) -> dict[str, object]:
        seen = inspect(engine)
        return {
            name: (
                [(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(name)],
                seen.get_pk_constraint(name)["constrained_columns"],
                seen.get_indexes(name),
                seen.get_unique_constraints(name),
            )
            for name in METADATA.tables
        }

    made, migrated = create_engine("sqlite://"), create_engine(f"sqlite:///{tmp_path}/state/alma.db")
    METADATA.create_all(made)
    assert shape(made) == shape(migrated)
    made.dispose()
    migrated.dispose()


def test_the_code_knows_the_newest_migration() -> None:
    """I25."""
    folder = Path(migrations.__file__).parent / "versions"
    newest = max(p.name for p in folder.glob("r[0-9]*.py"))
    assert newest.startswith(f"r{SCHEMA}_")


async def test_a_commit_under_a_lease_that_has_moved_on_is_refused(journal: Journal) -> None:
    """I14: it is looked at in the very transaction, also behind what shares the commit."""
    held = OnlyWhile("lease", "prod", {"controller": "one", "epoch": 1})
    with pytest.raises(NotHeld, match="prod is not held"):
        await journal.append("run/1", [Entry("run.intent", {})], only_while=held)
    await journal.append("lease", [], [Document("lease", "prod", {"epoch": 1, "controller": "one"})])
    await journal.append("run/1", [Entry("run.intent", {})], only_while=held)
    moved, late = await asyncio.gather(
        journal.append("lease", [], [Document("lease", "prod", {"controller": "other", "epoch": 2})]),
        journal.append("run/1", [Entry("run.acted", {})], only_while=held),
        return_exceptions=True,
    )
    assert isinstance(late, NotHeld) and not isinstance(moved, BaseException)
    assert [r.kind for r in await journal.read("run/1")] == ["run.intent"]
    assert (await journal.verify()).intact
