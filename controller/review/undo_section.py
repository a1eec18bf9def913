"""What undo would do if the run failed, and what it could not bring back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.plan.change import Plan
from controller.plan.step import Action
from controller.review.wording import many

_WAYS: Mapping[Action, str] = {
    Action.CREATE: "created: taken away again",
    Action.UPDATE: "updated: the recorded values are put back",
    Action.RECREATE: "made anew: the old one is kept until everything is verified, and brought back",
    Action.DESTROY: "to destroy: stopped only, and started again; nothing is removed before everything is verified",
    Action.ADOPT: "adopted: the mark is taken off",
    Action.FORGET: "to forget: the mark is put back",
}


@dataclass(frozen=True, slots=True)
class Undo:
    """One line per kind of change, and one per thing that does not come back: resource and what is lost."""

    ways: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]


def undo(plans: Sequence[Plan]) -> Undo:
    """What holds for these plans."""
    counts = {a: sum(p.count(a) for p in plans) for a in Action}
    effects = [c.effect for p in plans for c in p.changes]
    lost = [(str(e.resource), text) for e in effects for text in e.lost]
    lost += [(str(e.resource), "has a step without an inverse") for e in effects if e.irreversible and not e.lost]
    return Undo(tuple(f"{many(n, 'resource')} {_WAYS[a]}" for a, n in counts.items() if n), tuple(lost))
