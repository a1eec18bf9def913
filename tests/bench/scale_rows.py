"""Many resources in one scope, many scopes in one repository, and how long help takes. Each in a process of its own."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator

from tests.bench.measuring import ALMA, child, process, quiet
from tests.bench.row import Row, at_most, beside

_RUNS = 3
_HELPS = 9
_LINEAR = 1.3
_SIZES = (1_000, 10_000, 50_000)


def resource_rows() -> Iterator[Row]:
    """10,000 resources; and whether ten and fifty times as many take ten and fifty times as long."""
    totals = {}
    for size in _SIZES:
        quiet(f"plan: {size} resources")
        told = [child("many_resources", str(size)) for _ in range(_RUNS if size < 50_000 else 1)]
        totals[size] = statistics.median(t["load"] + t["plan"] for t in told)
        if size == 10_000:
            yield at_most("10,000 resources: load and plan", totals[size], "s", 3.0)
            yield at_most("10,000 resources: memory", max(t["peak"] for t in told), "MB", 300)
    for small, large in ((1_000, 10_000), (10_000, 50_000)):
        growth = totals[large] / totals[small] / (large / small)
        yield at_most(f"{small:,} → {large:,} resources, of linear", growth, "×", _LINEAR)


def scope_rows(count: int = 1_000) -> Iterator[Row]:
    """One repository with many scopes."""
    quiet(f"scopes: {count} in one repository, deployed first (a few minutes)")
    told = child("many_scopes", str(count))
    work = f"{count:,} scopes in one repository"
    yield Row(f"{work}: reconciled by a commit that touches one", told["ran"], "", "1", told["ran"] == 1)
    yield at_most(f"{work}: cycle without a change", told["idle"], "s", 5.0)
    yield Row(f"{work}: every scope looked at live", told["drift"], "s", "-", None)
    yield Row(f"{work}: that commit, seen and deployed", told["commit"], "s", "-", None)
    yield at_most(f"{work}: memory", told["peak"], "MB", 250)


def help_row() -> Iterator[Row]:
    """`alma --help` beside a Python that does nothing."""
    quiet("help")
    alma = statistics.median(process([*ALMA, "--help"]).seconds for _ in range(_HELPS))
    bare = statistics.median(process([sys.executable, "-c", "pass"]).seconds for _ in range(_HELPS))
    yield at_most("alma --help", alma, "s", 0.15)
    yield beside("alma --help", alma, "s", ("python -c pass", bare))
