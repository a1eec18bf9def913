"""A whole small estate for tests: a bare Git repository, the built-in forge, a simulated target, a virtual clock.

Nothing is faked but time and the platform: journal, mirror, planner, executor and comments are the real ones, wired as
`alma serve` wires them. `settle` makes passes until nothing is due any more.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.install import open_install
from controller.operations.access import Actor, os_actor
from controller.runtime.records import IprRecord, RunRecord, ScopeRecord
from controller.runtime.work_queue import Priority
from controller.settings import Settings
from controller.telemetry import Metrics
from controller.voices import voices_of
from controller.wiring import Controller, build_controller
from tests.controller.runtime.clocks import VirtualClock

ALMA_YAML = """\
version: 1
scopes:
  - name: prod
    path: prod
"""
_GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


def git(where: Path, *args: str) -> str:
    """Run git in `where`; its output."""
    done = subprocess.run([*_GIT, *args], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Repo:
    """A bare remote and a checkout to push from."""

    root: Path

    @property
    def remote(self) -> Path:
        return self.root / "remote.git"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @classmethod
    def make(cls, root: Path, files: Mapping[str, str]) -> Repo:
        repo = cls(root)
        root.mkdir(parents=True, exist_ok=True)
        git(root, "init", "-q", "--bare", str(repo.remote))
        git(root, "init", "-q", str(repo.work))
        git(repo.work, "remote", "add", "origin", str(repo.remote))
        repo.push(files)
        return repo

    def push(self, files: Mapping[str, str | None], branch: str = "main", message: str = "change") -> str:
        """Commit `files` (None: removed) on top of main and push them to `branch`; the commit."""
        if git(self.root, "-C", str(self.remote), "branch", "--list", "main"):
            git(self.work, "fetch", "-q", "origin")
            git(self.work, "checkout", "-q", "-B", branch, "origin/main")
        else:
            git(self.work, "checkout", "-q", "-B", branch)
        for name, text in files.items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        git(self.work, "push", "-q", "-f", "origin", branch)
        return git(self.work, "rev-parse", "HEAD")


class Estate:
    """One controller over one repository and one simulated target."""

    def __init__(self, controller: Controller, clock: VirtualClock, state: Path) -> None:
        self.controller, self.clock, self.state = controller, clock, state

    @property
    def world(self) -> dict[str, Any]:
        """Objects of the simulated platform by key, as its state file has them."""
        file = self.state / "simulation" / "sim.json"
        return dict(json.loads(file.read_text())["objects"]) if file.exists() else {}

    async def settle(self, seconds: float = 5.0) -> None:
        """Look at everything, then make every pass that falls due within `seconds` of virtual time."""
        queue, until_s = self.controller.queue, self.clock.passed_s + seconds
        queue.add("repo:infra", Priority.WEBHOOK)
        while True:
            item = queue.due()
            if item is not None:
                await self.controller.loop.one(item)
                continue
            next_s = queue.until_next_s()
            if next_s is None or self.clock.passed_s + next_s > until_s:
                self.clock.passed_s = max(self.clock.passed_s, until_s)
                return
            self.clock.passed_s += max(next_s, 0.001)

    async def ask(self, verb: str, actor: Actor | None = None, **args: object) -> Any:
        """A verb at the controller's desk; as its own admin unless said otherwise."""
        return await self.controller.desk.call(actor or ADMIN, verb, args)

    async def scope(self, name: str = "prod") -> ScopeRecord:
        record = await self.controller.install.records.get(ScopeRecord, name)
        assert record is not None, name
        return record

    async def runs(self) -> list[RunRecord]:
        """Oldest first."""
        return sorted(await self.controller.install.records.all(RunRecord), key=lambda r: r.created)

    async def ipr(self, number: int) -> IprRecord:
        record = await self.controller.install.records.get(IprRecord, f"infra/{number}")
        assert record is not None, number
        return record

    async def comment(self, number: int) -> str:
        """The body of our one comment."""
        return str((await self.ask("ipr.show", number=number))["comment"])


ADMIN = os_actor("root", (), controller=True)


def settings(repo: Repo, **more: Any) -> Settings:
    base: dict[str, Any] = {
        "id": "home",
        "repositories": ({"name": "infra", "url": str(repo.remote), "forge": {"kind": "local"}},),
        "targets": {"sim": {"engine": "simulation"}},
        "allow": {"infra": {"targets": ("sim",), "secrets": ("env:APP_*",)}},
        "reconcile": {"scope_rate": {"per_minute": 600, "burst": 50}, "health_timeout": "20s"},
    }
    return Settings.model_validate({**base, **more})


@asynccontextmanager
async def estate(
    repo: Repo,
    state: Path,
    *,
    clock: VirtualClock | None = None,
    observe: bool = False,
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Estate]:
    """A controller over `repo`, opened as a new process would open it; closed at the end."""
    ticking, chosen = clock or VirtualClock(), settings(repo, **more)
    surroundings = dict(environment or {})
    install = await open_install(chosen, state, surroundings, ticking, Metrics())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(install.close)
        voices = voices_of(install, surroundings, stack)
        controller = await build_controller(install, surroundings, voices, stack, asyncio.Event(), observe=observe)
        yield Estate(controller, ticking, state)


def blueprint(*resources: str, name: str = "shop") -> str:
    """A blueprint on the simulation engine; each resource is a YAML flow map."""
    lines = "".join(f"  - {r}\n" for r in resources)
    return f"name: {name}\nprovider: simulation\nresources:\n{lines}"


WEB = '{name: web, type: container, specs: {image: "web:1.0", ports: ["8080:80"], memory: 256MB, cpu: 1}}'
WEB_2 = WEB.replace("web:1.0", "web:2.0")
WEB_BROKEN = WEB.replace("web:1.0", "web:9.9").replace("cpu: 1", "cpu: 1, simulate: {health: never}")
DB = '{name: db, type: database, specs: {image: "pg:15", storage: 10GB, memory: 1GB, cpu: 1}}'
