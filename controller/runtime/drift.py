"""Drift: what is not as we left it, and how often healing may answer (I18)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from controller.plan.change import Plan
from controller.runtime.clock import Clock
from controller.runtime.records import DriftItem, ScopeRecord

_WITHIN_S = 600.0
_MOST = 6  # heals of one scope within ten minutes; then it is contested
_FIRST_DELAY_S = 5.0


class HealBudget:
    """Growing delay between heals of one scope, then "contested" until it is calm again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: dict[str, list[float]] = {}

    def held_back(self, record: ScopeRecord) -> str:
        """Why this scope may not be healed right now; empty if it may."""
        if record.contested:
            return "contested: something else keeps changing what was healed"
        times = self._recent(record.scope)
        if len(times) >= _MOST:
            return f"contested: healed {len(times)} times within {_WITHIN_S / 60:.0f} minutes"
        return f"healed just now, again after {_delay_s(times):.0f} s" if self.left_s(record.scope) > 0 else ""

    def left_s(self, scope: str) -> float:
        """Seconds until the growing delay after the last heal is over; 0 if it is."""
        times = self._recent(scope)
        return max(0.0, times[-1] + _delay_s(times) - self._clock.now_s()) if times else 0.0

    def is_contested(self, scope: str) -> bool:
        return len(self._recent(scope)) >= _MOST

    def spend(self, scope: str) -> None:
        """A heal begins."""
        self._times.setdefault(scope, []).append(self._clock.now_s())

    def calm(self, scope: str) -> None:
        """Forget heals that are long ago; called when the scope is in sync."""
        if not self._recent(scope):
            self._times.pop(scope, None)

    def reset(self, scope: str) -> None:
        """A person looked at it."""
        self._times.pop(scope, None)

    def _recent(self, scope: str) -> list[float]:
        floor_s = self._clock.now_s() - _WITHIN_S
        return [t for t in self._times.get(scope, []) if t > floor_s]


def _delay_s(times: Sequence[float]) -> float:
    return _FIRST_DELAY_S * 2.0 ** (len(times) - 1)


def drift_items(plan: Plan, before: Sequence[DriftItem], now: datetime) -> tuple[DriftItem, ...]:
    """What drifted, since when it is known (kept from `before` for what was known already)."""
    since = {(d.resource, d.target): d.since for d in before}
    items = []
    for change in plan.changes:
        e = change.effect
        key = (str(e.resource), change.target)
        fields = tuple(f.path for f in e.fields) or (str(e.action),)
        by = tuple(dict.fromkeys(f.by for f in e.fields if f.by))
        items.append(DriftItem(key[0], e.key.kind, change.target, fields, since.get(key, now.isoformat()), by))
    return tuple(items)
