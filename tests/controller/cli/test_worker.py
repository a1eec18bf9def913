"""`alma worker` says what its configuration lacks before it opens anything."""

from __future__ import annotations

from pathlib import Path

from tests.controller.cli.conftest import Alma

WHOLE = """\
journal: "postgresql://alma@127.0.0.1:1/alma"
key_file: KEY
executor: {temporal: {address: "127.0.0.1:1"}}
targets: {edge: {engine: simulation}}
"""


def test_every_lack_of_a_configuration_is_told_at_once(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("id: home\n")
    said = alma("--config", tmp_path / "s.yaml", "worker", "west")
    assert (said.code, said.out) == (3, "")
    for name in ("executor", "journal", "key_file", "targets"):
        assert f"{name}: a worker needs" in said.err
    assert "next: README, Workers beside remote sites" in said.err


def test_a_target_that_is_another_worker_s_is_refused(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(WHOLE.replace("simulation}", "simulation, worker: east}"))
    said = alma("--config", tmp_path / "s.yaml", "worker", "west")
    assert said.code == 3
    assert "targets.edge.worker: a worker reaches its targets itself" in said.err


def test_a_key_that_is_not_there_and_a_journal_that_does_not_answer_are_told(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(WHOLE.replace("KEY", str(tmp_path / "key")))
    said = alma("--config", tmp_path / "s.yaml", "worker", "west")
    assert (said.code, "key_file: " in said.err) == (3, True), said
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o600)
    said = alma("--config", tmp_path / "s.yaml", "worker", "west")
    assert (said.code, "journal is unavailable" in said.err) == (1, True), said
    assert "Traceback" not in said.err
