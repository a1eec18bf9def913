"""`alma doctor` and `alma journal`: is everything as it should be, and the record of all that was done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from controller.cli.session import ask, controller_socket, settings_of, state_of
from controller.cli.show import print_json
from controller.errors import AlmaError
from controller.journal.export import exported, verified
from controller.journal.journal import Journal
from controller.journal.lock import LockHeld
from controller.journal.place import FilePlace, place_of
from controller.operations.doctor import State, journal_checks, report_json
from controller.plan.codec import to_json
from controller.review.inert import visible
from controller.settings import Loaded

Json = Any
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
_SIGNS: Mapping[str, tuple[str, str]] = {"ok": ("ok", "green"), "look": ("look", "yellow"), "bad": ("BAD", "red")}


@click.command()
@_output
@click.pass_context
def doctor(ctx: click.Context, output: str) -> int:
    """Check the journal, the repositories, the scopes and the marks on every target.

    Changes nothing. Each line that is not ok comes with its next step; exit 1 when one is bad.
    """
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    try:
        told = ask(loaded, state, "doctor", {})
    except LockHeld:
        raise
    except AlmaError as e:
        told = _without_journal(loaded, state, e)
    if output == "json":
        print_json(told)
    else:
        for check in told["checks"]:
            _say(check)
    return 1 if any(c["state"] == State.BAD for c in told["checks"]) else 0


def _without_journal(loaded: Loaded, state: Path, error: AlmaError) -> Json:
    """A journal too damaged to be opened still tells where."""
    place = place_of(journal_url(loaded, state))
    if controller_socket(state) is not None or (isinstance(place, FilePlace) and not place.path.exists()):
        raise error
    report = asyncio.run(Journal.inspect(journal_url(loaded, state), state))
    if report.intact:
        raise error
    return {"format": "alma.doctor/v1", "checks": [to_json(c) for c in journal_checks(report)]}


def _say(check: Mapping[str, Json]) -> None:
    sign, colour = _SIGNS[check["state"]]
    click.echo(f"{click.style(sign.ljust(5), fg=colour)} {visible(check['what']):<22} {visible(check['detail'], 400)}")
    if check["next_step"]:
        click.echo(f"      next: {visible(check['next_step'], 400)}")


@click.group()
def journal() -> None:
    """The record of everything that was done, in a hash chain."""


@journal.command()
@click.argument("export", type=click.File(encoding="utf-8"), required=False)
@_output
@click.pass_context
def verify(ctx: click.Context, export: TextIO | None, output: str) -> int:
    """Check every record and document; or only the chain of an EXPORT made before.

    Exit 1 when it is damaged, with the place.
    """
    return say_chain(report_json(verified(export)) if export else verified_here(ctx), output)


def say_chain(told: Json, output: str) -> int:
    """What was found of a chain, and the exit code."""
    if output == "json":
        print_json(told)
    elif told["intact"]:
        click.echo(f"intact: {told['records']:,} records; head {told['head']} {told['hash']}")
    else:
        for damage in told["damages"]:
            place = f"record {damage['record']}: " if damage["record"] is not None else ""
            click.secho(f"damaged: {place}{visible(damage['what'], 400)}", fg="red")
        click.echo("  next: stop the controller and restore the database from a backup", err=True)
    return 0 if told["intact"] else 1


def verified_here(ctx: click.Context) -> Json:
    """The journal of this state folder, checked as a whole."""
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    if controller_socket(state) is not None:
        return ask(loaded, state, "journal.verify", {})
    return report_json(asyncio.run(Journal.inspect(journal_url(loaded, state), state)))


@journal.command("export")
@click.option("--after", type=click.IntRange(0), default=0, help="Only records after this number.")
@click.pass_context
def export_(ctx: click.Context, after: int) -> int:
    """Every record as one line of JSON with its hash. Anyone can check them: alma journal verify FILE."""
    loaded = settings_of(ctx)
    for line in exported(place_of(journal_url(loaded, state_of(ctx, loaded))), after):
        click.echo(line)
    return 0


def journal_url(loaded: Loaded, state: Path) -> str:
    """Where the journal of this state folder is."""
    return loaded.settings.journal or f"sqlite:///{state / 'alma.db'}"
