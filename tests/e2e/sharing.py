"""Several `alma serve` on one PostgreSQL, one bare remote and one simulated host."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.seal import make_key
from tests.e2e.checkout import Checkout, bare_remote
from tests.e2e.serving import Alma

LEASE_S = 5
SCOPES = ("red", "blue", "green")
ALMA_YAML = "version: 1\nscopes:\n" + "".join(f"  - {{name: {s}, path: {s}}}\n" for s in SCOPES)
_RECONCILE = {
    "scope_rate": {"per_minute": 6000, "burst": 100},
    "health_timeout": "15s",
    "lease": f"{LEASE_S}s",
}


def blueprint(tag: str, resources: int = 3, health: str = "") -> str:
    """A chain, so that a run has a middle."""
    lines = [
        f'  - {{name: r{n}, type: container, specs: {{image: "web:{tag}", memory: 64MB, cpu: 0.1{health}}}'
        f"{f', dependencies: [r{n - 1}]' if n else ''}}}\n"
        for n in range(resources)
    ]
    return "name: shop\nprovider: simulation\nresources:\n" + "".join(lines)


def everywhere(tag: str) -> dict[str, str | None]:
    return {f"{scope}/shop.yaml": blueprint(tag) for scope in SCOPES}


@dataclass
class Fleet:
    """`make` gives one more controller, `c0`, `c1`, …; each has a state folder of its own."""

    folder: Path
    journal: str
    stack: ExitStack
    latency_ms: int = 150
    interval: str = "1s"
    members: list[Alma] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checkout = Checkout(self.folder / "work", bare_remote(self.folder / "remote.git"))
        self.checkout.push({"alma.yaml": ALMA_YAML})
        make_key(self.folder / "key")  # all of them seal with one key

    def make(self, journal: str | None = None) -> Alma:
        world = {"engine": "simulation", "path": str(self.folder / "world.json"), "latency_ms": self.latency_ms}
        settings: dict[str, Any] = {
            "id": "home",
            "journal": journal or self.journal,
            "key_file": str(self.folder / "key"),
            "repositories": [{"name": "infra", "url": self.checkout.url}],
            "targets": {"edge": world},
            "allow": {"infra": {"targets": ["edge"]}},
            "reconcile": {**_RECONCILE, "interval": self.interval, "drift_interval": self.interval},
        }
        name = f"c{len(self.members)}"
        alma = Alma(self.folder / name, settings, {})
        alma.state.mkdir(mode=0o700)
        (alma.state / "controller").write_text(name)  # by these names `red` is the first one's, the others the second's
        self.stack.callback(alma.close)
        self.members.append(alma)
        return alma

    def holders(self, sql: Callable[[str], str]) -> dict[str, str]:
        """Scope → the name of the controller that holds it."""
        rows = sql("SELECT key, body FROM documents WHERE kind = 'journal.lease'").splitlines()
        found = {key: json.loads(body)["controller"] for key, _, body in (row.partition("|") for row in rows)}
        return {scope: found[scope] for scope in SCOPES if scope in found}

    def holder(self, sql: Callable[[str], str], scope: str) -> Alma:
        """The member that holds a scope now."""
        return self.members[int(self.holders(sql)[scope].removeprefix("c"))]

    def other(self, than: Alma) -> Alma:
        return next(m for m in self.members if m is not than)

    def images(self) -> list[str]:
        """What runs, of all scopes."""
        return sorted(str(o["fields"].get("image")) for o in self._world()["objects"].values())

    def creations(self) -> Counter[str]:
        """How often each object was made."""
        return Counter(str(row["key"]) for row in self._world()["ledger"] if row["call"] == "create")

    def synced(self, alma: Alma, revision: str) -> None:
        """Waits until it tells so of every scope."""
        for scope in SCOPES:
            alma.wait_synced(revision, scope)

    def made_once(self) -> bool:
        """Every object of the first deploy, and none of them twice."""
        creations = self.creations()
        return len(creations) == 3 * len(SCOPES) and set(creations.values()) == {1}

    def in_the_middle(self, sql: Callable[[str], str]) -> Alma:
        """Waits for a run; the controller that carries it."""
        watching = self.members[0]
        running: list[str] = []

        def found() -> bool:
            running[:] = [s for s in SCOPES if watching.scope(s).get("run")]
            return bool(running)

        watching.wait(found, "a run")
        return self.holder(sql, running[0])

    def _world(self) -> dict[str, Any]:
        file = self.folder / "world.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"objects": {}, "ledger": []}
        return found


def one_run_each(alma: Alma, revision: str) -> bool:
    """Each scope came to `revision` by one run, and it is done."""
    runs = sorted((r["scope"], r["word"]) for r in alma.runs() if r["revision"] == revision)
    return runs == sorted((scope, "done") for scope in SCOPES)
