"""A plan: ordered changes with a digest. Immutable and so specific that a run has nothing left to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.blueprint.entry import Disruption
from controller.errors import Place
from controller.plan.resource import ResourceId
from controller.plan.step import Action, Effect


class ClearedBy(StrEnum):
    REVIEW = "review"  # a merged pull request listed it
    CONFIRM = "confirm"  # a person with the role confirmed this run
    CALLER = "caller"  # `alma deploy`: the caller's own credentials are the authority (I1)


@dataclass(frozen=True, slots=True)
class Clearance:
    """Who allowed a destructive change, and by what."""

    by: ClearedBy
    who: str
    reference: str = ""  # `infra#12`, a run id


@dataclass(frozen=True, slots=True)
class Change:
    """One object's part of a plan, complete enough that the run has nothing left to decide."""

    effect: Effect
    target: str
    wave: int
    cleared_by: Clearance | None = None
    place: Place | None = None  # where the entry stands; None for one that is gone

    @property
    def destructive(self) -> bool:
        """Must be cleared under `gate: destructive` (I2)."""
        e = self.effect
        return (
            e.action in (Action.DESTROY, Action.RECREATE, Action.ADOPT)
            or e.disruption in (Disruption.RECREATE, Disruption.DATA_LOSS)
            or e.irreversible
        )

    @property
    def unasked(self) -> bool:
        """A person must say yes to this run, and nobody has yet: a merged review is none."""
        return self.effect.asks and (self.cleared_by is None or self.cleared_by.by is ClearedBy.REVIEW)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth showing that changes nothing: a newer image, a pending restart, a secret not compared."""

    resource: ResourceId
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in (wave, resource, key) order. `edges` maps a resource id to those it depends on, as far as both are
    in the scope; `total` counts the objects the scope owns or wants on all targets."""

    scope: str
    revision: str
    changes: tuple[Change, ...]
    digest: str
    fingerprint: str  # of the rendered desired state: what quarantine holds
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    total: int = 0
    wanted: int = 0

    @property
    def disruption(self) -> Disruption:
        """The most severe of all changes."""
        return max((c.effect.disruption for c in self.changes), key=lambda d: d.rank, default=Disruption.NONE)

    def count(self, action: Action) -> int:
        """How many changes have this action; a record that ALMA keeps for itself is none."""
        return sum(1 for c in self.changes if c.effect.action is action and not c.effect.bookkeeping)
