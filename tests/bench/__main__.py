"""`python -m tests.bench [ROW…]`: measures, and prints one table. Rows: help, plan, scopes, gitea, docker,
kubernetes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.bench.docker_rows import docker_rows
from tests.bench.gitea_rows import gitea_rows
from tests.bench.kubernetes_rows import kubernetes_rows
from tests.bench.measuring import quiet
from tests.bench.row import Row, table
from tests.bench.scale_rows import help_row, resource_rows, scope_rows
from tests.servers import dockerd

ROWS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "help": help_row,
    "plan": resource_rows,
    "scopes": scope_rows,
    "gitea": gitea_rows,
    "docker": docker_rows,
    "kubernetes": kubernetes_rows,
}


def main(names: Sequence[str]) -> int:
    """Measures the named rows, or all; 2 for an unknown name. Nothing fails because it is slow."""
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"bench: unknown: {', '.join(unknown)}; known: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    before = os.getloadavg()
    rows = [row for name in names or ROWS for row in _measured(name)]
    print(table(rows))
    print(
        f"\nMedians of one run on {os.cpu_count()} cores; load {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after."
    )
    print("Only ratios within one run mean something: a machine is never equally busy twice.")
    return 0


def _measured(name: str) -> list[Row]:
    if name == "docker" and dockerd.missing():
        quiet(f"docker: {dockerd.missing()}")
        return []
    return list(ROWS[name]())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
