"""Cycles in a graph of names. Without recursion: chains may be thousands long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SHOWN_MAX = 12
_REPORTED_MAX = 10


def cycles(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Cycles of `edges` (from each name to those it needs), none sharing a name with another, at most ten. Each starts
    at its smallest name; the name it returns to is not repeated. Empty exactly when there is no cycle."""
    left = _peeled({name: {n for n in needs if n in edges} for name, needs in edges.items()})
    found: list[tuple[str, ...]] = []
    while left and len(found) < _REPORTED_MAX:
        cycle = _walk(left)
        found.append(cycle)
        gone = frozenset(cycle)
        left = _peeled({name: needs - gone for name, needs in left.items() if name not in gone})
    return found


def shown_cycle(cycle: tuple[str, ...]) -> str:
    """`a → b → a`, the middle of a long one counted."""
    if len(cycle) <= _SHOWN_MAX:
        return " → ".join((*cycle, cycle[0]))
    head, tail = cycle[: _SHOWN_MAX - 2], cycle[-1]
    return " → ".join((*head, f"… {len(cycle) - len(head) - 1} more …", tail, cycle[0]))


def _peeled(needs: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without every name that waits for nobody, again and again: what is left leads into a cycle."""
    needed_by: dict[str, list[str]] = {}
    for name, others in needs.items():
        for other in others:
            needed_by.setdefault(other, []).append(name)
    waiting = {name: len(others) for name, others in needs.items()}
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        gone = ready.pop()
        del waiting[gone]
        for name in needed_by.get(gone, ()):
            waiting[name] -= 1
            if not waiting[name]:
                ready.append(name)
    return {name: {o for o in needs[name] if o in waiting} for name in waiting}


def _walk(left: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Follow the smallest need of each name until one comes again."""
    at: dict[str, int] = {}
    path: list[str] = []
    name = min(left)
    while name not in at:
        at[name] = len(path)
        path.append(name)
        name = min(left[name])
    ring = path[at[name] :]
    start = ring.index(min(ring))
    return tuple(ring[start:] + ring[:start])
