"""`alma doctor` and `alma journal`, as a person meets them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.controller.cli.conftest import SHOP, Alma


def deployed(alma: Alma) -> None:
    Path("shop.yaml").write_text(SHOP)
    assert alma("deploy", ".", "--yes").code == 0


def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alma.db"


def test_a_sound_journal_says_so_and_its_export_verifies_anywhere(alma: Alma) -> None:
    deployed(alma)
    said = alma("journal", "verify")
    assert said.code == 0 and said.out.startswith("intact: ")
    Path("out.jsonl").write_text(alma("journal", "export").out)
    assert alma("journal", "verify", "out.jsonl").out.split()[-1] == said.out.split()[-1]


def test_a_changed_record_is_named_by_its_number(alma: Alma, tmp_path: Path) -> None:
    deployed(alma)
    with sqlite3.connect(database(tmp_path)) as journal:
        journal.execute("UPDATE records SET body = '{}' WHERE seq = 3")
    said = alma("journal", "verify")
    assert said.code == 1 and "damaged: record 3: its hash does not fit" in said.out
    assert "next: " in said.err
    told = json.loads(alma("journal", "verify", "-o", "json").out)
    assert told["intact"] is False and {"record": 3, "what": "its hash does not fit"} in told["damages"]


def test_the_doctor_finds_nothing_after_a_deploy(alma: Alma) -> None:
    deployed(alma)
    said = alma("doctor")
    assert said.code == 0 and "BAD" not in said.out
    assert said.out.startswith("ok    journal")


def test_the_doctor_names_the_damaged_place_of_a_journal_that_cannot_be_opened(alma: Alma, tmp_path: Path) -> None:
    deployed(alma)
    with sqlite3.connect(database(tmp_path)) as journal:
        journal.execute("DELETE FROM documents WHERE kind = 'scope'")
    said = alma("doctor")
    assert said.code == 1 and "BAD   journal" in said.out and "next: stop the controller" in said.out


def test_without_a_journal_there_is_nothing_to_verify_or_export(alma: Alma) -> None:
    for words in (("journal", "verify"), ("journal", "export")):
        said = alma(*words)
        assert said.code == 1 and "is not there" in said.err and "Traceback" not in said.err


def test_an_export_of_rubbish_is_damage_with_its_line(alma: Alma) -> None:
    Path("out.jsonl").write_text("rubbish\n")
    said = alma("journal", "verify", "out.jsonl")
    assert said.code == 1 and "line 1 is no record" in said.out
