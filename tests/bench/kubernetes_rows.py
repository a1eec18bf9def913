"""1,000 ConfigMaps on a real API server, against kubectl in the same run: created, then nothing to do."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from controller.plan.resource import Allow
from controller.plan.step import Effect
from controller.runtime.clock import SystemClock
from controller.runtime.folder import read_folder
from controller.settings import Settings
from controller.targets import everything_allowed, open_targets
from controller.telemetry import Metrics
from engines.engine import Engine
from tests.bench.measuring import quiet
from tests.bench.row import Row, against
from tests.engines.running import Runner
from tests.servers.kubernetes import ControlPlane, missing

_OBJECTS = 1000
_NOOPS = 3
_TOGETHER = 16
_TIMEOUT_S = 600.0


def kubernetes_rows() -> Iterator[Row]:
    """kubectl in the namespace `peer`, alma in `many`."""
    if missing():
        quiet(f"kubernetes: {missing()}")
        return
    with tempfile.TemporaryDirectory(prefix="alma-bench-") as home, closing(ControlPlane()) as plane:
        plane.start()
        plane.namespace("peer")
        plane.namespace("many")
        folder = Path(home)
        peer = _manifests("peer", folder / "peer.json")
        quiet(f"kubernetes: kubectl, {_OBJECTS} ConfigMaps")
        applied_s = _timed(plane, "apply", "--server-side", "-f", str(peer))
        diffed_s = _timed(plane, "diff", "--server-side", "-f", str(peer))
        quiet("kubernetes: alma, the same")
        created_s, noop_s = asyncio.run(_measured(plane, folder))
    yield against(f"Kubernetes, {_OBJECTS} ConfigMaps, create", created_s, "s", ("kubectl apply", applied_s), 0.1)
    yield against("same, nothing to do, in the loop", noop_s, "s", ("kubectl diff", diffed_s), 0.3)


def _manifests(place: str, file: Path) -> Path:
    items = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"c{i:04}", "namespace": place},
            "data": {"number": str(i), "text": "a line of configuration"},
        }
        for i in range(_OBJECTS)
    ]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return file


def _timed(plane: ControlPlane, *arguments: str) -> float:
    begun_s = time.monotonic()
    command = [str(plane.kubectl_program), f"--kubeconfig={plane.kubeconfig}", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
    return time.monotonic() - begun_s


async def _measured(plane: ControlPlane, home: Path) -> tuple[float, float]:
    """Seconds to plan and send all of it, 16 at once, and of a pass with nothing to do."""
    folder = home / "many"
    folder.mkdir()
    _manifests("many", folder / "all.json")
    (folder / "alma.yaml").write_text("version: 1\nscopes: [{name: many, path: .}]\n")
    (folder / "shop.yaml").write_text(
        "name: shop\nprovider: kubernetes\nresources: [{name: all, type: manifest, specs: {path: all.json}}]\n"
    )
    target = {"engine": "kubernetes", "kubeconfig": str(plane.kubeconfig), "namespace": "default"}
    settings = Settings.model_validate({"targets": {"main": target}})
    made = open_targets(settings, home / "state", os.environ, SystemClock(), Metrics(), print, configured=False)
    read = read_folder(folder)
    allow = everything_allowed(("main",), {})
    wanted = await read.wanted(read.repository.scopes[0], {"kubernetes": ("main",)}, allow, made.planning.kinds)
    await made.engines["main"].about()  # a controller is connected already
    begun_s = time.monotonic()
    planned = await made.planning.plan(wanted)
    await _sent(made.engines["main"], planned.effects["main"], allow)
    created_s = time.monotonic() - begun_s
    times = []
    for _ in range(_NOOPS):
        begun_s = time.monotonic()
        again = await made.planning.plan(wanted)
        times.append(time.monotonic() - begun_s)
        assert not again.plan.changes
    await made.close()
    return created_s, statistics.median(times)


async def _sent(engine: Engine, effects: Sequence[Effect], allow: Allow) -> None:
    """Records first, then everything else side by side."""
    runner = Runner(engine, "bench", allow=allow)
    slots = asyncio.Semaphore(_TOGETHER)

    async def send(effect: Effect) -> None:
        async with slots:
            for step in effect.steps:
                await runner.send(step.for_run("bench"))

    for effect in (e for e in effects if e.bookkeeping):
        await send(effect)
    await asyncio.gather(*(send(e) for e in effects if not e.bookkeeping))
