"""What a command does by itself where no controller runs: the install opened under its state lock."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controller.cli.session import blocking, name_unfinished
from controller.install import Install, open_install
from controller.runtime.clock import SystemClock
from controller.runtime.records import ScopeRecord
from controller.settings import Loaded
from controller.telemetry import Metrics
from controller.web.socket import actor_of_uid
from controller.wiring import standalone_desk

Json = Any


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


def ask_here(loaded: Loaded, state: Path, verb: str, args: Mapping[str, Json]) -> Json:
    """A verb at a desk of our own."""

    async def work() -> Json:
        async with install_here(loaded, state) as install:
            if verb not in ("retry", "destroy"):
                name_unfinished(await install.records.all(ScopeRecord))
            desk = standalone_desk(install)
            return await desk.call(actor_of_uid(os.getuid(), os.getgid()), verb, args)

    return blocking(work)


def caller() -> str:
    return f"os:{getpass.getuser()}"
