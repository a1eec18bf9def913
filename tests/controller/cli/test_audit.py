"""`alma audit` and `alma roles`, as a person meets them where no controller runs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from controller.operations.rights import RIGHTS
from tests.controller.cli.conftest import SHOP, Alma


def deployed(alma: Alma) -> None:
    Path("shop.yaml").write_text(SHOP)
    assert alma("deploy", ".", "--yes").code == 0


def test_a_deploy_by_hand_and_what_was_refused_are_listed(alma: Alma) -> None:
    assert alma("audit", "list").out == "nobody asked for anything yet\n"
    deployed(alma)
    assert alma("unlock", "nothing").code == 3
    said = alma("audit", "list")
    lines = said.out.splitlines()
    assert said.code == 0 and lines[0].split() == ["AT", "WHO", "ID", "FROM", "WHAT", "OUTCOME", "WHY"]
    assert "command line" in lines[1] and "deploy here " in lines[1] and lines[1].split()[-2] == "allowed"
    assert "unlock nothing" in lines[2] and "failed" in lines[2] and "no run nothing" in lines[2]
    told = json.loads(alma("audit", "list", "--only", "failed", "-o", "json").out)
    assert [(e["verb"], e["outcome"]) for e in told["entries"]] == [("unlock", "failed")]


def test_the_log_verifies_here_and_its_export_anywhere(alma: Alma) -> None:
    deployed(alma)
    assert alma("audit", "verify").out.startswith("intact: ")
    lines = alma("audit", "export").out
    Path("out.jsonl").write_text(lines)
    assert alma("audit", "verify", "out.jsonl").out.startswith("intact: 2 records")
    Path("out.jsonl").write_text(lines.split("\n", 1)[1])
    said = alma("audit", "verify", "out.jsonl")
    assert said.code == 1 and "records are missing" in said.out


def test_an_entry_that_was_rewritten_in_the_database_is_found(alma: Alma, tmp_path: Path) -> None:
    deployed(alma)
    with sqlite3.connect(tmp_path / "state" / "alma.db") as journal:
        journal.execute("UPDATE records SET body = replace(body, 'deploy', 'status') WHERE stream = 'audit'")
    said = alma("audit", "verify")
    assert said.code == 1 and "its hash does not fit" in said.out and "next: " in said.err


def test_who_may_do_what_is_told_without_a_controller(alma: Alma) -> None:
    said = alma("roles")
    assert said.code == 0 and [line.split()[0] for line in said.out.splitlines()[1:]] == [v.split()[0] for v in RIGHTS]
    told = json.loads(alma("roles", "-o", "json").out)["rights"]
    assert {r["verb"]: r["role"] for r in told} == {r.verb: r.role.name.lower() for r in RIGHTS.values()}
