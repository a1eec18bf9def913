"""The chain outside of the database: complete, and every change to it is found (I46, E21)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.journal.export import exported, verified
from controller.journal.failure import JournalUnavailable
from controller.journal.journal import Journal
from controller.journal.place import FilePlace
from controller.journal.projections import Entry

_RECORDS = 40


async def lines(path: Path) -> list[str]:
    journal = await Journal.open(f"sqlite:///{path}", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for number in range(_RECORDS):
        await journal.append(f"s{number % 3}", [Entry("run.moved", {"number": number})])
    found = list(exported(FilePlace(path)))  # beside the open journal
    await journal.close()
    return found


async def test_an_export_holds_every_record_in_order_and_verifies_by_itself(tmp_path: Path) -> None:
    found = await lines(tmp_path / "alma.db")
    assert [json.loads(line)["seq"] for line in found] == list(range(1, _RECORDS + 1))
    report = verified(found)
    assert report.intact and report.records == _RECORDS and report.head_hash == json.loads(found[-1])["hash"]


async def test_an_export_may_begin_later(tmp_path: Path) -> None:
    found = await lines(tmp_path / "alma.db")
    assert list(exported(FilePlace(tmp_path / "alma.db"), after_seq=30)) == found[30:]
    assert verified(found[30:]).intact


async def test_an_edit_a_gap_a_doubling_and_another_order_are_found(
    tmp_path: Path, report_n: Callable[..., None]
) -> None:
    found = await lines(tmp_path / "alma.db")
    chance = random.Random(21)
    missed = 0
    for number in range(1_000):
        changed = _changed(list(found), chance, number)
        missed += changed != found and verified(changed).intact
    report_n("E21 export", 1_000, missed)
    assert missed == 0


def _changed(rows: list[str], chance: random.Random, number: int) -> list[str]:
    place = chance.randrange(1, len(rows) - 1)
    match number % 5:
        case 0:  # edit
            row = json.loads(rows[place])
            column = chance.choice(("stream", "kind", "at", "body"))
            rows[place] = json.dumps({**row, column: row[column] + " "})
        case 1:  # delete
            del rows[place]
        case 2:  # insert
            rows.insert(place, rows[place])
        case 3:  # reorder
            rows[place], rows[place - 1] = rows[place - 1], rows[place]
        case 4:  # a hash of another record
            row = json.loads(rows[place])
            rows[place] = json.dumps({**row, "prev_hash": row["hash"]})
    return rows


def test_where_no_journal_is_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable):
        next(exported(FilePlace(tmp_path / "alma.db")))


def test_rubbish_is_told_with_its_line() -> None:
    assert [str(d) for d in verified(["rubbish", "{}"]).damages] == ["line 1 is no record", "line 2 is no record"]
