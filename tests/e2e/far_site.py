"""A controller that has no route to a site, and the worker beside it: two real processes, which meet only at a real
Temporal and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import yaml

from controller.seal import make_key
from tests.e2e.checkout import Checkout, bare_remote
from tests.e2e.serving import Alma
from tests.e2e.sharing import blueprint
from tests.servers.process import ServerProcess

SITE = "west"
LEASE_S = 3
ALMA_YAML = "version: 1\nscopes:\n  - {name: prod, path: prod}\n"
SECRET = "canary-of-the-far-site"
_ROOT = Path(__file__).parents[2]
_RECONCILE = {
    "interval": "1s",
    "drift_interval": "1s",
    "scope_rate": {"per_minute": 6000, "burst": 100},
    "health_timeout": "6s",
    "lease": f"{LEASE_S}s",
}


_LISTENS = "0A"  # state of a socket in /proc/net/tcp


def tcp_ports(pid: int) -> tuple[set[int], set[int]]:
    """The ports a process listens on, and those it is connected to and did not listen on itself (proc(5))."""
    own = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            own.add(os.readlink(fd))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ours = [(row[1], row[2], row[3]) for row in rows if f"socket:[{row[9]}]" in own]
    listening = {_port(local) for local, _, state in ours if state == _LISTENS}
    reached = {_port(peer) for local, peer, state in ours if state != _LISTENS and _port(local) not in listening}
    return listening, reached - {0}


def _port(address: str) -> int:
    return int(address.partition(":")[2], 16)


class FarWorker:
    """`alma worker west`. `start` and `stop` may follow each other: same configuration, same state."""

    def __init__(self, folder: Path, settings: dict[str, Any], environment: dict[str, str]) -> None:
        folder.mkdir(parents=True)
        self.log, self._environment = folder / "worker.log", {"PYTHONPATH": str(_ROOT), **environment}
        self.config = folder / "alma-server.yaml"
        self.config.write_text(yaml.safe_dump({"state": str(folder / "state"), **settings}))
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Returns when it takes work."""
        before = self.said().count("takes work")
        words = [sys.executable, "-m", "controller.cli.main", "--config", str(self.config), "worker", SITE]
        self._process = ServerProcess(words, self.log, self._environment)
        self._process.wait_ready(lambda: self.said().count("takes work") > before, timeout_s=60)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it with `number`; its exit status, negative for a signal."""
        assert self._process is not None, "it was started"
        process, self._process = self._process, None
        process.stop(number)
        return process.status

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        if self._process is not None:
            self.stop()


class FarSite:
    """The controller, its repository, and the worker with the world that only it knows."""

    def __init__(self, folder: Path, journal: str, temporal: str, stack: ExitStack, **world: Any) -> None:
        """`world`: more of the settings that only the worker has of its target."""
        self.folder, self.world_file = folder, folder / "worker" / "world.json"
        self.checkout = Checkout(folder / "work", bare_remote(folder / "remote.git"))
        self.checkout.push({"alma.yaml": ALMA_YAML})
        make_key(folder / "key")
        self.queue = f"{folder.name}/home/{SITE}"
        shared = {
            "id": "home",
            "journal": journal,
            "key_file": str(folder / "key"),
            "executor": {"temporal": {"address": temporal, "task_queue": folder.name, "heartbeat_timeout": "2s"}},
            "reconcile": _RECONCILE,
        }
        allow = {"infra": {"targets": ["edge"], "secrets": ["env:APP_*"]}}
        self.controller = Alma(
            folder / "controller",
            {
                **shared,
                "repositories": [{"name": "infra", "url": self.checkout.url}],
                "targets": {"edge": {"engine": "simulation", "worker": SITE}},
                "allow": allow,
            },
            {},
        )
        self.worker = FarWorker(
            folder / "worker",
            {
                **shared,
                "targets": {"edge": {"engine": "simulation", "path": str(self.world_file), "latency_ms": 20, **world}},
                "allow": allow,
            },
            {"APP_PASSWORD": SECRET},
        )
        stack.callback(self.worker.close)
        stack.callback(self.controller.close)

    def push(self, tag: str, *, more: str = "") -> str:
        """Three containers in a chain; `more` of the specs of each."""
        return self.checkout.push({"prod/shop.yaml": blueprint(tag, 3, more)})

    def fired(self) -> int:
        """How many of the faults that were asked for have struck."""
        return sum(self.world()["fired"].values())

    def images(self) -> list[str]:
        """What runs at the site."""
        return sorted(str(o["fields"].get("image")) for o in self.world()["objects"].values())

    def creations(self) -> Counter[str]:
        """How often each object was made."""
        return Counter(str(row["key"]) for row in self.world()["ledger"] if row["call"] == "create")

    def world(self) -> dict[str, Any]:
        if not self.world_file.exists():
            return {"objects": {}, "ledger": [], "fired": {}}
        found: dict[str, Any] = json.loads(self.world_file.read_text())
        return found
