"""`python -m tests.bench.many_scopes N`: N scopes in one repository, deployed once; then a cycle without a change, a
look at all of them, and a commit that touches one. Ten platforms are simulated, time is virtual, all else is real."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog

from controller.runtime.records import ScopeRecord
from tests.bench.measuring import peak_mb
from tests.controller.runtime.estate import Estate, Repo, estate

_COLLECT_AFTER = 50_000
_TARGETS = 10
_DRIFT_INTERVAL_S = 600.0
_TEXT = 'name: app\nprovider: simulation\nresources:\n  - {name: web, type: container, specs: {image: "web:%s"}}\n'


def repository(root: Path, count: int) -> Repo:
    """A bare remote with one scope per folder."""
    lines = "  - {{name: s{0}, path: scopes/s{0}, targets: {{simulation: sim{1}}}}}\n"
    scopes = "".join(lines.format(n, n % _TARGETS) for n in range(count))
    files = {f"scopes/s{n}/app.yaml": _TEXT % "1" for n in range(count)}
    return Repo.make(root, {"alma.yaml": f"version: 1\nscopes:\n{scopes}", **files})


async def passes_of(home: Estate) -> dict[str, int]:
    """Scope → the passes that a change made it run."""
    runs = await home.runs()
    return {scope: sum(1 for r in runs if r.scope == scope) for scope in {r.scope for r in runs}}


async def cycle(home: Estate, virtual_s: float = 1.0) -> float:
    """Seconds of one look at the repository and everything that falls due in `virtual_s`."""
    started_s = time.perf_counter()
    await home.settle(virtual_s)
    return time.perf_counter() - started_s


async def measure(root: Path, count: int) -> dict[str, float]:
    """Seconds to deploy all, of a cycle without a change, of a look at every scope, of one commit; and who ran."""
    repo = repository(root / "git", count)
    names = tuple(f"sim{n}" for n in range(_TARGETS))
    more: dict[str, Any] = {
        "targets": {name: {"engine": "simulation"} for name in names},
        "allow": {"infra": {"targets": names}},
        "reconcile": {"scope_rate": {"per_minute": 600, "burst": 50}, "target_rate": {"per_minute": 60000}},
    }
    async with estate(repo, root / "state", **more) as home:
        told = {"first": await cycle(home)}
        synced = [r for r in await home.controller.install.records.all(ScopeRecord) if str(r.sync) == "synced"]
        told["synced"] = len(synced)
        told["idle"] = statistics.median([await cycle(home) for _ in range(5)])
        told["drift"] = await cycle(home, _DRIFT_INTERVAL_S)
        before = await passes_of(home)
        repo.push({"scopes/s7/app.yaml": _TEXT % "2"})
        told["commit"] = await cycle(home)
        after = await passes_of(home)
    told["ran"] = sum(1 for scope in after if after[scope] != before.get(scope, 0))
    return {**told, "peak": peak_mb()}


def main(count: int) -> None:
    """Prints one JSON object."""
    gc.set_threshold(_COLLECT_AFTER)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="alma-bench-") as root:
        told = asyncio.run(measure(Path(root), count))
    print(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]))
