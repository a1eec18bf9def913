"""PURE: what a run is: its words, legs, events and state. No asyncio, no time, no I/O.

`run_program` says which legs follow which, there and back; `run_machine` moves the state by events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from controller.plan.change import Change, Plan
from controller.plan.step import Prior, Receipt


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

# What each is called in a journal and in a history. None may be a kind that `Records.save` writes ("run.ended"): both
# tell of the run in one stream.
EVENTS: Mapping[str, type[Any]] = {
    "run.begun": Begun,
    "run.op-intended": Intended,
    "run.op-acted": Acted,
    "run.op-ended": Ended,
    "run.op-never-acted": NeverActed,
    "run.leg-done": LegDone,
    "run.leg-failed": LegFailed,
    "run.drained": Drained,
    "run.cancelled": Cancelled,
    "run.superseded": Superseded,
}
KIND_OF: Mapping[type[Any], str] = {cls: kind for kind, cls in EVENTS.items()}


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

    @property
    def runs(self) -> frozenset[str]:
        """The run itself, and those whose works it took over."""
        return frozenset((self.run, *(w.run for w in self.works)))
