"""What each target has, what is taken now, and what would be taken after the change.

Figures that a platform hides are None and not guessed: without the free amount only the change is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.plan.change import Plan
from controller.plan.resource import Capacity, Claim, ClaimKind, Snapshot


class Measure(StrEnum):
    """What is counted; millicores for CPU, bytes for the rest."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"


_CLAIMS: Mapping[Measure, ClaimKind] = {
    Measure.CPU: ClaimKind.CPU,
    Measure.MEMORY: ClaimKind.MEMORY,
    Measure.DISK: ClaimKind.DISK,
}


@dataclass(frozen=True, slots=True)
class Load:
    """One measure of one target. `total` and `before` are None where the platform hides them; `change` is what the plan
    adds, less what it frees."""

    target: str
    measure: Measure
    total: int | None
    before: int | None
    change: int

    @property
    def after(self) -> int | None:
        return None if self.before is None else self.before + self.change

    @property
    def share(self) -> float | None:
        """Of the total, after the change; 1.0 is full."""
        return self.after / self.total if self.after is not None and self.total else None


def loads(plan: Plan, snapshots: Mapping[str, Snapshot]) -> tuple[Load, ...]:
    """One per target and measure that the plan changes or the target tells, targets by name."""
    found = []
    for target in sorted(snapshots):
        effects = [c.effect for c in plan.changes if c.target == target]
        for measure, kind in _CLAIMS.items():
            change = sum(_amount(e.claims, kind) - _amount(e.frees, kind) for e in effects)
            total, free = _told(snapshots[target].capacity, measure)
            if change or total is not None:
                used = total - free if total is not None and free is not None else None
                found.append(Load(target, measure, total, used, change))
    return tuple(found)


def together(each: Iterable[Load]) -> tuple[Load, ...]:
    """The loads of several scopes on shared targets: one reading of what is there, all their changes."""
    merged: dict[tuple[str, Measure], Load] = {}
    for one in each:
        key = (one.target, one.measure)
        other = merged.get(key)
        change = one.change + (other.change if other else 0)
        total = one.total if other is None or other.total is None else other.total
        before = one.before if other is None or other.before is None else other.before
        merged[key] = Load(one.target, one.measure, total, before, change)
    return tuple(merged.values())


def _amount(claims: Iterable[Claim], kind: ClaimKind) -> int:
    return sum(c.amount for c in claims if c.kind is kind)


def _told(capacity: Capacity, measure: Measure) -> tuple[int | None, int | None]:
    """Total and free."""
    match measure:
        case Measure.CPU:
            return capacity.cpu_millicores, capacity.cpu_millicores_free
        case Measure.MEMORY:
            return capacity.memory_bytes, capacity.memory_bytes_free
        case Measure.DISK:
            return capacity.disk_bytes, capacity.disk_bytes_free


def amount_text(measure: Measure, amount: int | None) -> str:
    """`4 cores`, `12.5 GiB`, `?`."""
    if amount is None:
        return "?"
    if measure is Measure.CPU:
        return f"{_short(amount / 1000)} cores"
    return f"{_short(amount / 2**30)} GiB"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0").replace("-0", "0") if abs(number) < 100 else f"{number:.0f}"
