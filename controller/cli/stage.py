"""Where the demonstration plays: a folder of its own with a Git repository, a state and a controller (`alma serve`) as
a child process. Everything is asked for through the controller's socket, as any command does, and waited for until it
is seen, never for a fixed time."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from controller.cli.session import ask_controller
from controller.errors import AlmaError, Unreachable
from controller.git.authoring import Author
from controller.git.credentials import configure_git
from controller.git.founding import found_repository
from controller.git.repository import Mirror

BRANCH = "main"
REPOSITORY = "demo"
_LOOK_EVERY_S = 0.05
_START_S = 60.0
_STOP_S = 30.0
_LOG_LINES = 15

Json = Any
T = TypeVar("T")


class StoryFailed(AlmaError):
    """Something did not come out as told."""


@dataclass(slots=True)
class Stage:
    """One demonstration under way."""

    folder: Path
    config: Path
    state: Path
    metrics_url: str
    head: str  # of the tracked branch, as we last pushed or saw it
    desk: Mirror  # where the demonstration writes its commits
    child: asyncio.subprocess.Process | None = None

    @property
    def repository(self) -> Path:
        return self.folder / "infra.git"

    def ask(self, verb: str, **args: Json) -> Json:
        """One question to the controller. Raises AlmaError."""
        return ask_controller(self.state / "alma.sock", verb, args)

    async def commit(self, branch: str, files: Mapping[str, bytes], message: str) -> str:
        """Push one commit on top of the tracked branch as `branch`; its id."""
        await self.desk.fetch([BRANCH])
        self.head = await self.desk.head(BRANCH)
        commit = await self.desk.commit_files(self.head, files, message, _author())
        await self.desk.push(commit, branch, None)
        return commit

    async def until(self, what: str, look: Callable[[], T | None], within_s: float = 60.0) -> T:
        """The first answer of `look` that is there. Raises StoryFailed when it is not seen in time, or when the
        controller ended."""
        ends_s = time.monotonic() + within_s
        while True:
            found = self._looked(look)
            if found is not None:
                return found
            if self.child is not None and self.child.returncode is not None:
                raise StoryFailed(f"the controller ended while this was awaited: {what}", hint=self._log_tail())
            if time.monotonic() > ends_s:
                raise StoryFailed(f"not seen within {within_s:.0f} s: {what}", hint=self._log_tail())
            await asyncio.sleep(_LOOK_EVERY_S)

    def _looked(self, look: Callable[[], T | None]) -> T | None:
        try:
            return look()
        except Unreachable:
            return None

    def _log_tail(self) -> str:
        log = self.folder / "controller.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return "\n    ".join(["what the controller said:", *self._messages(), *lines[-_LOG_LINES:]])

    def _messages(self) -> list[str]:
        try:
            return [f"scope {s['scope']}: {s['message']}" for s in self.ask("status")["scopes"] if s["message"]]
        except AlmaError:
            return []

    async def start(self) -> None:
        """Start the controller and wait until it answers."""
        with (self.folder / "controller.log").open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "controller.cli.main", "--config", str(self.config), "serve"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("ALMA_")},
                start_new_session=True,  # Ctrl-C is ours: the controller is stopped in order
            )
        await self.until("the controller answers", lambda: self.ask("ping"), _START_S)

    async def stop(self) -> None:
        """End the controller: politely, and after a while for good."""
        if self.child is None or self.child.returncode is not None:
            return
        self.child.terminate()
        try:
            await asyncio.wait_for(self.child.wait(), _STOP_S)
        except TimeoutError:
            self.child.kill()
            await self.child.wait()


@asynccontextmanager
async def set_up(
    folder: Path, install: str, target: Mapping[str, Json], files: Mapping[str, bytes]
) -> AsyncIterator[Stage]:
    """A repository with `files` in its first commit, and a controller that runs it against `target` and marks what it
    makes with `install`. `folder` stays."""
    configure_git(60_000)
    head = found_repository(folder / "infra.git", BRANCH, files, "The shop, as it is sold", _author())
    listen, metrics = _free_address(), _free_address()
    config = folder / "alma-server.yaml"
    config.write_bytes(orjson.dumps(_settings(folder, install, target, listen, metrics), option=orjson.OPT_INDENT_2))
    desk = Mirror.open(folder / "desk.git", str(folder / "infra.git"))
    stage = Stage(folder, config, folder / "state", f"http://{metrics}/metrics", head, desk)
    try:
        await stage.start()
        yield stage
    finally:
        await stage.stop()
        await desk.close()


def _settings(folder: Path, install: str, target: Mapping[str, Json], listen: str, metrics: str) -> Mapping[str, Json]:
    """JSON is YAML: the file is written without quoting anything by hand."""
    return {
        "id": install,
        "state": str(folder / "state"),
        "server": {"listen": listen, "metrics_listen": metrics},
        "repositories": [{"name": REPOSITORY, "url": str(folder / "infra.git"), "branch": BRANCH}],
        "targets": {"here": dict(target)},
        "allow": {REPOSITORY: {"targets": ["here"]}},
        # Everything as fast as it may be: a story is watched.
        "reconcile": {
            "interval": "1s",
            "drift_interval": "1s",
            "health_timeout": "20s",
            "scope_rate": {"per_minute": 600, "burst": 60},
            "target_rate": {"per_minute": 6000, "burst": 600},
        },
    }


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _author() -> Author:
    return Author("Ada", "ada@example.org", int(time.time()))
