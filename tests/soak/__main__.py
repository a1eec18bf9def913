"""`python -m tests.soak [--minutes 60] [--events 20]`: `alma serve` beside a real Gitea under signed webhooks, pushes
that come up and pushes that do not, pull requests and drift by hand; one table of what it holds at the end (C6).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import httpx2

from controller.plan.resource import ObjectKey
from engines.simulation import tamper as by_hand
from engines.simulation.world import World
from tests.e2e.gitea_scene import SECRET, GiteaScene, People
from tests.e2e.serving import Alma
from tests.servers.gitea import GiteaServer, missing
from tests.soak.usage import Line, Reading, reading, verdict

_ALMA_YAML = "version: 1\nscopes: [{name: prod, path: prod}]\n"
_PUSH_EVERY_S, _PULL_EVERY_S, _DRIFT_EVERY_S, _READ_EVERY_S = 10.0, 60.0, 20.0, 5.0
_ILL_EVERY = 5  # pushes
_RESOURCES = 10


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if every bar is met."""
    read = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    read.add_argument("--minutes", type=float, default=60.0)
    read.add_argument("--events", type=float, default=20.0, help="signed webhooks a second")
    asked = read.parse_args(arguments)
    if why := missing():
        print(f"soak: {why}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="alma-soak-") as folder, closing(GiteaServer()) as server:
        server.start()
        soak = _Soak(GiteaScene(server, People.arrive(server), Path(folder) / "work"), Path(folder))
        lines = asyncio.run(soak.run(asked.minutes * 60, asked.events))
    print(_table(lines))
    return 0 if all(line.met for line in lines) else 1


class _Soak:
    def __init__(self, scene: GiteaScene, folder: Path) -> None:
        self._scene, self._world = scene, folder / "world.json"
        settings = {
            "id": "home",
            "repositories": [scene.repository(webhook=True)],
            "targets": {"edge": {"engine": "simulation", "path": str(self._world), "latency_ms": 20}},
            "allow": {"infra": {"targets": ["edge"]}},
            "reconcile": {
                "drift_interval": "5s",
                "health_timeout": "5s",
                "scope_rate": {"per_minute": 6000, "burst": 100},
            },
        }
        self._alma = Alma(folder / "alma", settings, scene.environment())
        self._readings: list[Reading] = []
        self._versions = itertools.count(1)
        self._turn = asyncio.Lock()
        self.acknowledged = self.refused = self.unanswered = 0

    async def run(self, seconds: float, events_per_s: float) -> tuple[Line, ...]:
        """The verdict after `seconds` under load."""
        self._scene.push({"alma.yaml": _ALMA_YAML, "prod/shop.yaml": _blueprint(0)})
        self._alma.start()
        self._scene.send_events_to(self._alma.port)
        try:
            until_s = time.monotonic() + seconds
            await asyncio.gather(
                self._events(events_per_s, until_s),
                *(
                    self._every(pause_s, work, until_s)
                    for pause_s, work in (
                        (_PUSH_EVERY_S, self._push),
                        (_PULL_EVERY_S, self._pull),
                        (_DRIFT_EVERY_S, self._drift),
                        (_READ_EVERY_S, self._read),
                    )
                ),
            )
            assert self._alma.running(), self._alma.said()[-2000:]
            return verdict(self._readings, self._ops())
        finally:
            self._alma.close()

    async def _every(self, pause_s: float, work: Callable[[], None], until_s: float) -> None:
        while time.monotonic() + pause_s < until_s:
            await asyncio.sleep(pause_s)
            async with self._turn:  # there is one checkout
                await asyncio.to_thread(work)

    async def _events(self, per_s: float, until_s: float) -> None:
        address = f"http://127.0.0.1:{self._alma.port}"
        async with httpx2.AsyncClient(base_url=address, timeout=30) as client, asyncio.TaskGroup() as sending:
            while time.monotonic() < until_s:
                sending.create_task(self._event(client))
                await asyncio.sleep(1 / per_s)

    async def _event(self, client: httpx2.AsyncClient) -> None:
        body = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": "ops/infra"}}).encode()
        signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": signed, "Content-Type": "application/json"}
        try:
            answer = await client.post("/webhooks/infra", content=body, headers=headers)
        except httpx2.HTTPError:
            self.unanswered += 1  # its connection was kept too long, or all are busy: a forge would poll on
            return
        if answer.status_code == httpx2.codes.ACCEPTED:
            self.acknowledged += 1
        else:
            self.refused += 1

    def _push(self) -> None:
        version = next(self._versions)
        self._scene.push({"prod/shop.yaml": _blueprint(version, ill=version % _ILL_EVERY == 0)})

    def _pull(self) -> None:
        version = next(self._versions)
        self._scene.open({"prod/shop.yaml": _blueprint(version)}, f"change-{version}")

    def _drift(self) -> None:
        key = ObjectKey("simulation/container", "prod-shop-web0")
        if f"{key}" in (World(self._world).read()["objects"] if self._world.exists() else {}):
            asyncio.run(by_hand.tamper(World(self._world), key, "image", "evil:6.6"))

    def _read(self) -> None:
        self._readings.append(reading(self._alma.pid, self._alma.state))
        now = self._readings[-1]
        heard = f"acknowledged={self.acknowledged} refused={self.refused} unanswered={self.unanswered}"
        print(f"soak: {now} {heard}", file=sys.stderr, flush=True)

    def _ops(self) -> int:
        with closing(sqlite3.connect(f"file:{self._alma.state / 'alma.db'}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT count(*) FROM records WHERE kind = 'run.op-intended'").fetchone()[0])


def _blueprint(version: int, *, ill: bool = False) -> str:
    health = ", simulate: {health: never}" if ill else ""
    lines = "".join(
        f"  - {{name: web{n}, type: container, specs: {{image: 'web:{version}', cpu: 0.1, memory: 64MB{health}}}}}\n"
        for n in range(_RESOURCES)
    )
    return f"name: shop\nprovider: simulation\nresources:\n{lines}"


def _table(lines: Sequence[Line]) -> str:
    told = [("what it holds", "earlier", "at the end", "bar", "met")]
    told += [(one.what, f"{one.early:.1f}", f"{one.late:.1f}", one.bar, "yes" if one.met else "NO") for one in lines]
    return "\n".join(f"{a:<22} {b:>10} {c:>10}  {d:<16} {e}" for a, b, c, d, e in told)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
