"""What this program is: version, settings, engines, metrics, schema."""

from __future__ import annotations

from importlib.metadata import version as installed_version

import click


@click.command()
def version() -> int:
    """The version of ALMA."""
    click.echo(f"alma {installed_version('alma-controller')}")
    return 0
