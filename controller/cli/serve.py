"""`alma serve`: the controller in the foreground until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette

from controller.cli.session import blocking, settings_of, state_of, stop_on_signals
from controller.cli.target_report import report_targets
from controller.errors import AlmaError, InvalidInput
from controller.install import Install, open_install
from controller.runtime.clock import SystemClock
from controller.runtime.records import RepositoryRecord
from controller.settings import Settings
from controller.telemetry import Metrics, configure_logging
from controller.voices import voices_of
from controller.web.app import metrics_app, web_app
from controller.web.socket import serve_socket
from controller.web.webhooks import WebhookIntake
from controller.wiring import Controller, build_controller


@click.command()
@click.option("--observe", is_flag=True, help="Plan, review and report drift; never apply.")
@click.pass_context
def serve(ctx: click.Context, observe: bool) -> int:
    """The controller: loop, webhooks, metrics."""
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    if not loaded.settings.repositories:
        raise InvalidInput("no repository is configured", hint="alma init writes a configuration to start from")
    return blocking(lambda: _serve(loaded.settings, state, observe, loaded.file is not None))


async def _serve(settings: Settings, state: Path, observe: bool, configured: bool) -> int:
    """Again from the start whenever other controllers took this one for dead: nothing it remembers counts then."""
    asked = asyncio.Event()
    stop_on_signals(asked)
    while await _serve_once(settings, state, observe, configured, asked) and not asked.is_set():
        click.echo("begins anew: other controllers took this one for dead and may hold its scopes", err=True)
    return 0


async def _serve_once(settings: Settings, state: Path, observe: bool, configured: bool, asked: asyncio.Event) -> bool:
    """Until it is asked to end, or lost every lease: True then."""
    metrics = Metrics()
    clock = SystemClock()
    install = await open_install(settings, state, os.environ, clock, metrics, configured=configured, serves=True)
    configure_logging(install.redact.event)
    stop = asyncio.Event()
    passing_on = asyncio.create_task(_pass_on(asked, stop))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(install.close)
        stack.callback(passing_on.cancel)
        voices = voices_of(install, os.environ, stack)
        controller = await build_controller(install, os.environ, voices, stack, stop, observe=observe)
        await report(controller)
        await serve_until(controller, settings, metrics, stop, stack)
        return controller.loop.is_lost


async def _pass_on(asked: asyncio.Event, stop: asyncio.Event) -> None:
    await asked.wait()
    stop.set()


async def serve_until(
    controller: Controller, settings: Settings, metrics: Metrics, stop: asyncio.Event, stack: AsyncExitStack
) -> None:
    """Socket, both listeners and the loop, until `stop`."""
    install = controller.install
    socket_path = install.state / "alma.sock"
    server = await serve_socket(socket_path, controller.desk.call)
    stack.callback(lambda: socket_path.unlink(missing_ok=True))
    stack.callback(server.close)
    signed = {r.name: controller.forges[r.name] for r in settings.repositories if r.forge.webhook_secret is not None}
    intake = WebhookIntake(signed, install.journal, controller.queue, lambda reason: None)
    app = web_app(lambda: _not_ready(install), intake, metrics)
    await _listen(app, settings.server.listen, stack)
    await _listen(metrics_app(metrics), settings.server.metrics_listen, stack)
    await controller.loop.run(stop, controller.watches)


async def _listen(app: Starlette, address: str, stack: AsyncExitStack) -> None:
    """Answers from now on: the socket listens before the server starts, so nothing is refused meanwhile."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[_listening(address)]))

    async def end() -> None:
        server.should_exit = True
        await task

    stack.push_async_callback(end)


def _listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise InvalidInput(f"{address} is no address to listen on", hint="write 127.0.0.1:8420")
    try:
        return socket.create_server((host.strip("[]"), int(port)), family=_family(host))
    except OSError as e:
        raise InvalidInput(
            f"cannot listen on {address}: {e.strerror}", hint="is another program there? change server.listen"
        ) from e


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Server(uvicorn.Server):
    """Leaves signals to the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _not_ready(install: Install) -> Mapping[str, str]:
    """Every repository was looked at once, and the journal takes records."""
    missing = {} if install.journal.writable else {"journal": "damaged or closed"}
    for repository in install.settings.repositories:
        record = await install.records.get(RepositoryRecord, repository.name)
        if record is None or record.head is None:
            missing[f"repository {repository.name}"] = "not looked at yet"
    return missing


async def report(controller: Controller) -> None:
    """One line per repository, forge, target and right: ok, or what is missing and the command that mends it."""
    for name, mirror in controller.mirrors.items():
        try:
            listing = await mirror.refs()
            click.echo(f"ok      repository {name}: {len(listing.branches)} branches")
        except AlmaError as e:
            click.echo(f"missing repository {name}: {e}" + (f" → {e.hint}" if e.hint else ""))
    for name, forge in controller.forges.items():
        try:
            info = await forge.about()
            click.echo(f"ok      forge {name} ({forge.kind}): as {info.account.login}")
            for right in info.missing:
                click.echo(f"missing forge {name}: {right}")
            for right in info.excess:
                click.echo(f"broad   forge {name}: {right}")
        except AlmaError as e:
            click.echo(f"missing forge {name}: {e}" + (f" → {e.hint}" if e.hint else ""))
    await report_targets(controller.install)
