"""`python -m tests.reliability`: the whole matrix with its full N, the seeded defects, one table at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.mutant import mutants
from tests.readme import ROOT
from tests.reliability.matrix import Sums, read_matrix
from tests.reliability.table import table

_PYTEST = ("-m", "pytest", "-n", "2", "--dist", "loadfile", "--rows-only", "--full", "-q")


def main(arguments: list[str]) -> int:
    """`arguments` go to pytest. The exit code: 0 if nothing failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        code = subprocess.run([sys.executable, *_PYTEST, "--rows-to", str(file), *arguments], cwd=ROOT).returncode
        sums: Sums = json.loads(file.read_text()) if file.exists() else {}
    caught = subprocess.run([sys.executable, "-m", "tests.mutants"], cwd=ROOT).returncode
    sums["A15 seeded defects"] = (len(mutants()), int(caught != 0))
    print(table(read_matrix(), sums))
    return code or caught


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
