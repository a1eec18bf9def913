"""`alma worker SITE`: in the foreground, beside targets that the controller has no route to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import click

from controller.cli.session import blocking, settings_of, state_of, stop_on_signals
from controller.cli.target_report import report_targets
from controller.install import open_install
from controller.journal.shared_lease import BEATS
from controller.runtime.clock import SystemClock
from controller.settings import Settings
from controller.site import check_site, serve
from controller.telemetry import Metrics, configure_logging


@click.command()
@click.argument("site")
@click.pass_context
def worker(ctx: click.Context, site: str) -> int:
    """Beside a site that the controller has no route to.

    SITE is what targets of the controller say under `worker:`. Here the same targets stand with all that it takes to
    reach them; addresses, credentials and the values of secrets stay here. The worker listens nowhere: it reaches out
    to Temporal and to the journal's PostgreSQL.
    """
    loaded = settings_of(ctx)
    check_site(loaded.settings)
    return blocking(lambda: _work(loaded.settings, state_of(ctx, loaded), site))


async def _work(settings: Settings, state: Path, site: str) -> int:
    """Again from the start whenever controllers took this one for dead: others may have what it worked at."""
    asked = asyncio.Event()
    stop_on_signals(asked)
    while not asked.is_set():
        await _work_once(settings, state, site, asked)
        if not asked.is_set():
            click.echo("begins anew: it was taken for dead, and others may have its runs", err=True)
    return 0


async def _work_once(settings: Settings, state: Path, site: str, asked: asyncio.Event) -> None:
    """Until it is asked to end, or was taken for dead."""
    install = await open_install(settings, state, os.environ, SystemClock(), Metrics(), site=site)
    try:
        configure_logging(install.redact.event)
        await report_targets(install)
        working = asyncio.create_task(serve(install, site), name=f"worker of site {site}")
        try:
            while not (asked.is_set() or working.done()) and install.journal.writable:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asked.wait(), float(settings.reconcile.lease) / BEATS)
        finally:
            working.cancel()
            await asyncio.wait([working])
        if not working.cancelled() and (defect := working.exception()) is not None:
            raise defect
    finally:
        await install.close()
