"""A server that is not here is said at the end of a run; under CI=true it is a failure, never a test left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_TESTS = "tests/servers/test_gitea.py"


def _pytest(cache: Path, ci: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Gitea tests where no Gitea was built."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "CI": ci}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, _TESTS]
    return subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_tests_of_a_missing_server_are_left_out_and_named_at_the_end(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "")
    assert "not run on this machine" in done.stdout
    assert "5 tests need gitea: not built" in done.stdout
    assert f"  {_TESTS}::test_an_outage_ends_with_everything_still_there" in done.stdout
    assert "5 deselected" in done.stdout


def test_they_are_named_too_when_workers_share_the_tests(tmp_path: Path) -> None:
    assert "5 tests need gitea: not built" in _pytest(tmp_path, "", "-n", "2").stdout


def test_under_ci_a_missing_server_is_a_failure(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "true")
    assert done.returncode == 1
    assert "5 errors" in done.stdout
    assert "a server is missing, and CI=true wants the whole run: gitea: not built" in done.stdout
    assert "Traceback" not in done.stdout
