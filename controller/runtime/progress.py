"""A run's state as people see it: one line per change with result, time and task id."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from controller.plan.change import Change, Plan
from controller.runtime.records import ChangeResult
from controller.runtime.run import LegKind, RunState, RunWord
from controller.telemetry import Metrics

_log = structlog.get_logger("progress")
_RESULT_AT_END = {
    RunWord.DONE: "done",
    RunWord.UNDONE: "undone",
    RunWord.PARKED: "parked",
    RunWord.SUPERSEDED: "superseded",
    RunWord.CANCELLED: "cancelled",
}


def planned_results(plan: Plan) -> tuple[ChangeResult, ...]:
    """Before anything ran."""
    return tuple(_line(c, "waiting", None, None) for c in plan.changes)


def change_results(state: RunState, seconds: Mapping[int, tuple[float, float]]) -> tuple[ChangeResult, ...]:
    """One line per change of the run itself, in plan order. `seconds`: work → first and last time something was heard
    of it (monotonic)."""
    lines = []
    for index in range(state.own):
        first, last = seconds.get(index, (0.0, 0.0))
        spent_s = round(last - first, 1) if index in seconds else None
        lines.append(_line(state.works[index].change, _result(state, index), spent_s, _task(state, index)))
    return tuple(lines)


def _line(change: Change, result: str, seconds: float | None, task: str | None) -> ChangeResult:
    e = change.effect
    return ChangeResult(str(e.resource), e.key.kind, change.target, e.action, e.disruption, result, seconds, task)


def _result(state: RunState, work: int) -> str:
    touched = any(ref.work == work for ref in state.ops)
    if state.failure and state.failure.leg.work == work:
        return "failed"
    if state.word.ended:
        return _RESULT_AT_END[state.word] if touched or state.word is RunWord.DONE else "not started"
    if not touched:
        return "waiting"
    over = all(op.over for ref, op in state.ops.items() if ref.work == work)
    checked = any(leg.work == work and leg.kind is LegKind.CHECK for leg in state.done)
    return "verified" if over and checked else "running"


def _task(state: RunState, work: int) -> str | None:
    """The platform's own task id of the last step that had one (a UPID)."""
    tasks = [
        op.receipt.task
        for ref, op in sorted(state.ops.items())
        if ref.work == work and op.receipt and op.receipt.task and op.receipt.task != op.receipt.op
    ]
    return tasks[-1] if tasks else None


def count_results(metrics: Metrics, state: RunState, engine_of: Mapping[str, str]) -> None:
    """`alma_changes_total` and a log line for each change of an ended run."""
    for index in range(state.own):
        change = state.works[index].change
        engine = engine_of.get(change.target, "unknown")
        result = _result(state, index)
        metrics.count("alma_changes", engine, change.effect.action, result)
        _log.info(
            "change ended",
            run=state.run,
            revision=state.plan.revision,
            resource=str(change.effect.resource),
            target=change.target,
            action=change.effect.action,
            result=result,
        )
