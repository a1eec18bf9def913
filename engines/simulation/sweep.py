"""Parts that a run left behind when nobody remembers it → what ends them. Pure."""

from __future__ import annotations

from controller.plan import sweep as parts
from controller.plan.resource import Claim, ObjectKey, Seen, Snapshot
from controller.plan.step import Effect
from engines.simulation import steps
from engines.simulation.model import is_active
from engines.simulation.record import claims, exclusive, own_name


def sweep(seen: Snapshot, scope: str, install: str) -> tuple[Effect, ...]:
    """See `Engine.sweep`."""
    left = parts.leftovers(seen.objects, install, scope, _own_key, _clash)
    gone = (parts.removal(s, steps.unstaging(s), exclusive(s.claims)) for s in left.staged)
    back = (parts.put_back(s, _own_key(s.key), steps.putting_back(s, _own_key(s.key)), _held(s)) for s in left.stranded)
    return (*back, *gone, *(parts.reported(s, why) for s, why in left.doubtful))


def _own_key(part: ObjectKey) -> ObjectKey:
    return ObjectKey(part.kind, own_name(part.name))


def _held(kept: Seen) -> frozenset[Claim]:
    """The ports and addresses it would take when it runs again."""
    return exclusive(claims(_own_key(kept.key), kept.fields)) if is_active(kept.key.kind) else frozenset()


def _clash(kept: Seen, current: Seen) -> str:
    return next((str(c) for c in sorted(_held(kept)) for o in current.claims if c.collides(o)), "")
