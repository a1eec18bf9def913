"""A run's state as people see it: one line per change with result, time and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from controller.plan.change import Change, Plan
from controller.plan.step import Phase, TaskRef
from controller.runtime.records import ChangeResult
from controller.runtime.run import Leg, LegKind, Op, OpRef, RunState, RunWord
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
    return tuple(_line(c, "waiting", None, ()) for c in plan.changes)


def change_results(state: RunState, seconds: Mapping[int, tuple[float, float]]) -> tuple[ChangeResult, ...]:
    """One line per change of the run itself, in plan order. `seconds`: work → first and last time something was heard
    of it (monotonic)."""
    lines = []
    ops = _ops_of(state)
    for index in range(state.own):
        first, last = seconds.get(index, (0.0, 0.0))
        spent_s = round(last - first, 1) if index in seconds else None
        own = ops.get(index, ())
        lines.append(_line(state.works[index].change, _result(state, index, own), spent_s, _tasks(own)))
    return tuple(lines)


def _ops_of(state: RunState) -> Mapping[int, Sequence[Op]]:
    """Work → its ops in their order. Sorted out once: progress is told after every step."""
    found: dict[int, list[tuple[OpRef, Op]]] = {}
    for ref, op in state.ops.items():
        found.setdefault(ref.work, []).append((ref, op))
    return {work: [op for _, op in sorted(ops, key=lambda o: o[0])] for work, ops in found.items()}


def _line(change: Change, result: str, seconds: float | None, tasks: tuple[TaskRef, ...]) -> ChangeResult:
    e = change.effect
    return ChangeResult(str(e.resource), e.key.kind, change.target, e.action, e.disruption, result, seconds, tasks)


def _result(state: RunState, work: int, ops: Sequence[Op]) -> str:
    if state.failure and state.failure.leg.work == work:
        return "failed"
    if state.word is RunWord.DONE and _kept(state, work):
        return "kept"
    if state.word.ended:
        return _RESULT_AT_END[state.word] if ops or state.word is RunWord.DONE else "not started"
    if not ops:
        return "waiting"
    checked = Leg(LegKind.CHECK, work) in state.done
    return "verified" if checked and all(op.over for op in ops) else "running"


def _kept(state: RunState, work: int) -> bool:
    """A part of it was to be removed for good, and is still there."""
    steps = enumerate(state.works[work].change.effect.steps)
    removals = [OpRef(work, number) for number, step in steps if step.phase is Phase.RETIRE]
    return any(ref not in state.ops or not state.ops[ref].over for ref in removals)


def _tasks(ops: Sequence[Op]) -> tuple[TaskRef, ...]:
    """The platform's own tasks (UPIDs) of the steps that had one."""
    told = [op.receipt for op in ops if op.receipt and op.receipt.task and op.receipt.task != op.receipt.op]
    return tuple(TaskRef(r.task, r.task_url) for r in told if r.task)


def count_results(metrics: Metrics, state: RunState, engine_of: Mapping[str, str]) -> None:
    """`alma_changes_total` and a log line for each change of an ended run."""
    ops = _ops_of(state)
    for index in range(state.own):
        change = state.works[index].change
        engine = engine_of.get(change.target, "unknown")
        result = _result(state, index, ops.get(index, ()))
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
