"""`python -m tests.bench.many_resources N`: load and plan N simulated resources in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.loader import load_scope
from controller.blueprint.repository import load_repository
from controller.runtime.clock import SystemClock
from controller.runtime.planning import Wanted
from controller.settings import Settings
from controller.targets import everything_allowed, open_targets
from controller.telemetry import Metrics
from tests.bench.measuring import peak_mb

_PER_FILE = 100
_COLLECT_AFTER = 50_000  # as the command line sets it


def files(count: int) -> dict[str, bytes]:
    """Blueprints of a hundred containers each; every tenth depends on the one before."""
    return {
        f"blueprint-{start // _PER_FILE}.yaml": _blueprint(start, min(_PER_FILE, count - start)).encode()
        for start in range(0, count, _PER_FILE)
    }


def _blueprint(start: int, count: int) -> str:
    lines = [f"name: part-{start // _PER_FILE}", "provider: simulation", "resources:"]
    for number in range(count):
        after = f", dependencies: [r{number - 1}]" if number % 10 == 9 else ""
        specs = f'image: "app:1.{number}", cpu: 1, memory: 256MB, env: {{LEVEL: info, NUMBER: "{number}"}}'
        lines.append(f"  - {{name: r{number}, type: container, specs: {{{specs}}}{after}}}")
    return "\n".join(lines) + "\n"


def raised(count: int) -> Limits:
    """Limits with room for `count` resources."""
    factor = max(1, -(-count // DEFAULT_LIMITS.resources))
    return replace(
        DEFAULT_LIMITS,
        scope_nodes=DEFAULT_LIMITS.scope_nodes * factor,
        scope_bytes=DEFAULT_LIMITS.scope_bytes * factor,
        resources=DEFAULT_LIMITS.resources * factor,
        edges=DEFAULT_LIMITS.edges * factor,
    )


async def measure(written: Mapping[str, bytes], limits: Limits, state: Path) -> dict[str, float]:
    """Seconds to load, seconds to plan, and how many changes came out."""
    settings = Settings.model_validate({"targets": {"sim": {"engine": "simulation"}}})
    targets = open_targets(settings, state, {}, SystemClock(), Metrics(), print)
    started_s = time.perf_counter()
    scope = load_repository(None, default_scope="prod").scopes[0]
    entries = load_scope(written, scope, limits).entries
    loaded_s = time.perf_counter()
    wanted = Wanted("prod", "bench", entries, {"simulation": ("sim",)}, everything_allowed(("sim",), {}))
    planned = await targets.planning.plan(wanted)
    done_s = time.perf_counter()
    await targets.close()
    return {"load": loaded_s - started_s, "plan": done_s - loaded_s, "changes": len(planned.plan.changes)}


def main(count: int) -> None:
    """Prints one JSON object."""
    gc.set_threshold(_COLLECT_AFTER)
    with tempfile.TemporaryDirectory(prefix="alma-bench-") as state:
        told = asyncio.run(measure(files(count), raised(count), Path(state)))
    print(json.dumps({**told, "peak": peak_mb()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
