"""The run of a pull request inside its comment: what each change came to, then exactly one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.review.fitting import fit
from controller.review.inert import Markdown, cell, code, code_link, fenced, link, prose, prose_cell, visible
from controller.review.report import RunProgress, RunRow, RunState
from controller.review.wording import seconds_text

_ICONS: Mapping[RunState, str] = {
    RunState.DONE: "✅",
    RunState.UNDONE: "↩️",
    RunState.PARKED: "🅿️",
    RunState.SUPERSEDED: "⏭️",
    RunState.CANCELLED: "🛑",
    RunState.WAITING: "✋",
    RunState.UNDOING: "↩️",
}
# Of several runs the most urgent one names the state of the pull request.
_URGENCY = (RunState.PARKED, RunState.UNDONE, RunState.CANCELLED, RunState.SUPERSEDED, RunState.DONE)
_FOLD_FROM = 13  # rows
_RUNS_MAX = 8  # told in full, the most urgent first
_DIAGNOSIS_LINES = 30
_WARNINGS_MAX = 10
_CAUSES_MAX = 3
_TASKS_MAX = 6  # of one change


def run_facts(runs: Sequence[RunProgress], room: int) -> dict[str, object]:
    """What `run.md.j2` prints, in about `room` characters."""
    state = overall(runs)
    ordered = sorted(runs, key=lambda r: _URGENCY.index(r.state) if r.state.final else -1)[:_RUNS_MAX]
    each = room // len(ordered)
    return {
        "tables": [_table(r, each, several=len(runs) > 1) for r in ordered],
        "icon": Markdown(_ICONS.get(state, "⏳")),
        "state": Markdown(f"Final state: {state.value}" if state.final else f"State: {state.value}"),
        "stories": [_story(r, each // 3, several=len(runs) > 1) for r in ordered],
        "more": len(runs) - len(ordered),
    }


def overall(runs: Sequence[RunProgress]) -> RunState:
    """The one state of a pull request: that of the first run still going, else the most urgent end."""
    going = next((r.state for r in runs if not r.state.final), None)
    return going or min((r.state for r in runs), key=_URGENCY.index)


def _table(run: RunProgress, room: int, *, several: bool) -> dict[str, object]:
    # What went wrong first: it is what must not be cut.
    ordered = sorted(run.rows, key=lambda r: r.result in ("done", "waiting"))
    rows, more = fit([_row(r) for r in ordered], room)
    title = f"{code(run.scope)}: " if several else ""
    return {"rows": rows, "more": more, "fold": len(rows) >= _FOLD_FROM, "title": Markdown(f"{title}{_done(run)}")}


def _row(row: RunRow) -> Markdown:
    time = seconds_text(row.seconds) if row.seconds is not None else ""
    more = f" and {len(row.tasks) - _TASKS_MAX} more" if len(row.tasks) > _TASKS_MAX else ""
    tasks = ", ".join(code_link(t.id, t.url) for t in row.tasks[:_TASKS_MAX]) + more
    return Markdown(f"| {cell(row.resource)} | {row.action.value} | {prose_cell(row.result)} | {time} | {tasks} |")


def _done(run: RunProgress) -> str:
    return f"{sum(1 for r in run.rows if r.result == 'done'):,} of {len(run.rows):,} changes done"


def _story(run: RunProgress, room: int, *, several: bool) -> dict[str, object]:
    name = f"{code(run.scope)}: " if several else ""
    time = f" ({seconds_text(run.seconds)})" if run.seconds is not None else ""
    lines = [visible(line) for line in run.diagnosis[:4096].splitlines() if line.strip()][:_DIAGNOSIS_LINES]
    shown, _ = fit([Markdown(line) for line in lines], max(room, 300))
    which = f" Run {code(run.run)}." if run.run else ""
    return {
        "line": Markdown(f"{name}{_sentence(run)}{time}.{which}"),
        "diagnosis": fenced(shown, "text") if shown else "",
        "causes": list(run.causes[:_CAUSES_MAX]),
        "warnings": list(run.warnings[:_WARNINGS_MAX]),  # each a code span
        "more_warnings": max(0, len(run.warnings) - _WARNINGS_MAX),
        "next_step": prose(run.next_step) if run.next_step else "",
        "confirm": run.confirm,
        "revert": _revert(run),
    }


def _sentence(run: RunProgress) -> str:
    """What this state means for the person who reads it."""
    match run.state:
        case RunState.DONE:
            return f"Deployed and verified, {_done(run)}"
        case RunState.UNDONE:
            return "Failed; everything is back as it was before"
        case RunState.PARKED:
            return "Stopped on purpose; a person must act"
        case RunState.SUPERSEDED if run.continues_in is not None:
            return f"Superseded, continues in #{run.continues_in}"
        case RunState.SUPERSEDED:
            return "Superseded by a newer commit"
        case RunState.CANCELLED:
            return "Cancelled; nothing of it stays"
        case RunState.WAITING:
            return "Waits for a person; nothing has been changed"
        case RunState.UNDOING:
            return f"Something failed; it is being undone, {_done(run)}"
        case RunState.QUEUED:
            return "Merged; it waits for its turn"
        case RunState.PLANNING:
            return "Merged; it is being planned"
        case RunState.VERIFYING:
            return f"{_done(run)}; waiting for health"
        case RunState.RETIRING:
            return "Verified; what was replaced is being removed"
        case _:
            return f"Going on, {_done(run)}"


def _revert(run: RunProgress) -> Markdown:
    """`#12` alone makes a link on every forge, and this one is ours."""
    if run.revert_number is None:
        return Markdown("")
    return link(f"#{run.revert_number}", run.revert_url) if run.revert_url else Markdown(f"#{run.revert_number}")
