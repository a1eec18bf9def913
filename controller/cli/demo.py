"""`alma demo`: the whole story, told step by step against the real parts, each step checked."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import click

from controller.cli.docker_shop import DEFAULT_IMAGE, docker_shop
from controller.cli.live_status import follow
from controller.cli.proxmox_shop import proxmox_shop
from controller.cli.scenery import Scenery, SimulatedShop
from controller.cli.session import blocking, machine_targets
from controller.cli.stage import set_up
from controller.cli.story import Story
from controller.cli.teller import Teller
from engines.docker.settings import DEFAULT_URL

_ENDS = (signal.SIGINT, signal.SIGTERM)


@click.command()
@click.option(
    "--engine",
    type=click.Choice(["simulation", "docker", "proxmox"]),
    default="simulation",
    show_default=True,
    help="docker: real containers on the host of DOCKER_HOST, or of the local socket. proxmox: an emulated cluster.",
)
@click.option("--image", help=f"With docker: an image with busybox's httpd.  [default: {DEFAULT_IMAGE}]")
@click.option("--once", is_flag=True, help="End after the last step; exit 0 only if every step came out as told.")
def demo(engine: str, image: str | None, once: bool) -> int:
    """The whole story, told and checked step by step: first deploy, pull request, merge, undo, heal.

    Runs a controller of its own in a temporary folder. The folder, and everything made on a Docker host, is removed at
    the end.
    """
    if image and engine != "docker":
        raise click.UsageError("--image goes with --engine docker")
    folder = Path(tempfile.mkdtemp(prefix="alma-demo-"))
    scenery = _scenery(engine, folder, image or DEFAULT_IMAGE)
    try:
        return blocking(lambda: _demo(folder, scenery, once))
    except asyncio.CancelledError:
        raise click.Abort from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scenery(engine: str, folder: Path, image: str) -> AbstractAsyncContextManager[Scenery]:
    if engine == "docker":
        return _on_docker(image)
    return proxmox_shop(folder) if engine == "proxmox" else _simulated(folder)


@asynccontextmanager
async def _simulated(folder: Path) -> AsyncIterator[Scenery]:
    yield SimulatedShop.within(folder)


@asynccontextmanager
async def _on_docker(image: str) -> AsyncIterator[Scenery]:
    found = machine_targets(os.environ).get("docker")
    target = found.model_dump(exclude_defaults=True) if found else {"engine": "docker", "url": DEFAULT_URL}
    async with docker_shop(target, f"alma-demo-{secrets.token_hex(3)}", image) as shop:
        yield shop


async def _demo(folder: Path, shop: AbstractAsyncContextManager[Scenery], once: bool) -> int:
    _end_in_order()
    async with shop as scenery:
        teller = Teller()
        teller.title(
            "ALMA",
            "A pull request shows what would change. Merging deploys. What fails is undone. What drifts heals.\n"
            f"Here on {scenery.about}, with a Git repository and a controller of its own.",
        )
        async with set_up(folder, scenery.install, scenery.target, scenery.versions["first"]) as stage:
            try:
                await Story(stage, scenery, teller).tell()
                teller.end("Every step came out as told.")
                if not once:
                    await follow(stage, teller)
            finally:
                _hear_no_signal()
    return 0


def _end_in_order() -> None:
    """The first SIGINT or SIGTERM cancels what is under way, so that everything is taken away again."""
    told = asyncio.current_task()
    assert told is not None

    def end() -> None:
        _hear_no_signal()
        told.cancel()

    for number in _ENDS:
        asyncio.get_running_loop().add_signal_handler(number, end)


def _hear_no_signal() -> None:
    """From here on it ends: another Ctrl-C must not cut the cleaning up short."""
    for number in _ENDS:
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
