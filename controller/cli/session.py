"""What every command needs: settings, the state folder, and whether a controller runs there. Loads no database."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.errors import AlmaError, Unreachable
from controller.journal.glance import documents_at
from controller.journal.place import place_of
from controller.plan.codec import from_json
from controller.runtime.clock import SystemClock
from controller.runtime.records import ScopeRecord
from controller.settings import Loaded, OfferedTarget, TargetSettings, load_settings
from controller.targets import Targets, open_targets, state_dir

Json = Any
T = TypeVar("T")
_DEFAULT_CONFIG = "alma-server.yaml"
_DOCKER_SOCKET = "/var/run/docker.sock"


class Told(AlmaError):
    """An error that a controller answered with: its words, its exit code."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM ask the process to end well."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


class Unmeasured:
    """One command has no metrics."""

    def gauge(self, name: str, value: float, *labels: str) -> None:
        return None

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        return None


def _show_defect(target: str) -> None:
    """Of an engine, while it is handled: shown to who asked for it."""
    if os.environ.get("ALMA_DEBUG"):
        traceback.print_exc()


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
    """Without a configuration: simulation, docker (`DOCKER_HOST` or the local socket, if there is one), and for what
    names it the cluster that a kubectl here would reach."""
    targets = {"simulation": TargetSettings(engine="simulation")}
    url = environment.get("DOCKER_HOST") or (f"unix://{_DOCKER_SOCKET}" if Path(_DOCKER_SOCKET).exists() else "")
    if url:
        targets["docker"] = TargetSettings.model_validate({"engine": "docker", "url": url})
    home = f"{environment.get('HOME', '')}/.kube/config"
    if any(Path(p).is_file() for p in (environment.get("KUBECONFIG") or home).split(os.pathsep) if p):
        targets["kubernetes"] = OfferedTarget(engine="kubernetes")
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
async def targets_here(loaded: Loaded, state: Path) -> AsyncIterator[Targets]:
    """Open the targets to read them; a controller may run beside it."""
    configured = loaded.file is not None
    targets = open_targets(
        loaded.settings, state, os.environ, SystemClock(), Unmeasured(), _show_defect, configured=configured
    )
    try:
        yield targets
    finally:
        await targets.close()


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
    # What works without a controller is most of the program: a question to one that runs does not load it.
    return import_module("controller.cli.own_desk").ask_here(loaded, state, verb, args)


def name_unfinished(records: Sequence[ScopeRecord]) -> None:
    """Without a controller nobody goes on with a run that was left behind: say who would."""
    for record in records:
        if record.run:
            click.echo(
                f"run {record.run} of scope {record.scope} is unfinished; alma deploy finishes it first", err=True
            )


def scopes_here(loaded: Loaded, state: Path) -> Mapping[str, ScopeRecord]:
    """What the state folder remembers of scopes; nothing beside a controller, which tells of its runs itself."""
    url = loaded.settings.journal or f"sqlite:///{state / 'alma.db'}"
    if controller_socket(state) is not None:
        return {}
    return {name: from_json(ScopeRecord, body) for name, body in documents_at(place_of(url), "scope").items()}


def blocking(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run one command's work to its end."""
    # Loading makes objects by the hundred thousand and no cycles: looking for some each 700 is time for nothing.
    gc.set_threshold(50_000)
    return asyncio.run(work())
