"""PURE: what whoever drives a run does next. The local executor and a workflow ask here and carry out the answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from controller.runtime.run import Leg, LegKind, RunState, RunWord
from controller.runtime.run_machine import at_barrier, todos

_CHECKS = (LegKind.CHECK, LegKind.RECHECK)


@dataclass(frozen=True, slots=True)
class Asks:
    """What came from outside and is not answered yet. A driver begins nudged: nobody has looked yet."""

    cancel: str | None = None  # by whom
    nudged: bool = True  # a newer revision may wait
    rest: bool = False  # this process ends: begin nothing more, the next one goes on


@dataclass(frozen=True, slots=True)
class Drain:
    """Nothing is under way: find out about each open intent, then turn round."""


@dataclass(frozen=True, slots=True)
class TurnBack:
    by: str


@dataclass(frozen=True, slots=True)
class LookForNewer:
    """Ask whether a newer revision takes over; if one does and this is still a barrier, stop the checks for it."""


@dataclass(frozen=True, slots=True)
class Carry:
    """Start these legs, then wait until something ends or someone calls."""

    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing that changes anything is under way, and nothing more begins here: leave the run as it is."""


Turn: TypeAlias = Drain | TurnBack | LookForNewer | Carry | Rest


def next_turn(state: RunState, under_way: Collection[Leg], asks: Asks) -> Turn:
    """What to do in a run that has not ended; `under_way` are the legs somebody carries out now."""
    if asks.rest:
        return Rest() if all(leg.kind in _CHECKS for leg in under_way) else Carry(())
    if state.draining and not under_way:
        return Drain()
    if asks.cancel and not state.draining and state.word in (RunWord.RUNNING, RunWord.VERIFYING):
        return TurnBack(asks.cancel)
    checking = all(leg.kind is LegKind.CHECK for leg in under_way)
    if asks.nudged and checking and may_be_superseded(state):
        return LookForNewer()
    return Carry(tuple(leg for leg in todos(state) if leg not in under_way))


def may_be_superseded(state: RunState) -> bool:
    """True where a newer revision may take over now."""
    return not state.draining and at_barrier(state)
