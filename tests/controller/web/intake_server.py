"""`python -m tests.controller.web.intake_server STATE`: the port of strangers alone, until it is killed.

Prints where it listens.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from controller.forges.forge import ForgeBinding
from controller.forges.gitea import GiteaForge
from controller.journal.journal import Journal
from controller.runtime.clock import SystemClock
from controller.runtime.work_queue import WorkQueue
from controller.telemetry import Metrics
from controller.web.app import web_app
from controller.web.webhooks import WebhookIntake

SECRET = "s3cret-of-the-hook"


async def _ready() -> Mapping[str, str]:
    return {}


async def serve(state: Path) -> None:
    """Never returns."""
    config = {"kind": "gitea", "url": "http://127.0.0.1:1", "token": "t" * 40, "webhook_secret": SECRET}
    forge = GiteaForge.open(ForgeBinding("infra", "http://127.0.0.1:1/ops/infra.git", "main", config))
    journal = await Journal.open(f"sqlite:///{state / 'alma.db'}", now=lambda: datetime.now(UTC))
    intake = WebhookIntake({"infra": forge}, journal, WorkQueue(SystemClock()), lambda reason: None)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = web_app(_ready, intake, Metrics())
    await uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)).serve([listening])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
