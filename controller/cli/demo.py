"""`alma demo`: the whole story, told step by step against the real parts, each step checked."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from controller.cli.live_status import follow
from controller.cli.scenery import Scenery, SimulatedShop
from controller.cli.session import blocking
from controller.cli.stage import set_up
from controller.cli.story import Story
from controller.cli.teller import Teller


@click.command()
@click.option("--engine", type=click.Choice(["simulation"]), default="simulation", show_default=True)
@click.option("--once", is_flag=True, help="End after the last step; exit 0 only if every step came out as told.")
def demo(engine: str, once: bool) -> int:
    """The whole story, told and checked step by step: first deploy, pull request, merge, undo, heal.

    Runs a controller of its own in a temporary folder, which is removed at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="alma-demo-"))
    try:
        return blocking(lambda: _demo(folder, SimulatedShop.within(folder), once))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _demo(folder: Path, scenery: Scenery, once: bool) -> int:
    teller = Teller()
    teller.title(
        "ALMA",
        "A pull request shows what would change. Merging deploys. What fails is undone. What drifts heals.\n"
        f"Here on {scenery.about}, with a Git repository and a controller of its own.",
    )
    async with set_up(folder, scenery.target, scenery.versions["first"]) as stage:
        await Story(stage, scenery, teller).tell()
        teller.end("Every step came out as told.")
        if not once:
            await follow(stage, teller)
    return 0
