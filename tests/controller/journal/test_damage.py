"""A journal that is not what was written is never believed (A10, E21)."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.journal.chain import Row, row_hash
from controller.journal.failure import JournalDamaged, JournalTooNew, JournalUnavailable
from controller.journal.journal import Document, Entry, Journal
from tests.controller.journal.clocks import noon

STREAMS, RECORDS, PAGE_BYTES = 7, 90, 4096


async def fill(journal: Journal) -> None:
    """90 records in 7 streams, with documents that were replaced and deleted, and sealed blobs."""
    for n in range(RECORDS):
        documents = [
            Document("run", f"r{n % 11}", {"n": n}),
            Document("gone", f"g{n % 3}", None if n % 2 else {"n": n}),
        ]
        body = {"n": n, "text": f"step {n} " + "x" * (n % 40)}
        await journal.append(
            f"s{n % STREAMS}", [Entry("run.step", body)], documents, sealed={f"op{n % 13}": f"blob{n}"}
        )


async def everything(journal: Journal) -> dict[str, Any]:
    """All that callers can read."""
    return {
        "tail": await journal.tail(limit=10_000),
        "streams": [await journal.read(f"s{n}") for n in range(STREAMS)],
        "documents": [await journal.documents(kind) for kind in ("run", "gone")],
        "each": [await journal.document("run", f"r{n}") for n in range(11)],
        "sealed": [await journal.sealed(f"op{n}") for n in range(13)],
    }


@pytest.fixture
async def closed(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A journal that was closed: everything is in the one file."""
    journal = await Journal.open(f"sqlite:///{tmp_path}/base/alma.db", now=noon)
    await fill(journal)
    held = await everything(journal)
    await journal.close()
    return tmp_path / "base", held


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[Path, dict[str, Any]]]:
    """The files of a journal in use, as a kill would leave them: most records are in the write-ahead log."""
    journal = await Journal.open(f"sqlite:///{tmp_path}/live/alma.db", now=noon)
    await fill(journal)
    held = await everything(journal)
    shutil.copytree(tmp_path / "live", tmp_path / "base")
    (tmp_path / "base/alma.db-shm").unlink()
    yield tmp_path / "base", held
    await journal.close()


async def outcome(folder: Path, held: dict[str, Any]) -> str:
    """harmless: everything reads as written. detected: an error of ours, and no more writing. believed: the failure."""
    try:
        journal = await Journal.open(f"sqlite:///{folder}/alma.db", now=noon)
    except (JournalDamaged, JournalTooNew, JournalUnavailable):
        return "detected"
    try:
        return "harmless" if await everything(journal) == held else "believed"
    except JournalDamaged:
        with pytest.raises(JournalDamaged):
            await journal.append("s0", [Entry("run.step", {})])
        return "detected"
    finally:
        await journal.close()


Damage = Callable[[Path, random.Random], None]


def flip_bit(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def flip_byte(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] = chance.randrange(256)
    file.write_bytes(data)


def truncate(file: Path, chance: random.Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def zero(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    at = chance.randrange(0, len(data), 512)
    size = chance.choice([512, PAGE_BYTES])
    data[at : at + size] = bytes(len(data[at : at + size]))
    file.write_bytes(data)


def swap_pages(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    one, other = chance.sample(range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES), 2)
    pages = data[one : one + PAGE_BYTES], data[other : other + PAGE_BYTES]
    data[other : other + PAGE_BYTES], data[one : one + PAGE_BYTES] = pages
    file.write_bytes(data)


def duplicate_page(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    one, other = chance.sample(range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES), 2)
    data[other : other + PAGE_BYTES] = data[one : one + PAGE_BYTES]
    file.write_bytes(data)


def change_rows(file: Path, chance: random.Random) -> None:
    """What somebody with the database's rights and a SQL prompt would do."""
    seq, other = chance.sample(range(1, RECORDS + 1), 2)
    statements = [
        ("UPDATE records SET body = ? WHERE seq = ?", ('{"n":1}', seq)),
        ("UPDATE records SET kind = ? WHERE seq = ?", ("run.done", seq)),
        ("UPDATE records SET stream = ? WHERE seq = ?", ("elsewhere", seq)),
        ("UPDATE records SET at = ? WHERE seq = ?", ("2020-01-01", seq)),
        ("UPDATE records SET version = version + 100 WHERE seq = ?", (seq,)),
        ("DELETE FROM records WHERE seq = ?", (seq,)),
        ("DELETE FROM records WHERE seq >= ?", (seq,)),
        ("UPDATE records SET seq = ? WHERE seq = ?", (1000 + seq, seq)),
        ("UPDATE records SET body = (SELECT body FROM records WHERE seq = ?) WHERE seq = ?", (other, seq)),
        ("UPDATE documents SET body = ? WHERE key = ?", ('{"n":77}', f"r{seq % 11}")),
        ("DELETE FROM documents WHERE key = ?", (f"r{seq % 11}",)),
        ("INSERT INTO documents SELECT kind, key || 'x', body, digest FROM documents LIMIT ?", (1,)),
        ("UPDATE sealed SET blob = 'other' WHERE op = ?", (f"op{seq % 13}",)),
    ]
    raw = sqlite3.connect(file)
    with raw:
        raw.execute(*chance.choice(statements))
    raw.close()


async def sweep(base: Path, held: dict[str, Any], name: str, damage: Damage, copies: int) -> dict[str, int]:
    """What became of `copies` damaged copies."""
    counts = {"detected": 0, "harmless": 0, "believed": 0}
    for number in range(copies):
        folder = base.parent / f"copy{number}"
        shutil.copytree(base, folder)
        damage(folder / name, random.Random(f"{damage.__name__} {name} {number}"))
        counts[await outcome(folder, held)] += 1
        shutil.rmtree(folder)
    return counts


@pytest.mark.parametrize(
    ("damage", "copies", "detected_min"),
    [
        (flip_bit, 250, 100),
        (flip_byte, 100, 40),
        (truncate, 100, 70),
        (zero, 100, 40),
        (swap_pages, 100, 60),
        (duplicate_page, 80, 40),
        (change_rows, 120, 110),
    ],
)
async def test_no_damaged_copy_of_a_closed_journal_is_believed(
    closed: tuple[Path, dict[str, Any]], damage: Damage, copies: int, detected_min: int, report_n: Callable[..., None]
) -> None:
    """A10: detected, or everything still reads as it was written (unused bytes)."""
    counts = await sweep(*closed, "alma.db", damage, copies)
    report_n("A10 damaged journal", copies, counts["believed"])
    assert counts["believed"] == 0, counts
    assert counts["detected"] >= detected_min, counts


@pytest.mark.parametrize(("damage", "copies"), [(flip_bit, 80), (truncate, 60), (zero, 60)])
async def test_no_damaged_write_ahead_log_is_believed(
    running: tuple[Path, dict[str, Any]], damage: Damage, copies: int, report_n: Callable[..., None]
) -> None:
    """A10: acknowledged records that lay in the log only are missed, not forgotten."""
    counts = await sweep(*running, "alma.db-wal", damage, copies)
    report_n("A10 damaged journal", copies, counts["believed"])
    assert counts["believed"] == 0, counts
    assert counts["detected"] > 0, counts


async def test_a_missing_write_ahead_log_is_noticed(running: tuple[Path, dict[str, Any]]) -> None:
    base, held = running
    (base / "alma.db-wal").unlink()
    assert await outcome(base, held) == "detected"


async def test_a_damaged_anchor_is_never_believed(
    closed: tuple[Path, dict[str, Any]], report_n: Callable[..., None]
) -> None:
    counts = {"detected": 0, "harmless": 0, "believed": 0}
    for damage in (flip_bit, truncate):
        for what, number in (await sweep(*closed, "alma.db.anchor", damage, 25)).items():
            counts[what] += number
    report_n("A10 damaged journal", 50, counts["believed"])
    assert counts["believed"] == 0


async def test_an_undamaged_copy_is_harmless(closed: tuple[Path, dict[str, Any]]) -> None:
    """The oracle can say so."""
    assert await outcome(*closed) == "harmless"


async def test_a_chain_that_was_written_anew_does_not_fit_its_anchor(closed: tuple[Path, dict[str, Any]]) -> None:
    """E21: with all rights on the database but not on the anchor, the past cannot be changed."""
    file = closed[0] / "alma.db"
    raw = sqlite3.connect(file)
    with raw:
        rows = [Row(*r) for r in raw.execute("SELECT * FROM records ORDER BY seq")]
        prev = rows[48].hash
        for row in rows[49:]:
            body = '{"n":"forged"}' if row.seq == 50 else row.body
            kept = (row.seq, row.stream, row.version, row.kind, row.at, body, row.state, prev)
            prev = row_hash(Row(*kept, b""))
            raw.execute("UPDATE records SET body=?, prev_hash=?, hash=? WHERE seq=?", (body, kept[7], prev, row.seq))
    raw.close()
    with pytest.raises(JournalDamaged, match="does not follow from the anchor"):
        await Journal.open(f"sqlite:///{file}", now=noon)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE records SET body = '{}' WHERE seq = 40", "record 40: its hash does not fit"),
        ("DELETE FROM records WHERE seq = 41", "record 42: it follows on 40: records are missing"),
        ("UPDATE records SET prev_hash = hash WHERE seq = 43", "record 43: it does not follow on the record before it"),
    ],
)
async def test_verify_names_the_place(closed: tuple[Path, dict[str, Any]], statement: str, named: str) -> None:
    """A10, E21: the doctor's answer. Opening does not read the middle of the chain; verify does."""
    raw = sqlite3.connect(closed[0] / "alma.db")
    with raw:
        raw.execute(statement)
    raw.close()
    journal = await Journal.open(f"sqlite:///{closed[0]}/alma.db", now=noon)
    report = await journal.verify()
    assert named in [str(d) for d in report.damages]
    assert not journal.writable
    with pytest.raises(JournalDamaged):
        await journal.append("s0", [Entry("x", {})])
    await journal.close()


async def test_a_record_written_anew_with_its_own_hash_breaks_the_one_that_follows(
    closed: tuple[Path, dict[str, Any]],
) -> None:
    """E21: what a record says of the one before it is under its own hash, so the past cannot be mended step by step."""
    raw = sqlite3.connect(closed[0] / "alma.db")
    with raw:
        (old,) = raw.execute("SELECT * FROM records WHERE seq = 40")
        forged = replace(Row(*old), body='{"n":"forged"}')
        raw.execute("UPDATE records SET body=?, hash=? WHERE seq=40", (forged.body, row_hash(forged)))
        raw.execute("UPDATE records SET prev_hash=? WHERE seq=41", (row_hash(forged),))
    raw.close()
    report = await Journal.inspect(f"sqlite:///{closed[0]}/alma.db")
    assert "record 41: its hash does not fit" in [str(d) for d in report.damages]


async def test_a_journal_too_damaged_to_open_can_still_be_examined(closed: tuple[Path, dict[str, Any]]) -> None:
    raw = sqlite3.connect(closed[0] / "alma.db")
    with raw:
        raw.execute("UPDATE documents SET body = '{\"n\":0}' WHERE key = 'r3'")
        raw.execute("UPDATE records SET body = '{}' WHERE seq = 7")
    raw.close()
    with pytest.raises(JournalDamaged, match="the document run 'r3'"):
        await Journal.open(f"sqlite:///{closed[0]}/alma.db", now=noon)
    report = await Journal.inspect(f"sqlite:///{closed[0]}/alma.db")
    assert [str(d) for d in report.damages] == ["record 7: its hash does not fit", "the document run 'r3'"]
    assert (report.records, report.head_seq) == (RECORDS, RECORDS)


async def test_a_whole_journal_verifies(closed: tuple[Path, dict[str, Any]]) -> None:
    report = await Journal.inspect(f"sqlite:///{closed[0]}/alma.db")
    assert report.intact
    assert (report.records, report.head_seq) == (RECORDS, RECORDS)
