"""How a run goes, while it goes: a table that moves on a terminal, one line per event into a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from controller.review.inert import visible
from controller.runtime.records import ChangeResult, RunRecord, ScopeRecord
from controller.runtime.run import RunWord

_SIGNS: Mapping[str, tuple[str, str]] = {
    "waiting": ("·", "bright_black"),
    "running": ("…", "yellow"),
    "verified": ("✓", "green"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "undone": ("↺", "magenta"),
    "parked": ("!", "red"),
    "not started": ("·", "bright_black"),
}
_SAID: Mapping[RunWord, str] = {
    RunWord.RUNNING: "applying",
    RunWord.VERIFYING: "verifying",
    RunWord.RETIRING: "taking away what was replaced",
    RunWord.UNDOING: "undoing",
}


class Watch:
    """Follows the runs of one command; fulfils `controller.runtime.settle.Telling`. Use as a context manager."""

    def __init__(self) -> None:
        self.run: RunRecord | None = None  # the newest word of the run under way
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._told: dict[str, str] = {}
        self._word: RunWord | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.rest()

    def rest(self) -> None:
        """Nothing runs any more: leave the terminal as it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.run, self._told, self._word = None, {}, None

    def run_moved(self, run: RunRecord) -> None:
        if run.word.ended:
            self.rest()
            return
        self.run = run
        if self._console.is_terminal:
            self._draw(run)
        else:
            self._tell(run)

    def scope_synced(self, record: ScopeRecord, revision: str) -> None:
        return None

    def scope_held(self, record: ScopeRecord) -> None:
        return None

    def _draw(self, run: RunRecord) -> None:
        if self._live is None:
            self._live = Live(console=self._console, transient=True, refresh_per_second=8)
            self._live.start()
        self._live.update(_picture(run))

    def _tell(self, run: RunRecord) -> None:
        if run.word is not self._word and run.word in _SAID:
            click.echo(f"scope {run.scope}: {_SAID[run.word]}")
        self._word = run.word
        for change in run.changes:
            if self._told.get(_name(change)) != change.result and change.result != "waiting":
                click.echo(f"  {result_line(change)}")
            self._told[_name(change)] = change.result


def _picture(run: RunRecord) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    # A plan of hundreds still fits: what is over or waits is counted, what moves is shown.
    moving = [c for c in run.changes if c.result not in ("waiting", "verified", "done")]
    shown = run.changes if len(run.changes) <= 15 else moving[:15]
    for change in shown:
        sign, colour = _SIGNS.get(change.result, ("·", ""))
        table.add_row(
            Text(f"  {sign}", colour),
            visible(change.resource),
            change.action,
            Text(change.result, colour),
            _time(change),
        )
    over = sum(c.result in ("verified", "done") for c in run.changes)
    head = Spinner("dots", f" scope {run.scope}: {_SAID.get(run.word, run.word)}, {over} of {len(run.changes)}")
    return Group(head, table)


def result_line(change: ChangeResult) -> str:
    """`done     create   prod/shop/web  1.2 s`, without colours."""
    return f"{change.result:<11} {change.action:<8} {visible(change.resource)}  {_time(change)}".rstrip()


def print_result(run: RunRecord) -> None:
    """One line per change, then what came of the whole."""
    for change in run.changes:
        sign, colour = _SIGNS.get(change.result, ("·", ""))
        click.secho(f"  {sign} {result_line(change)}", fg=colour or None)
    click.secho(f"scope {run.scope}: {_whole(run)}{_spent(run)}. Run: {run.run}", bold=True)
    for warning in run.remarks:
        click.secho(f"  warning: {visible(warning)}", fg="yellow")


def _whole(run: RunRecord) -> str:
    match run.word:
        case RunWord.DONE:
            return "done and verified"
        case RunWord.UNDONE:
            return "failed and undone" if not run.reason.startswith("cancelled") else "stopped and undone"
        case RunWord.PARKED:
            return "parked: undo could not finish"
        case _:
            return str(run.word)


def _spent(run: RunRecord) -> str:
    if not run.created or not run.ended:
        return ""
    seconds = (datetime.fromisoformat(run.ended) - datetime.fromisoformat(run.created)).total_seconds()
    return f" in {max(seconds, 0):.1f} s"


def _time(change: ChangeResult) -> str:
    return "" if change.seconds is None else f"{change.seconds:.1f} s"


def _name(change: ChangeResult) -> str:
    return f"{change.resource} {change.kind} {change.target} {change.action}"
