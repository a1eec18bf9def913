"""What is missing is installed where that is possible, else named with the command that mends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.system import PACKAGES

_ROOT = Path(__file__).resolve().parents[2]
# Stand-ins for `apt-get install`, which makes the programs, and for `sudo`, which an ordinary user needs.
_APT = """#!/bin/sh
case "$*" in *install*) for name in {programs}; do echo >"{bin}/$name"; /bin/chmod 755 "{bin}/$name"; done ;; esac
"""
_SUDO = """#!/bin/sh
shift
exec "$@"
"""


def _system(path: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """Runs the module where only `path` has programs."""
    command = [sys.executable, "-m", "tests.servers.system"]
    environment = {"PATH": str(path), "CI": ci}
    return subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_what_cannot_be_installed_is_named_with_the_command_to_run(tmp_path: Path, ci: str, code: int) -> None:
    done = _system(tmp_path, ci)
    assert done.returncode == code, done.stderr
    assert done.stdout.count("MISSING") == len(PACKAGES)
    assert f"as root: apt-get install {PACKAGES[0].name} " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_missing_packages_are_installed(tmp_path: Path) -> None:
    programs = " ".join(package.program for package in PACKAGES)
    for name, script in (("apt-get", _APT.format(programs=programs, bin=tmp_path)), ("sudo", _SUDO)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "env").symlink_to("/usr/bin/env")
    done = _system(tmp_path, "true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("installed") == len(PACKAGES)
