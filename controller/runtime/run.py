"""PURE: one run as a state machine, `advance(state, event) -> (state, todos)`.

No asyncio, no time, no I/O: the local executor journals each event before it acts on a todo, and a workflow engine may
call the same function. A run is a program of barriers; the legs of one barrier go side by side, its steps in order:

    STAGE per wave → for each wave: STAGE that needs an output, CUT, CHECK → RETIRE → done
                 any failure → UNDO, the same barriers backwards → RECHECK → undone | parked

What was inherited from a superseded run takes part in RETIRE and in UNDO only (I13, I15).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from controller.blueprint.value import Output, markers
from controller.plan.change import Change, Plan
from controller.plan.health import Health, HealthState
from controller.plan.step import Action, Phase, Prior, Receipt, Step


class RunWord(StrEnum):
    """The words people and metrics see; the last five are ends."""

    QUEUED = "queued"
    PLANNING = "planning"
    WAITING = "waiting"
    RUNNING = "running"
    VERIFYING = "verifying"
    RETIRING = "retiring"
    UNDOING = "undoing"
    DONE = "done"
    UNDONE = "undone"
    PARKED = "parked"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDS


_ENDS = frozenset((RunWord.DONE, RunWord.UNDONE, RunWord.PARKED, RunWord.SUPERSEDED, RunWord.CANCELLED))


class LegKind(StrEnum):
    STAGE = "stage"
    LATE = "late"  # STAGE that needs an output of another resource: at the head of its wave's CUT
    CUT = "cut"
    CHECK = "check"
    RETIRE = "retire"
    UNDO = "undo"
    RECHECK = "recheck"
    CLEAN = "clean"  # superseded: take away what was staged and not cut


@dataclass(frozen=True, slots=True, order=True)
class Leg:
    """A todo: the steps of one work in one phase, or one check. `work` indexes RunState.works."""

    kind: LegKind
    work: int


@dataclass(frozen=True, slots=True, order=True)
class OpRef:
    """One step of a work, forwards (`undo` -1) or the `undo`-th inverse of it."""

    work: int
    step: int
    undo: int = -1


@dataclass(frozen=True, slots=True)
class Work:
    """A change and the run it belongs to: its own, or a superseded one whose rest it inherited."""

    run: str
    number: int  # position in that run's plan: part of every op id
    change: Change

    @property
    def short(self) -> str:
        """What fills `${run}` in names."""
        return self.run[:12]


@dataclass(frozen=True, slots=True)
class Op:
    """What is known of one sent step. `receipt` None: an intent without an answer, `find` before anything else."""

    prior: Prior
    receipt: Receipt | None = None
    over: bool = False  # ended well; False with a receipt: still running, or failed after it acted


@dataclass(frozen=True, slots=True)
class Failure:
    """Why forward work stopped, in words for the comment (redacted, ≤ 4 KiB)."""

    leg: Leg
    reason: str


# --- events: what the executor saw; each is journaled before `advance` hears of it -------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    run: str
    plan: Plan
    inherited: tuple[Work, ...] = ()
    ops: tuple[tuple[OpRef, Op], ...] = ()  # of the inherited works, already re-indexed


@dataclass(frozen=True, slots=True)
class Intended:
    ref: OpRef
    prior: Prior


@dataclass(frozen=True, slots=True)
class Acted:
    ref: OpRef
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Ended:
    ref: OpRef
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class NeverActed:
    """`find` was sure: the intent left no effect."""

    ref: OpRef


@dataclass(frozen=True, slots=True)
class LegDone:
    leg: Leg


@dataclass(frozen=True, slots=True)
class LegFailed:
    leg: Leg
    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """After a failure: nothing is in flight any more and every open intent was looked up."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    by: str


@dataclass(frozen=True, slots=True)
class Superseded:
    by: str  # run id


Event: TypeAlias = (
    Begun | Intended | Acted | Ended | NeverActed | LegDone | LegFailed | Drained | Cancelled | Superseded
)


@dataclass(frozen=True, slots=True)
class Barrier:
    """Legs that go side by side; the next barrier begins when all are over."""

    word: RunWord
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything a run is; equal event lists give equal states."""

    run: str
    plan: Plan
    works: tuple[Work, ...]
    own: int  # works[:own] are this run's
    word: RunWord = RunWord.RUNNING
    barrier: int = 0
    done: frozenset[Leg] = frozenset()
    ops: Mapping[OpRef, Op] = field(default_factory=dict)
    failure: Failure | None = None
    draining: bool = False
    warnings: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()  # what undo could not put back: a person must
    undo_barrier: int = 0
    superseded_by: str | None = None
    cancelled_by: str | None = None
    program: tuple[Barrier, ...] = ()


# --- the program --------------------------------------------------------------------------------------------------


def steps_of(state: RunState, leg: Leg) -> tuple[tuple[int, Step], ...]:
    """The numbered steps of a forward leg."""
    steps = enumerate(state.works[leg.work].change.effect.steps)
    return tuple((n, s) for n, s in steps if _leg_kind(s) is leg.kind)


def _leg_kind(step: Step) -> LegKind:
    if step.phase is Phase.STAGE:
        waits = any(isinstance(m, Output) for m in markers(step.request))
        return LegKind.LATE if waits else LegKind.STAGE
    return LegKind.CUT if step.phase is Phase.CUT else LegKind.RETIRE


def _program(works: tuple[Work, ...], own: int) -> tuple[Barrier, ...]:
    """All barriers of the forward way, in order."""
    barriers: list[Barrier] = []
    kinds = [_kinds(w.change) for w in works]

    def add(word: RunWord, kind: LegKind, among: Iterable[int]) -> None:
        legs = tuple(Leg(kind, w) for w in among if kind in kinds[w])
        if legs:
            barriers.append(Barrier(word, legs))

    by_wave: dict[int, list[int]] = {}
    for index in sorted(range(own), key=lambda w: works[w].change.wave):
        by_wave.setdefault(works[index].change.wave, []).append(index)
    for members in by_wave.values():
        add(RunWord.RUNNING, LegKind.STAGE, members)
    for members in by_wave.values():
        add(RunWord.RUNNING, LegKind.LATE, members)
        add(RunWord.RUNNING, LegKind.CUT, members)
        add(RunWord.VERIFYING, LegKind.CHECK, members)
    return (*barriers, *_retiring(works, kinds))


def _retiring(works: tuple[Work, ...], kinds: Sequence[frozenset[LegKind]]) -> tuple[Barrier, ...]:
    """Replaced parts first, last wave first; then destroys, dependents first. Inherited works count as the former."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, work in enumerate(works):
        if LegKind.RETIRE in kinds[index]:
            gone = work.change.effect.action is Action.DESTROY
            key = (1, work.change.wave) if gone else (0, -work.change.wave)
            groups.setdefault(key, []).append(index)
    return tuple(
        Barrier(RunWord.RETIRING, tuple(Leg(LegKind.RETIRE, w) for w in groups[key])) for key in sorted(groups)
    )


def _kinds(change: Change) -> frozenset[LegKind]:
    kinds = {_leg_kind(s) for s in change.effect.steps}
    if change.effect.probe and change.effect.action not in (Action.DESTROY, Action.FORGET):
        kinds.add(LegKind.CHECK)
    return frozenset(kinds)


def undo_program(state: RunState) -> tuple[tuple[Leg, ...], ...]:
    """The way back: own barriers in reverse order of the way there, then what was inherited, then the rechecks."""
    touched = {ref.work for ref in state.ops if ref.undo < 0}
    order: list[tuple[Leg, ...]] = []
    seen: set[int] = set()
    own = [b for b in state.program if b.word is not RunWord.RETIRING]
    for barrier in reversed(own):
        legs = [x.work for x in barrier.legs if x.kind is not LegKind.CHECK and x.work in touched]
        fresh = tuple(Leg(LegKind.UNDO, w) for w in legs if w not in seen)
        seen.update(legs)
        if fresh:
            order.append(fresh)
    inherited = sorted((w for w in touched if w >= state.own), key=lambda w: -state.works[w].change.wave)
    order += [(Leg(LegKind.UNDO, w),) for w in inherited]
    rechecks = tuple(Leg(LegKind.RECHECK, w) for w in sorted(touched) if _restored(state, w))
    return (*order, rechecks) if rechecks else tuple(order)


def _restored(state: RunState, work: int) -> bool:
    """True for a work whose CUT touched something that was there before: it must be healthy again."""
    effect = state.works[work].change.effect
    cut = any(state.works[work].change.effect.steps[r.step].phase is Phase.CUT for r in state.ops if r.work == work)
    return cut and effect.action is not Action.CREATE and effect.probe is not None


def clean_program(state: RunState) -> tuple[tuple[Leg, ...], ...]:
    """Superseded: works that were staged and never cut are taken away."""
    cut = {r.work for r in state.ops if state.works[r.work].change.effect.steps[r.step].phase is Phase.CUT}
    staged = sorted({r.work for r in state.ops if r.work < state.own} - cut)
    return (tuple(Leg(LegKind.CLEAN, w) for w in staged),) if staged else ()


def undo_refs(state: RunState, leg: Leg) -> tuple[OpRef, ...]:
    """Ops of the leg's work that took effect, last first: what its inverses must take back. RETIRE has no inverse."""
    steps = state.works[leg.work].change.effect.steps
    refs = [r for r in state.ops if r.work == leg.work and r.undo < 0 and steps[r.step].phase is not Phase.RETIRE]
    return tuple(sorted(refs, key=lambda r: -r.step))


# --- advance ------------------------------------------------------------------------------------------------------


def begin(event: Begun) -> RunState:
    works = tuple(Work(event.run, i, c) for i, c in enumerate(event.plan.changes))
    everything = works + event.inherited
    barriers = _program(everything, len(works))
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
