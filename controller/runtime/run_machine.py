"""PURE: one run as a state machine, `advance(state, event) -> (state, todos)`.

No asyncio, no time, no I/O: the local executor journals each event before it acts on a todo, and a workflow engine may
call the same function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.plan.change import Plan
from controller.plan.health import Health, HealthState
from controller.plan.step import Phase
from controller.runtime.run import (
    Acted,
    Begun,
    Cancelled,
    Drained,
    Ended,
    Event,
    Failure,
    Intended,
    Leg,
    LegDone,
    LegFailed,
    LegKind,
    NeverActed,
    Op,
    OpRef,
    RunState,
    RunWord,
    Superseded,
    Work,
)
from controller.runtime.run_program import clean_program, program, steps_of, undo_program


def begin(event: Begun) -> RunState:
    works = tuple(Work(event.run, i, c) for i, c in enumerate(event.plan.changes))
    everything = works + event.inherited
    barriers = program(everything, len(works))
    word = barriers[0].word if barriers else RunWord.RUNNING
    return _settled(
        RunState(event.run, event.plan, everything, len(works), word, ops=dict(event.ops), program=barriers)
    )


def advance(state: RunState | None, event: Event) -> tuple[RunState, tuple[Leg, ...]]:
    """The state after `event`, and what is to be done now (all of it, not only what is new). Safe to replay."""
    if isinstance(event, Begun):
        after = begin(event)
    else:
        assert state is not None, "a run begins with Begun"
        after = state if state.word.ended else _settled(_applied(state, event))
    return after, todos(after)


def replayed(events: Iterable[Event]) -> RunState:
    """The state after all of `events`, of which the first is Begun."""
    state: RunState | None = None
    for event in events:
        state, _ = advance(state, event)
    assert state is not None, "a run has events"
    return state


def todos(state: RunState) -> tuple[Leg, ...]:
    """Legs that may run now and are not over. Empty while draining and after the end."""
    if state.word.ended or state.draining:
        return ()
    return tuple(x for x in _current(state) if x not in state.done)


def _current(state: RunState) -> tuple[Leg, ...]:
    if state.word is RunWord.UNDOING:
        way = clean_program(state) if state.superseded_by else undo_program(state)
        return way[state.undo_barrier] if state.undo_barrier < len(way) else ()
    barriers = state.program
    return barriers[state.barrier].legs if state.barrier < len(barriers) else ()


def _applied(state: RunState, event: Event) -> RunState:
    match event:
        case Intended(ref, prior):
            return _with_op(state, ref, Op(prior))
        case Acted(ref, receipt):
            return _with_op(state, ref, replace(state.ops[ref], receipt=receipt))
        case Ended(ref, receipt):
            return _with_op(state, ref, replace(state.ops[ref], receipt=receipt, over=True))
        case NeverActed(ref):
            return replace(state, ops={r: o for r, o in state.ops.items() if r != ref})
        case LegDone(leg):
            return replace(state, done=state.done | {leg})
        case LegFailed(leg, reason):
            return _failed(state, leg, reason)
        case Drained():
            return replace(state, word=RunWord.UNDOING, draining=False, undo_barrier=0)
        case Cancelled(by):
            return replace(state, cancelled_by=by, draining=True) if _forward(state) else state
        case Superseded(by):
            return replace(state, superseded_by=by, word=RunWord.UNDOING, undo_barrier=0)
        case Begun():
            raise AssertionError("a run begins once")


def _forward(state: RunState) -> bool:
    return state.word in (RunWord.RUNNING, RunWord.VERIFYING)


def _with_op(state: RunState, ref: OpRef, op: Op) -> RunState:
    return replace(state, ops={**state.ops, ref: op})


def _failed(state: RunState, leg: Leg, reason: str) -> RunState:
    """RETIRE is reported and passed over; a failed undo parks the run once all the rest is taken back; anything else
    turns the run round."""
    if leg.kind is LegKind.RETIRE:
        return replace(state, done=state.done | {leg}, warnings=(*state.warnings, reason))
    if leg.kind is LegKind.CLEAN:
        return replace(state, done=state.done | {leg}, warnings=(*state.warnings, reason))
    if leg.kind in (LegKind.UNDO, LegKind.RECHECK):
        return replace(state, done=state.done | {leg}, stuck=(*state.stuck, reason))
    return replace(state, failure=state.failure or Failure(leg, reason), draining=True)


def _settled(state: RunState) -> RunState:
    """Move on over barriers whose legs are all over, to the next todo or the end."""
    while not state.word.ended and not state.draining and not [x for x in _current(state) if x not in state.done]:
        state = _next_barrier(state)
    return state


def _next_barrier(state: RunState) -> RunState:
    if state.word is RunWord.UNDOING:
        way = clean_program(state) if state.superseded_by else undo_program(state)
        if state.undo_barrier + 1 < len(way):
            return replace(state, undo_barrier=state.undo_barrier + 1)
        if state.superseded_by:
            return replace(state, word=RunWord.SUPERSEDED)
        return replace(state, word=RunWord.PARKED if state.stuck else RunWord.UNDONE)
    barriers = state.program
    if state.barrier + 1 >= len(barriers):
        return replace(state, barrier=len(barriers), word=RunWord.DONE)
    return replace(state, barrier=state.barrier + 1, word=barriers[state.barrier + 1].word)


# --- what others ask of a state ------------------------------------------------------------------------------------


def open_intents(state: RunState) -> tuple[OpRef, ...]:
    """Intents without an answer: after a crash each is looked up before anything is sent."""
    return tuple(sorted(r for r, op in state.ops.items() if op.receipt is None))


def at_barrier(state: RunState) -> bool:
    """True where a newer revision may take over: forward, and no leg of the current barrier has begun."""
    legs = _current(state)
    begun = {r.work for r in state.ops if r.undo < 0}
    if state.word is RunWord.VERIFYING:
        return True
    return state.word is RunWord.RUNNING and not any(
        leg in state.done or (leg.work in begun and _touches(state, leg)) for leg in legs
    )


def _touches(state: RunState, leg: Leg) -> bool:
    mine = {n for n, _ in steps_of(state, leg)}
    return any(r.work == leg.work and r.step in mine for r in state.ops)


def inheritance(state: RunState) -> tuple[tuple[Work, ...], tuple[tuple[OpRef, Op], ...]]:
    """What a newer run takes over from this superseded one: the works that were cut, with all their ops."""
    cut = sorted({r.work for r in state.ops if _is_cut(state, r)} | set(range(state.own, len(state.works))))
    place = {old: new for new, old in enumerate(cut)}
    ops = [
        (replace(r, work=place[r.work]), op) for r, op in sorted(state.ops.items()) if r.work in place and r.undo < 0
    ]
    return tuple(state.works[w] for w in cut), tuple(ops)


def _is_cut(state: RunState, ref: OpRef) -> bool:
    return ref.undo < 0 and state.works[ref.work].change.effect.steps[ref.step].phase is Phase.CUT


def after_superseding(run: str, plan: Plan, older: RunState) -> Begun:
    """The first event of the run that takes over from `older`."""
    works, ops = inheritance(older)
    offset = len(plan.changes)
    moved = tuple((replace(r, work=r.work + offset), op) for r, op in ops)
    return Begun(run, plan, works, moved)


def sound(health: Health) -> bool:
    """Good enough to go on: healthy, or deliberately suspended."""
    return health.state in (HealthState.HEALTHY, HealthState.SUSPENDED)
