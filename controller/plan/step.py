"""What is to be sent: steps and effects made by an engine's `preview`, and what comes back when they run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NewType, Protocol

from controller.blueprint.entry import Disruption, Probe
from controller.blueprint.value import Value
from controller.blueprint.value import replace as substitute
from controller.plan.resource import NO_FIELDS, Claim, Fields, ObjectKey, ResourceId

OpId = NewType("OpId", str)
RUN = "${run}"  # in a step's key or request: the short id of the run, filled when it starts


class Phase(StrEnum):
    STAGE = "stage"  # nobody notices, can be taken away: pull, create beside, clone, snapshot
    CUT = "cut"  # users notice; has an inverse, or the plan said that it has none
    RETIRE = "retire"  # removes for good; only after every engine of the run is verified


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    RECREATE = "recreate"
    DESTROY = "destroy"
    ADOPT = "adopt"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Prior state under authenticated encryption (I27); `blob` is text, opened only where `do` runs."""

    blob: str


@dataclass(frozen=True, slots=True)
class Expect:
    """What must still be true right before a step: nothing there under the key, or this uid whose fields touched
    here still read as planned. Versions are never planned. `Expect()` expects nothing (a pull)."""

    absent: bool = False
    uid: str | None = None
    fields: Fields = field(default_factory=lambda: NO_FIELDS)


@dataclass(frozen=True, slots=True)
class Step:
    """One mutating request, complete but for `Secret(ref)`, `Sealed(blob)` (what undo puts back) and
    `Output(resource, key)` in it. `request["call"]` names the request in the engine's own words."""

    phase: Phase
    key: ObjectKey
    expects: Expect
    request: Mapping[str, Value]
    reversible: bool = True
    check: Probe | None = None  # waited for right after this step; None: only at the end of its wave

    def for_run(self, short_run_id: str) -> Step:
        """This step with `${run}` filled in its key and request."""
        name = self.key.name.replace(RUN, short_run_id)
        request = substitute(self.request, lambda v: v.replace(RUN, short_run_id) if isinstance(v, str) else v)
        assert isinstance(request, dict)
        return replace(self, key=replace(self.key, name=name), request=request)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One line of a plan. `sensitive`: both sides are shown as `(secret)`, whatever they hold. `by`: who but us set the
    live value, and when, where the platform tells it."""

    path: str
    before: Value
    after: Value
    sensitive: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one object needs, and all that the pure planner has to know about it.

    No steps means in sync (`reason` may then tell something worth showing, as "newer image"). `probe` is what the
    end of the wave waits for: the blueprint's, else what the engine knows of the object; None: nothing to wait for.
    """

    resource: ResourceId
    key: ObjectKey  # one Effect per object; a resource may own several
    action: Action
    disruption: Disruption
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    claims: frozenset[Claim] = frozenset()
    lost: tuple[str, ...] = ()  # what no undo brings back
    steps: tuple[Step, ...] = ()
    uid: str | None = None  # of the object that is changed or destroyed; what a clearance is bound to
    probe: Probe | None = None
    ran_before: bool = True  # False: an undo leaves it stopped as it was, and waits for no health
    down_s: int | None = None  # announced gap for users, seconds
    pins: Mapping[str, str] = field(default_factory=dict)  # NAME:TAG → digest this preview resolved (Desired.pins)
    frees: frozenset[Claim] = frozenset()  # claims the object holds now and its CUT lets go
    order: int = 0  # of destroys between which no edge is known: lower first (containers, then networks, volumes)
    bookkeeping: bool = False  # a record ALMA keeps on the target: carried out first and last, shown, never counted
    asks: bool = (
        False  # takes along what others may keep in it: a person confirms the run, whatever gate and review say
    )

    @property
    def irreversible(self) -> bool:
        return any(s.phase is Phase.CUT and not s.reversible for s in self.steps)


@dataclass(frozen=True, slots=True)
class Prior:
    """What `inverse` needs, read as late as possible. Secret values only as `Sealed`. `version` is what `do` writes
    against."""

    uid: str | None = None
    version: str | None = None
    state: Mapping[str, Value] = field(default_factory=dict)


class ReceiptState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task of a platform as people are told of it; `url` is empty where the platform has no page for it."""

    id: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """An answer to one step. `task` is the platform's task id, or the op id where it has none; `task_url` a page of the
    platform where a person can follow it, empty where there is none; `message` is redacted and at most 4 KiB;
    `progress` is 0…100 or None."""

    op: OpId
    state: ReceiptState
    task: str | None = None
    uid: str | None = None
    outputs: Fields = field(default_factory=lambda: NO_FIELDS)
    progress: int | None = None
    message: str = ""
    task_url: str = ""


class Fence(Protocol):
    """The right to mutate, held by this process for this scope (I14)."""

    @property
    def epoch(self) -> int: ...

    def holds(self) -> bool:
        """True if the lease surely outlives one more call. Unsure means False."""
        ...


def op_id(run: str, target: str, key: ObjectKey, number: int, *, undo: bool = False) -> OpId:
    """12 base32 letters of SHA-256(run, target, key, step number, do|undo): a resumed run draws the same."""
    text = "\n".join((run, target, str(key), str(number), "undo" if undo else "do"))
    return OpId(base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:12])
