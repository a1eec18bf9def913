"""Random plans, and the smallest thing that can drive the run machine: legs side by side, steps in order."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from controller.blueprint.entry import Disruption, Probe, ProbeKind
from controller.blueprint.value import Output
from controller.plan.change import Change, Plan
from controller.plan.resource import ObjectKey, ResourceId
from controller.plan.step import Action, Effect, Expect, OpId, Phase, Prior, Receipt, ReceiptState, Step
from controller.runtime.run import (
    Acted,
    Begun,
    Cancelled,
    Drained,
    Ended,
    Event,
    Intended,
    Leg,
    LegDone,
    LegFailed,
    LegKind,
    NeverActed,
    OpRef,
    RunState,
    Superseded,
)
from controller.runtime.run_machine import advance, at_barrier, open_intents, todos
from controller.runtime.run_program import steps_of, undo_refs

STAGE, CUT, RETIRE = Phase.STAGE, Phase.CUT, Phase.RETIRE
PROBE = Probe(ProbeKind.RUNNING)
# What engines make: create, replace, write in place, remove, prune, and a stage that waits for an output.
_SHAPES: tuple[tuple[Action, tuple[Phase, ...], bool], ...] = (
    (Action.CREATE, (STAGE, CUT), False),
    (Action.CREATE, (STAGE, CUT), True),
    (Action.CREATE, (STAGE,), False),
    (Action.UPDATE, (STAGE, CUT, CUT, CUT, RETIRE), False),
    (Action.UPDATE, (CUT,), False),
    (Action.DESTROY, (CUT, RETIRE), False),
    (Action.DESTROY, (RETIRE,), False),
    (Action.FORGET, (CUT,), False),
)


def a_step(phase: Phase, name: str, waits: bool = False) -> Step:
    """One request on an object of its own name."""
    request: dict[str, object] = {"call": "x"}
    if waits:
        request["from"] = Output("s/b/other", "id")
    return Step(phase, ObjectKey("t/thing", name), Expect(), request)


def a_change(
    number: int, wave: int, action: Action, phases: Sequence[Phase], *, waits: bool = False, probe: bool = True
) -> Change:
    """A change of resource `r<number>`; with `waits` its stage needs another's output."""
    name = f"r{number}"
    steps = tuple(a_step(p, name, waits and p is STAGE) for p in phases)
    resource, key = ResourceId("s", "b", name), ObjectKey("t/thing", name)
    effect = Effect(resource, key, action, Disruption.RESTART, steps=steps, probe=PROBE if probe else None)
    return Change(effect, "one", wave)


def a_plan(*changes: Change) -> Plan:
    return Plan("s", "rev", changes, "digest", "fingerprint")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to six changes in up to three waves; removals after all others, as the planner puts them."""
    count = draw(st.integers(0, 6))
    changes = []
    for number in range(count):
        action, phases, waits = draw(st.sampled_from(_SHAPES))
        wave = draw(st.integers(0, 2)) + (3 if action in (Action.DESTROY, Action.FORGET) else 0)
        changes.append(a_change(number, wave, action, phases, waits=waits, probe=draw(st.booleans())))
    return a_plan(*sorted(changes, key=lambda c: c.wave))


@dataclass
class Fate:
    """How often things go wrong, each in 0 … 1. One random source, so that equal seeds tell equal stories."""

    chance: random.Random
    step: float = 0.0
    check: float = 0.0
    retire: float = 0.0
    undo: float = 0.0
    cancel: float = 0.0
    supersede: float = 0.0

    def strikes(self, how_often: float) -> bool:
        return self.chance.random() < how_often


@dataclass
class Driven:
    """One run on its way: every event, the state after it, and the order in which requests left."""

    fate: Fate
    state: RunState
    events: list[Event]
    states: list[RunState]
    sent: list[OpRef] = field(default_factory=list)
    legs: dict[Leg, Generator[None, None, None]] = field(default_factory=dict)

    @classmethod
    def begin(cls, begun: Begun, fate: Fate) -> Driven:
        state, _ = advance(None, begun)
        return cls(fate, state, [begun], [state])

    def to_the_end(self) -> Driven:
        """Until the machine says that it is over. Bounded: a machine that never ends is a failure of the test."""
        for _ in range(2000):
            if self.state.word.ended:
                return self
            self.turn()
        raise AssertionError(f"not over after {len(self.events)} events: {self.state.word}")

    def turn(self) -> None:
        """One thing happens."""
        if self._interrupted():
            return
        for leg in todos(self.state):
            self.legs.setdefault(leg, self._leg(leg))
        if not self.legs:
            assert self.state.draining, "nothing to do, and not at an end"
            self._drain()
            return
        leg = self.fate.chance.choice(sorted(self.legs))
        try:
            next(self.legs[leg])
        except StopIteration:
            del self.legs[leg]

    def tell(self, event: Event) -> None:
        if isinstance(event, Intended):
            self.sent.append(event.ref)
        self.state, _ = advance(self.state, event)
        self.events.append(event)
        self.states.append(self.state)

    def _interrupted(self) -> bool:
        if self.fate.strikes(self.fate.cancel):
            self.tell(Cancelled("someone"))
            return True
        free = not self.legs and not self.state.draining and at_barrier(self.state)
        if free and self.fate.strikes(self.fate.supersede):
            self.tell(Superseded("run-2"))
            return True
        return False

    def _drain(self) -> None:
        for ref in open_intents(self.state):
            acted = self.fate.strikes(0.5)
            self.tell(Acted(ref, receipt(ref)) if acted else NeverActed(ref))
        self.tell(Drained())

    def _leg(self, leg: Leg) -> Generator[None, None, None]:
        yield
        if leg not in todos(self.state):
            return
        if leg.kind in (LegKind.CHECK, LegKind.RECHECK):
            bad = self.fate.strikes(self.fate.check if leg.kind is LegKind.CHECK else self.fate.undo)
            self.tell(LegFailed(leg, "not healthy") if bad else LegDone(leg))
            return
        for ref in self._refs(leg):
            if self.state.draining and ref.undo < 0:
                return
            yield from self._op(leg, ref)
            if not self._goes_on(leg, ref):
                return
        self.tell(LegDone(leg))

    def _refs(self, leg: Leg) -> list[OpRef]:
        if leg.kind in (LegKind.UNDO, LegKind.CLEAN):
            return [OpRef(r.work, r.step, 0) for r in undo_refs(self.state, leg)]
        return [OpRef(leg.work, n) for n, _ in steps_of(self.state, leg)]

    def _op(self, leg: Leg, ref: OpRef) -> Generator[None, None, None]:
        self.tell(Intended(ref, Prior(uid="u")))
        yield
        if not self.fate.strikes(self._risk(leg)):
            self.tell(Acted(ref, receipt(ref)))
            yield
            self.tell(Ended(ref, receipt(ref)))
            return
        how = self.fate.chance.choice(("never", "acted", "lost") if ref.undo < 0 else ("never", "acted"))
        if how == "never":
            self.tell(NeverActed(ref))
        elif how == "acted":
            self.tell(Acted(ref, receipt(ref, ReceiptState.FAILED)))
        self.tell(LegFailed(leg, f"{ref} failed"))

    def _risk(self, leg: Leg) -> float:
        if leg.kind is LegKind.RETIRE:
            return self.fate.retire
        return self.fate.undo if leg.kind in (LegKind.UNDO, LegKind.CLEAN) else self.fate.step

    def _goes_on(self, leg: Leg, ref: OpRef) -> bool:
        op = self.state.ops.get(ref)
        return op is not None and op.over


def receipt(ref: OpRef, state: ReceiptState = ReceiptState.DONE) -> Receipt:
    return Receipt(OpId(f"op{ref.work}-{ref.step}-{ref.undo}"), state, uid="u")


def phase_of(state: RunState, ref: OpRef) -> Phase:
    return state.works[ref.work].change.effect.steps[ref.step].phase
