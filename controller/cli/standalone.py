"""What a command does by itself where no controller runs: the install opened under its state lock."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from controller.install import Install, open_install
from controller.runtime.clock import SystemClock
from controller.settings import Loaded
from controller.telemetry import Metrics


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


def caller() -> str:
    return f"os:{getpass.getuser()}"
