"""What commands print: plain text into a pipe, colours and progress on a terminal (`NO_COLOR` is honoured)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from controller.blueprint.names import shown
from controller.plan.change import Plan
from controller.plan.step import Action
from controller.review.inert import visible
from controller.review.plan_text import DIGEST_SHOWN, LineKind, plan_lines, plans_json
from controller.review.wording import SYMBOLS

Json = Any
_COLOURS: Mapping[LineKind, str] = {
    LineKind.CREATE: "green",
    LineKind.UPDATE: "yellow",
    LineKind.RECREATE: "magenta",
    LineKind.DESTROY: "red",
    LineKind.ADOPT: "cyan",
    LineKind.FORGET: "cyan",
    LineKind.LOST: "red",
    LineKind.REASON: "bright_black",
}


def print_json(data: Json) -> None:
    """One JSON document on stdout. What a terminal might obey or hide stands as an escape, which JSON reads back."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_plans(plans: Sequence[Plan], output: str) -> None:
    """Every plan as text (stable last line) or JSON."""
    if output == "json":
        print_json(plans_json(plans))
        return
    for plan in plans:
        if len(plans) > 1:
            click.secho(f"scope {plan.scope}", bold=True)
        for line in plan_lines(plan):
            click.echo(click.style(line.text, fg=_COLOURS.get(line.kind), bold=line.kind is LineKind.SUMMARY))


def print_listed(plan: Mapping[str, Json]) -> None:
    """A plan that a controller answered with, one line per change. The summary is the last line."""
    for change in plan["changes"]:
        words = (change["resource"], change["kind"], change["disruption"], f"wave {change['wave']}")
        line = f"{SYMBOLS[Action(change['action'])]:>3} " + "   ".join(visible(str(w)) for w in words)
        click.secho(line, fg=_COLOURS.get(LineKind(change["action"])))
        for lost in change["lost"]:
            click.secho(f"      lost  {visible(lost, 400)}", fg="red")
    counts = ", ".join(f"{n} to {a}" for a in Action if (n := plan["summary"][a.value]))
    click.secho(f"Plan: {counts or 'no changes'}. Digest: {plan['digest'][:DIGEST_SHOWN]}", bold=True)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Aligned columns; on a pipe the same without colours. `empty` is said when there is no row."""
    cells = [[shown(str(c), 200) if c not in (None, "") else "-" for c in row] for row in rows]
    if not cells:
        click.echo(empty)
        return
    widths = [max(len(h), *(len(r[i]) for r in cells)) for i, h in enumerate(headings)]
    click.secho("  ".join(h.upper().ljust(w) for h, w in zip(headings, widths, strict=True)).rstrip(), bold=True)
    for row in cells:
        parts = (_coloured(c, c.ljust(w)) for c, w in zip(row, widths, strict=True))
        click.echo("  ".join(parts).rstrip())


_GOOD = {"synced", "healthy", "done", "ok"}
_BAD = {"out-of-sync", "degraded", "parked", "undone", "failed", "missing"}
_BUSY = {"running", "verifying", "waiting", "progressing", "retiring", "undoing"}


def _coloured(word: str, padded: str) -> str:
    colour = "green" if word in _GOOD else "red" if word in _BAD else "yellow" if word in _BUSY else None
    return click.style(padded, fg=colour) if colour else padded


def interactive() -> bool:
    """True if a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
