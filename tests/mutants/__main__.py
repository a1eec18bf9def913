"""A15: `make mutants` puts each seeded defect into a copy of the tree and runs the tests that must fail.

Fails when a patch does not apply any more, a mutant survives, or its tests fail without it. The working tree is only
read. Names as arguments choose some of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter

import pytest

from tests.mutants.mutant import Mutant, mutants
from tests.readme import ROOT

_FAILED = re.compile(r"^FAILED \S*::(\w+)", re.MULTILINE)
_OPTIONS = (
    *("-n0", "-x", "-q", "-rf", "--tb=no", "--timeout=300", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # what is loaded before has no asserts of ours
)
# What every test loads, and no mutant changes.
_LIBRARIES = (
    *("aiosqlite", "alembic.command", "cryptography.hazmat.primitives.ciphers.aead", "httpx2"),
    *("jinja2", "networkx", "pydantic", "pygit2", "sqlalchemy.ext.asyncio", "starlette.routing"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What one run of pytest said."""

    code: int
    text: str

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_FAILED.findall(self.text)))


class Copy:
    """The tree as it stands, in a folder of its own, with everything compiled once."""

    def __init__(self, folder: Path) -> None:
        self.tree, self._told = folder / "tree", folder / "told"
        os.environ |= {"GIT_CEILING_DIRECTORIES": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        told = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
        for name in told.stdout.splitlines():
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.tree / name)
        # By content, not by time: a mutant comes and goes within one tick of the file system's clock.
        rooms = ("controller", "engines", "llm", "tests")
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", *rooms]
        subprocess.run(command, cwd=self.tree, check=True)

    def pytest(self, tests: Sequence[str]) -> Told:
        """Run `tests` on the copy until the first failure, in a process forked from this one."""
        child = os.fork()
        if child == 0:
            code = 255
            try:
                _told_in(self._told)
                code = _tested(self.tree, tests)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return Told(os.waitstatus_to_exitcode(status), self._told.read_text())


def _told_in(path: Path) -> None:
    with path.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _tested(tree: Path, tests: Sequence[str]) -> int:
    """In the forked process: nothing of the working tree is loaded any more, and nothing of it is found again."""
    os.chdir(tree)
    sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    sys.dont_write_bytecode = True
    for name in [n for n in sys.modules if n.partition(".")[0] in ("tests", "controller", "engines", "llm")]:
        del sys.modules[name]
    return int(pytest.main([*_OPTIONS, *tests]))


def verdict(mutant: Mutant, copy: Copy) -> tuple[bool, str]:
    """Whether the tests see the defect, and who did."""
    problem = mutant.apply(copy.tree)
    if problem:
        return False, f"DOES NOT APPLY: {problem.splitlines()[0]}"
    try:
        told = copy.pytest(mutant.caught_by)
    finally:
        mutant.take_back(copy.tree)
    if told.code == 0:
        return False, "SURVIVES"
    if told.code != pytest.ExitCode.TESTS_FAILED or not told.failed:
        return False, f"NO TEST RAN TO ITS END: {told.text.strip().splitlines()[-1]}"
    return True, ", ".join(told.failed)


def line(name: str, invariant: str, who: str, seconds: str) -> None:
    print(f"{name:<40} {invariant:<10} {who:<90} {seconds:>5}", flush=True)


def main(names: Sequence[str]) -> int:
    """The exit code."""
    chosen = [m for m in mutants() if not names or m.name in names]
    for library in _LIBRARIES:
        import_module(library)
    with tempfile.TemporaryDirectory(prefix="alma-mutants-") as folder:
        copy = Copy(Path(folder))
        whole = copy.pytest(sorted({test for m in chosen for test in m.caught_by}))
        if whole.code != 0:
            print(f"without any defect, not all tests pass:\n{whole.text}")
            return 1
        line("defect", "breaks", "caught by", "s")
        caught = 0
        for mutant in chosen:
            began_s = perf_counter()
            good, who = verdict(mutant, copy)
            line(mutant.name, ", ".join(mutant.breaks), who, f"{perf_counter() - began_s:.1f}")
            caught += good
    print(f"\nA15 mutants: N={len(chosen)} caught={caught} bar={len(chosen)}")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
