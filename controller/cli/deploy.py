"""`alma deploy` and `alma destroy`: plan, ask, apply, verify, undo on failure. The caller's own credentials are the
authority (I1), so beside a running controller both are refused: there a commit is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from controller.alone import standalone
from controller.cli.by_hand import Hand, finish_unfinished
from controller.cli.consent import Consent
from controller.cli.live import Watch
from controller.cli.plan import plan_folder
from controller.cli.session import (
    ask,
    blocking,
    controller_socket,
    name_unfinished,
    scopes_here,
    settings_of,
    state_of,
    targets_here,
)
from controller.cli.show import print_listed, print_plans
from controller.cli.standalone import caller, install_here
from controller.errors import RefusedByPolicy
from controller.runtime.folder import Folder, read_folder
from controller.settings import Loaded

Json = Any
_yes = click.option("--yes", "-y", is_flag=True, help="Do not ask. Above the prune limits --confirm is needed.")
_confirm = click.option(
    "--confirm",
    "digests",
    multiple=True,
    metavar="DIGEST",
    help="Run the plan with this digest (8 characters or more).",
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only the plan.")
@_yes
@_confirm
@click.pass_context
def deploy(ctx: click.Context, path: Path, dry_run: bool, yes: bool, digests: tuple[str, ...]) -> int:
    """Bring the live systems to what PATH says; undo all of it when a step fails.

    Needs no Git. The plan is shown first, and asked for. Ctrl-C takes back what was done.
    """
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    folder = read_folder(path)
    if dry_run:
        return blocking(lambda: _only_plan(loaded, state, folder))
    _refuse_beside_controller(state, "commit to its repository instead, and merge")
    return blocking(lambda: _by_hand(loaded, state, folder, Consent(yes, digests), taking_away=False))


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--scope", help="An orphaned scope; needs the role admin and --confirm.")
@_yes
@_confirm
@click.pass_context
def destroy(ctx: click.Context, path: Path | None, scope: str | None, yes: bool, digests: tuple[str, ...]) -> int:
    """Take away everything that the scopes of PATH own, or what an orphaned scope left behind."""
    if (path is None) == (scope is None):
        raise click.UsageError("name either PATH or --scope NAME", ctx)
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    if path is None:
        return _orphan(loaded, state, str(scope), Consent(yes, digests))
    folder = read_folder(path)
    _refuse_beside_controller(state, "remove the entries in its repository instead, and merge")
    return blocking(lambda: _by_hand(loaded, state, folder, Consent(yes, digests), taking_away=True))


def _refuse_beside_controller(state: Path, instead: str) -> None:
    if controller_socket(state) is not None:
        raise RefusedByPolicy(f"a controller runs on {state} and looks after its targets", hint=instead)


async def _only_plan(loaded: Loaded, state: Path, folder: Folder) -> int:
    remembered = scopes_here(loaded, state)
    name_unfinished(list(remembered.values()))
    async with targets_here(loaded, state) as targets:
        print_plans([p.plan for _, p in await plan_folder(targets, folder, remembered)], "text")
    return 0


async def _by_hand(loaded: Loaded, state: Path, folder: Folder, consent: Consent, *, taking_away: bool) -> int:
    async with install_here(loaded, state) as install:
        with Watch() as watch:
            desk = standalone(install, caller(), watch, folder.sops)
            await finish_unfinished(install, desk, watch)
            return await Hand(install, desk, watch, folder, consent, taking_away).work()


def _orphan(loaded: Loaded, state: Path, scope: str, consent: Consent) -> int:
    """The plan first; its digest lets it run (I1, second exception)."""
    plan = ask(loaded, state, "destroy", {"scope": scope})["plan"]
    print_listed(plan)
    if not plan["changes"]:
        click.echo("Nothing to do.")
        return 0
    why = f"all that scope {scope} left behind would be deleted"
    if not blocking(lambda: consent.typed(why, plan["digest"])):
        click.echo("Nothing was changed.")
        return 1
    run = ask(loaded, state, "destroy", {"scope": scope, "confirm": plan["digest"]})["run"]
    print_run(run)
    return 0 if run["word"] == "done" else 1


def print_run(run: Json) -> None:
    """What came of a run that a controller tells of."""
    for change in run["changes"]:
        click.echo(f"  {change['result']:<11} {change['action']:<8} {change['resource']}")
    click.secho(f"scope {run['scope']}: {run['word']}. Run: {run['run']}", bold=True)
    if run["word"] != "done":
        click.secho(f"  reason: {run['reason']}", fg="red", err=True)
        click.echo(f"  next: {run['next_step'] or 'alma status'}", err=True)
