"""`alma chat`: a talk on a pull request, line by line; what is said stands in its thread, as if written there."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from controller.cli.session import ask, settings_of, state_of
from controller.errors import Unreachable

_WAIT_S = 60.0  # for one answer
_LOOK_S = 0.3
_PROMPT = "> "


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.option("-R", "--repository", help="Needed where several are configured.")
@click.pass_context
def chat(ctx: click.Context, number: int, repository: str | None) -> int:
    """Ask on pull request NUMBER. Each line is `/alma ask LINE`; one that begins with /alma is that command."""
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)
    where = {"number": number, **({"repository": repository} if repository else {})}

    def call(verb: str, **args: Any) -> Any:
        return ask(loaded, state, verb, {**where, **args})

    for line in _lines():
        body = line if line.startswith("/alma") else f"/alma ask {line}"
        written = call("ipr.comment", body=body)["comment"]
        click.echo(_answer(call, written))
    return 0


def _lines() -> Iterator[str]:
    """What is typed, or comes through a pipe, until it ends or `exit` is said."""
    while True:
        if sys.stdin.isatty():
            click.echo(_PROMPT, nl=False)
        line = sys.stdin.readline()
        said = line.strip()
        if not line or said in ("exit", "quit"):
            return
        if said:
            yield said


def _answer(call: Any, written: str) -> str:
    """The answer to one comment, without its hidden first line. Raises Unreachable when none comes."""
    until_s = time.monotonic() + _WAIT_S
    while time.monotonic() < until_s:
        for comment in call("ipr.show")["comments"]:
            first, _, rest = str(comment["body"]).partition("\n")
            if comment["author"]["bot"] and f":answer:{written} " in first:
                return rest.strip()
        time.sleep(_LOOK_S)
    raise Unreachable("no answer came", hint="is `alma serve` running? alma ipr show tells what was said")
