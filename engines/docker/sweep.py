"""Containers that a run left behind when nobody remembers it → what ends them. Pure."""

from __future__ import annotations

from controller.plan import sweep as parts
from controller.plan.resource import Claim, Seen, Snapshot
from controller.plan.step import Effect
from engines.docker import container, observe, steps


def sweep(seen: Snapshot, scope: str, install: str) -> tuple[Effect, ...]:
    """See `Engine.sweep`."""
    left = parts.leftovers(seen.objects, install, scope, observe.own_key, _clash)
    gone = (parts.removal(s, steps.unstage(s), s.claims) for s in left.staged)
    back = (
        parts.put_back(s, observe.own_key(s.key), steps.put_back(s, observe.own_key(s.key)), _held(s))
        for s in left.stranded
    )
    return (*back, *gone, *(parts.reported(s, why) for s, why in left.doubtful))


def _held(kept: Seen) -> frozenset[Claim]:
    """What it takes when it runs again."""
    return container.claims(kept.fields, observe.own_key(kept.key).name)


def _clash(kept: Seen, current: Seen) -> str:
    """A port or address; or a mount that both write to: after a rename the other may be what this one became."""
    taken = [c for c in sorted(_held(kept)) for o in current.claims if c.collides(o)]
    if taken:
        return str(taken[0])
    both = sorted(_written(kept) & _written(current))
    return f"mount {both[0]}" if both else ""


def _written(seen: Seen) -> frozenset[str]:
    mounts = (str(m) for m in container.below(seen.fields, "mounts").values())
    return frozenset(":".join(m.split(":")[:2]) for m in mounts if container.writable(m))
