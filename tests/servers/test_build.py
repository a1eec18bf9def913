"""A server is built once, whole or not at all, and by one process at a time. A stand-in plays the `go` command."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.go_server import COMPOSE, GITEA, NotBuilt, build, built, cache_root

_ROOT = Path(__file__).resolve().parents[2]
_GO = """#!/bin/sh
echo "$1" >>"{log}"
case "$1" in
  list) echo "{module}" ;;
  build) while [ "$1" != -o ]; do shift; done; echo program >"$2"; {ends} ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in was asked for, a word a line; builds go to a folder of this test."""
    for folder in GITEA.folders:
        (tmp_path / "module" / folder).mkdir(parents=True)
        (tmp_path / "module" / folder / "file").write_text(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    _stand_in(tmp_path, "exit 0")
    return tmp_path / "log"


def _stand_in(tmp_path: Path, ends: str) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir(exist_ok=True)
    go.write_text(_GO.format(log=tmp_path / "log", module=tmp_path / "module", ends=ends))
    go.chmod(0o755)


def test_a_server_is_built_once(log: Path) -> None:
    assert built(GITEA) is None
    folder = build(GITEA)
    assert build(GITEA) == folder == built(GITEA)
    assert log.read_text().split() == ["build", "list"]


def test_what_the_program_reads_lies_beside_it(log: Path) -> None:
    folder = build(GITEA)
    assert sorted(path.name for path in folder.iterdir()) == ["gitea", "options", "public", "templates"]
    assert (folder / "options" / "file").read_text() == "options"


def test_two_processes_do_not_build_at_once(log: Path) -> None:
    command = [sys.executable, "-m", "tests.servers.build", "gitea"]
    both = [subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert log.read_text().split().count("build") == 1


def test_a_failed_build_leaves_nothing_and_says_what_the_compiler_said(log: Path, tmp_path: Path) -> None:
    _stand_in(tmp_path, "echo 'no such package' >&2; exit 1")
    with pytest.raises(NotBuilt, match="no such package"):
        build(GITEA)
    assert [path.name for path in cache_root().iterdir()] == ["gitea.lock"]


def test_without_go_the_error_says_what_to_install(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotBuilt, match="install Go"):
        build(COMPOSE)


@pytest.mark.parametrize("strict", ["", "true"])
def test_without_go_only_ci_fails_and_nobody_sees_a_traceback(log: Path, strict: str) -> None:
    environment = {**os.environ, "PATH": "/nowhere", "CI": strict}
    command = [sys.executable, "-m", "tests.servers.build"]
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == (1 if strict else 0)
    assert "install Go" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_version_or_flag_is_another_build() -> None:
    assert replace(GITEA, ldflags="-s").fingerprint() != GITEA.fingerprint()
    assert replace(GITEA, tags=()).fingerprint() != GITEA.fingerprint()
    assert COMPOSE.fingerprint() != GITEA.fingerprint()
