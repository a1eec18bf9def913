"""What every command needs: settings, the state folder, and whether a controller runs there."""

from __future__ import annotations

import asyncio
import gc
import getpass
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.git.credentials import configure_git
from controller.git.repository import Mirror
from controller.install import Install, Targets, open_install, open_targets, state_dir
from controller.journal.database import database_path
from controller.journal.journal import Journal
from controller.journal.lock import LockHeld
from controller.runtime.clock import SystemClock
from controller.runtime.records import Records, ScopeRecord
from controller.settings import Loaded, TargetSettings, load_settings
from controller.telemetry import Metrics
from controller.web.socket import actor_of_uid
from controller.wiring import standalone_desk

Json = Any
T = TypeVar("T")
_DEFAULT_CONFIG = "alma-server.yaml"
_DOCKER_SOCKET = "/var/run/docker.sock"


class Told(AlmaError):
    """An error that a controller answered with: its words, its exit code."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def settings_of(ctx: click.Context) -> Loaded:
    """`--config`, `$ALMA_CONFIG`, `./alma-server.yaml`, else none: then the targets are what this machine has."""
    given = ctx.find_root().obj["config"]
    path = Path(given) if given else Path(_DEFAULT_CONFIG)
    loaded = load_settings(path if given or path.exists() else None, os.environ)
    if loaded.file is None and not loaded.settings.targets:
        settings = loaded.settings.model_copy(update={"targets": machine_targets(os.environ)})
        return Loaded(settings, loaded.origins, None)
    return loaded


def machine_targets(environment: Mapping[str, str]) -> dict[str, TargetSettings]:
    """Without a configuration: docker (`DOCKER_HOST` or the local socket, if there is one) and simulation."""
    targets = {"simulation": TargetSettings(engine="simulation")}
    url = environment.get("DOCKER_HOST") or (f"unix://{_DOCKER_SOCKET}" if Path(_DOCKER_SOCKET).exists() else "")
    if url:
        targets["docker"] = TargetSettings.model_validate({"engine": "docker", "url": url})
    return targets


def state_of(ctx: click.Context, loaded: Loaded) -> Path:
    return state_dir(loaded.settings, ctx.find_root().obj["state"], os.environ)


def controller_socket(state: Path) -> Path | None:
    """The socket of a controller that runs here, or None."""
    path = state / "alma.sock"
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(str(path))
    except OSError:
        return None
    finally:
        probe.close()
    return path


@asynccontextmanager
async def install_here(loaded: Loaded, state: Path) -> AsyncIterator[Install]:
    """Open the install for one command, under the state lock."""
    install = await open_install(
        loaded.settings, state, os.environ, SystemClock(), Metrics(), configured=loaded.file is not None
    )
    try:
        yield install
    finally:
        await install.close()


@asynccontextmanager
async def targets_here(loaded: Loaded, state: Path) -> AsyncIterator[Targets]:
    """Open the targets to read them; a controller may run beside it."""
    configured = loaded.file is not None
    targets = open_targets(loaded.settings, state, os.environ, SystemClock(), Metrics(), configured=configured)
    try:
        yield targets
    finally:
        await targets.close()


@asynccontextmanager
async def repository_around(path: Path, state: Path) -> AsyncIterator[Mirror]:
    """The Git repository that `path` lies in, read from its objects, never from its work tree."""
    root = next((p for p in (path.absolute(), *path.absolute().parents) if (p / ".git").exists()), None)
    bare = path.absolute() if (path / "HEAD").is_file() and (path / "refs").is_dir() else None
    if root is None and bare is None:
        raise InvalidInput(f"{path} is in no Git repository", hint="leave --ref away to plan the folder as it is")
    configure_git(60_000)
    source = bare or root
    mirror = Mirror.open(
        state / "mirrors" / f"folder-{hashlib.sha256(str(source).encode()).hexdigest()[:12]}.git", str(source)
    )
    try:
        await mirror.fetch((await mirror.refs()).branches)
        yield mirror
    finally:
        await mirror.close()


async def commit_named(mirror: Mirror, name: str) -> str:
    """The commit of a branch, or of a full or shortened id. Raises InvalidInput."""
    listing = await mirror.refs()
    if name in listing.branches:
        return listing.branches[name]
    for head in listing.branches.values():
        found = next((c.id for c in await mirror.log("", None, head) if len(name) >= 7 and c.id.startswith(name)), None)
        if found:
            return found
    raise InvalidInput(f"{name} is no branch and no commit of a branch", hint="git log shows them")


def ask_controller(path: Path, verb: str, args: Mapping[str, Json]) -> Json:
    """One question to a running controller. Raises Told with its answer's error, Unreachable when it goes away."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(json.dumps({"verb": verb, "args": dict(args)}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as e:
        raise Unreachable(f"the controller at {path} went away", hint="alma status, or start it: alma serve") from e
    if "error" in answer:
        error = answer["error"]
        raise Told(error["message"], error["hint"], int(error["exit_code"]))
    return answer["result"]


def ask(loaded: Loaded, state: Path, verb: str, args: Mapping[str, Json]) -> Json:
    """Through the socket when a controller runs here, else by the state folder under its lock."""
    path = controller_socket(state)
    if path is not None:
        return ask_controller(path, verb, args)

    async def work() -> Json:
        async with install_here(loaded, state) as install:
            if verb not in ("retry", "destroy"):
                name_unfinished(await install.records.all(ScopeRecord))
            desk = standalone_desk(install)
            return await desk.call(actor_of_uid(os.getuid(), os.getgid()), verb, args)

    return blocking(work)


def name_unfinished(records: Sequence[ScopeRecord]) -> None:
    """Without a controller nobody goes on with a run that was left behind: say who would."""
    for record in records:
        if record.run:
            click.echo(
                f"run {record.run} of scope {record.scope} is unfinished; alma deploy finishes it first", err=True
            )


async def scopes_here(loaded: Loaded, state: Path) -> Mapping[str, ScopeRecord]:
    """What the state folder remembers of scopes: nothing while another process works with it, or when it is new."""
    url = loaded.settings.journal or f"sqlite:///{state / 'alma.db'}"
    if controller_socket(state) is not None or not database_path(url).exists():
        return {}
    try:
        journal = await Journal.open(url, now=SystemClock().wall)
    except LockHeld:
        return {}
    try:
        records = await Records(journal).all(ScopeRecord)
    finally:
        await journal.close()
    return {r.scope: r for r in records}


def caller() -> str:
    return f"os:{getpass.getuser()}"


def blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run one command's work to its end."""
    # Loading makes objects by the hundred thousand and no cycles: looking for some each 700 is time for nothing.
    gc.set_threshold(50_000)
    return asyncio.run(work())
