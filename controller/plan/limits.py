"""What may run without asking: budget of destruction (I17), maintenance windows, and the gate (I2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from cronsim import CronSim

from controller.blueprint.entry import Disruption
from controller.plan.change import Change, Clearance, ClearedBy, Plan
from controller.plan.step import Action


class Gate(StrEnum):
    STRICT = "strict"
    DESTRUCTIVE = "destructive"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class PruneLimits:
    """A plan that deletes more waits for `--confirm DIGEST`; percent counts from `percent_from` objects on."""

    max_count: int = 10
    max_percent: int = 25
    percent_from: int = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Changes more disruptive than `above` wait for the next opening."""

    cron: str
    length_s: int
    timezone: str
    above: Disruption


@dataclass(frozen=True, slots=True)
class Listed:
    """What a person saw and allowed: this change of this object, no more severe than this."""

    resource: str
    key: str
    uid: str | None
    action: Action
    disruption: Disruption

    @classmethod
    def of(cls, change: Change) -> Listed:
        e = change.effect
        return cls(str(e.resource), str(e.key), e.uid, e.action, e.disruption)

    def covers(self, change: Change) -> bool:
        """Same resource, object, uid and action, disruption no milder than what would happen now (I2)."""
        e = change.effect
        same = (self.resource, self.key, self.uid, self.action) == (str(e.resource), str(e.key), e.uid, e.action)
        return same and e.disruption.rank <= self.disruption.rank


@dataclass(frozen=True, slots=True)
class Allowance:
    """One act of clearing: a merged review or a confirmation, with what it listed."""

    by: ClearedBy
    who: str
    reference: str
    listed: frozenset[Listed]
    digest: str = ""  # of the plan a person confirmed as a whole: what `strict` asks for


def over_budget(plan: Plan, limits: PruneLimits) -> str | None:
    """Why this plan deletes too much to run unasked, or None."""
    gone = plan.count(Action.DESTROY)
    if not gone:
        return None
    if plan.wanted == 0:
        return f"the desired state is empty: all {gone} objects of {plan.scope} would be deleted"
    owned = plan.total - plan.count(Action.CREATE)
    if gone > limits.max_count:
        return f"{gone} objects would be deleted, more than the {limits.max_count} allowed"
    if owned >= limits.percent_from and gone * 100 > owned * limits.max_percent:
        return f"{gone} of {owned} objects would be deleted, more than the {limits.max_percent} % allowed"
    return None


def clear(plan: Plan, allowances: Sequence[Allowance]) -> Plan:
    """The plan with every destructive change marked by the first allowance that covers it."""
    return replace(plan, changes=tuple(_cleared(c, allowances) for c in plan.changes))


def _cleared(change: Change, allowances: Iterable[Allowance]) -> Change:
    if not change.destructive:
        return change
    for one in sorted(allowances, key=lambda a: change.effect.asks and a.by is ClearedBy.REVIEW):
        if any(listed.covers(change) for listed in one.listed):
            return replace(change, cleared_by=Clearance(one.by, one.who, one.reference))
    return change


def uncleared(plan: Plan, gate: Gate) -> tuple[Change, ...]:
    """Destructive changes nobody cleared; under `off` only the budget of I17 counts, and what always asks."""
    if gate is Gate.OFF:
        return unasked(plan)
    return tuple(c for c in plan.changes if (c.destructive and c.cleared_by is None) or c.unasked)


def unasked(plan: Plan) -> tuple[Change, ...]:
    """Changes that a person must still say yes to, whatever was reviewed."""
    return tuple(c for c in plan.changes if c.unasked)


def asked_for(changes: Iterable[Change]) -> str:
    """What a person is asked, where some of `changes` always ask; else empty."""
    names = ", ".join(sorted({str(c.effect.key) for c in changes if c.unasked})[:5])
    return f"everything in {names} would go with it; only a person can say yes to that" if names else ""


def digest_differs(plan: Plan, gate: Gate, reviewed: Collection[str]) -> bool:
    """`strict`: what runs has a digest that was reviewed, else nothing runs."""
    return gate is Gate.STRICT and bool(plan.changes) and plan.digest not in reviewed


def heal_must_wait_for(plan: Plan) -> tuple[Change, ...]:
    """What a heal must not do by itself: anything beyond creating what is missing and changes up to `restart`."""
    return tuple(
        c
        for c in plan.changes
        if c.effect.action not in (Action.CREATE, Action.UPDATE)
        or c.effect.disruption.rank > Disruption.RESTART.rank
        or c.effect.irreversible
    )


def opens_at(plan: Plan, windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the plan may run: None for now. `now` is aware. A plan milder than every window's `above` never waits; any
    open window lets it run."""
    binding = [w for w in windows if plan.disruption.rank > w.above.rank]
    if not binding or any(_open(w, now) for w in binding):
        return None
    return min(_next(w, now) for w in binding)


def _open(window: Window, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(window.timezone))
    length = timedelta(seconds=window.length_s)
    # The last start before now: the first one after (now - length), if it is not in the future.
    return next(CronSim(window.cron, local - length)) <= local


def _next(window: Window, now: datetime) -> datetime:
    return next(CronSim(window.cron, now.astimezone(ZoneInfo(window.timezone))))
