"""`alma audit` and `alma roles`: who asked for what, and who may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

import click

from controller.cli.care import journal_url, say_chain, verified_here
from controller.cli.session import ask, settings_of, state_of
from controller.cli.show import print_json, print_table
from controller.journal.export import AUDIT_STREAM, exported, verified
from controller.journal.place import place_of
from controller.operations.doctor import report_json
from controller.operations.rights import RIGHTS

Json = Any
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
_SHOWN = {"digest": 12, "confirm": 12, "revision": 12}  # letters of what is long
_OUTCOMES = ("asked", "allowed", "refused", "failed")


@click.group()
def audit() -> None:
    """Who asked for what, from where, and whether it was allowed."""


@audit.command("list")
@click.option("--only", type=click.Choice(_OUTCOMES), help="Only what came to this.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@_output
@click.pass_context
def list_(ctx: click.Context, only: str | None, limit: int, output: str) -> int:
    """The newest acts, and every question that was refused; the newest is the last."""
    loaded = settings_of(ctx)
    args = {"limit": limit, **({"only": only} if only else {})}
    told = ask(loaded, state_of(ctx, loaded), "audit.list", args)
    if output == "json":
        print_json(told)
        return 0
    rows = [
        (e["at"][:19], e["name"], e["by"], e["door"], _what(e), e["outcome"], e["why"].partition("\n")[0][:100])
        for e in told["entries"]
    ]
    print_table(("at", "who", "id", "from", "what", "outcome", "why"), rows, empty="nobody asked for anything yet")
    return 0


def _what(entry: Mapping[str, Json]) -> str:
    about = sorted(entry["about"].items(), key=lambda item: item[0] != "scope")
    return " ".join([entry["verb"], *(str(v)[: _SHOWN.get(k, 40)] for k, v in about)])


@audit.command()
@click.argument("export", type=click.File(encoding="utf-8"), required=False)
@_output
@click.pass_context
def verify(ctx: click.Context, export: TextIO | None, output: str) -> int:
    """Check the whole chain that holds the log; or that no line of an EXPORT was changed or left out.

    Exit 1 when it is damaged, with the place.
    """
    told = report_json(verified(export, AUDIT_STREAM)) if export else verified_here(ctx)
    return say_chain(told, output)


@audit.command("export")
@click.pass_context
def export_(ctx: click.Context) -> int:
    """The log as lines of JSON, each with its hash. Anyone can check them: alma audit verify FILE."""
    loaded = settings_of(ctx)
    for line in exported(place_of(journal_url(loaded, state_of(ctx, loaded))), stream=AUDIT_STREAM):
        click.echo(line)
    return 0


@click.command()
@_output
def roles(output: str) -> int:
    """Who may do what: the role that each verb needs, and what stands before it besides.

    Which people have a role is told by `roles:` of the server configuration. `alma deploy` and `destroy` of a folder
    need none: there the caller's own credentials decide.
    """
    if output == "json":
        rights = [
            {"verb": r.verb, "role": r.role.name.lower(), "acts": r.acts, "comment": r.comment, "gate": r.gate}
            for r in RIGHTS.values()
        ]
        print_json({"format": "alma.roles/v1", "rights": rights})
        return 0
    rows = [(r.verb, r.role.name.lower(), r.comment, r.gate) for r in RIGHTS.values()]
    print_table(("verb", "role", "in a comment", "besides"), rows, empty="")
    return 0
