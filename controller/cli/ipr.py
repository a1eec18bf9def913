"""`alma ipr`: pull requests of any forge; on `local` these commands are the forge."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.session import ask, settings_of, state_of
from controller.cli.show import print_json, print_table

Json = Any
_repository = click.option("-R", "--repository", help="Needed where several are configured.")
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


def _asked(ctx: click.Context, verb: str, **args: Json) -> Json:
    loaded = settings_of(ctx)
    return ask(loaded, state_of(ctx, loaded), verb, {k: v for k, v in args.items() if v is not None})


@click.group()
def ipr() -> None:
    """Pull requests of any forge."""


@ipr.command("list")
@_repository
@_output
@click.pass_context
def list_(ctx: click.Context, repository: str | None, output: str) -> int:
    """Every pull request the forge tells of, newest first."""
    told = _asked(ctx, "ipr.list", repository=repository)
    if output == "json":
        print_json(told)
        return 0
    rows = [
        (p["repository"], p["number"], p["state"], p["head"], p["author"]["login"], p["title"]) for p in told["iprs"]
    ]
    headings = ("repository", "number", "state", "branch", "author", "title")
    print_table(headings, rows, empty="no pull request; on a local repository push a branch ipr/NAME")
    return 0


@ipr.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--full", is_flag=True, help="Every change of every plan, nothing cut.")
@_repository
@_output
@click.pass_context
def show(ctx: click.Context, number: int, full: bool, repository: str | None, output: str) -> int:
    """What ALMA says on pull request NUMBER."""
    told = _asked(ctx, "ipr.show", number=number, full=full, repository=repository)
    if output == "json":
        print_json(told)
        return 0
    click.echo(told["comment"] or f"#{number} {told['title']}: not reviewed yet")
    for plan in told["plans"]:
        click.echo(plan)
    for comment in told["comments"]:
        if comment["body"] != told["comment"]:
            click.secho(f"\n{comment['author']['login']}:", bold=True)
            click.echo(comment["body"])
    return 0


@ipr.command()
@click.argument("branch")
@click.option("--title", help="Default: the branch.")
@_repository
@click.pass_context
def open(ctx: click.Context, branch: str, title: str | None, repository: str | None) -> int:  # noqa: A001 - the word users type
    """Open a pull request of BRANCH, which is already pushed."""
    told = _asked(ctx, "ipr.open", branch=branch, title=title, repository=repository)
    click.echo(f"#{told['number']} {told['title']}")
    return 0


@ipr.command()
@click.argument("number", type=click.IntRange(1))
@click.argument("body")
@_repository
@click.pass_context
def comment(ctx: click.Context, number: int, body: str, repository: str | None) -> int:
    """Write BODY on pull request NUMBER, such as '/alma help'."""
    _asked(ctx, "ipr.comment", number=number, body=body, repository=repository)
    click.echo(f"#{number}: written; alma ipr show {number} shows the answer")
    return 0


@ipr.command()
@click.argument("number", type=click.IntRange(1))
@_repository
@click.pass_context
def approve(ctx: click.Context, number: int, repository: str | None) -> int:
    """Approve pull request NUMBER at its present head."""
    told = _asked(ctx, "ipr.approve", number=number, repository=repository)
    click.echo(f"#{number}: approved at {told['approved'][:12]}")
    return 0


@ipr.command()
@click.argument("number", type=click.IntRange(1))
@_repository
@click.pass_context
def merge(ctx: click.Context, number: int, repository: str | None) -> int:
    """Merge pull request NUMBER; the controller deploys it."""
    told = _asked(ctx, "ipr.merge", number=number, repository=repository)
    click.echo(f"#{number}: merged at {told['merged'][:12]}")
    return 0


@ipr.command()
@click.argument("number", type=click.IntRange(1))
@_repository
@click.pass_context
def close(ctx: click.Context, number: int, repository: str | None) -> int:
    """Close pull request NUMBER without merging it."""
    _asked(ctx, "ipr.close", number=number, repository=repository)
    click.echo(f"#{number}: closed")
    return 0
