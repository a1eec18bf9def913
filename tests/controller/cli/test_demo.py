"""`alma demo --once`: every chapter comes out as told, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

from tests.controller.cli.conftest import spawned


def test_story(tmp_path: Path) -> None:
    folder = tmp_path / "t"  # a socket path has at most 107 characters
    folder.mkdir()
    said = spawned("demo", "--once", env={"TMPDIR": str(folder)}, timeout_s=60)
    assert said.code == 0, said
    chapters = [line for line in said.out.splitlines() if line.startswith("[")]
    assert [c[:5] for c in chapters] == ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"]
    for told in ("update   restart   undone", "quarantined", "is open: Revert shop to", "healed, and nobody was asked"):
        assert told in said.out
    assert "Every step came out as told." in said.out.splitlines()[-1]
    assert "\x1b" not in said.out
    assert list(folder.iterdir()) == []
