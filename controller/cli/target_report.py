"""What a process finds of its targets when it starts."""

from __future__ import annotations

import click

from controller.install import Install
from engines.engine import EngineError


async def report_targets(install: Install) -> None:
    """One line per target and right: ok, or what is missing. Raises InvalidInput for a wrong configuration."""
    for target, engine in install.engines.items():
        try:
            about = await engine.about()
            click.echo(f"ok      target {target} ({install.engine_of[target]}): {about.version}")
            for right in about.missing:
                click.echo(f"missing target {target}: {right}")
        except EngineError as e:
            click.echo(f"missing target {target}: {e}")
