"""Three-way comparison: what is wanted, what is there, and which paths we set last (design.md 7).

A path we set and the blueprint dropped is unset; a path in neither is not compared; what a platform fills in by itself
is therefore never drift.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from controller.blueprint.value import Secret, Text, Value, markers
from controller.plan.resource import Fields, Masked
from controller.plan.step import FieldChange

UNSET = None


def covers(pattern: str, path: str) -> bool:
    """True if `path` is `pattern` or lies below it."""
    return path == pattern or path.startswith(pattern + ".")


def without(changes: Iterable[FieldChange], ignored: Collection[str]) -> tuple[FieldChange, ...]:
    """The changes that no `lifecycle.ignore` pattern covers."""
    return tuple(c for c in changes if not any(covers(p, c.path) for p in ignored))


def holds_secret(value: Value) -> bool:
    return isinstance(value, Masked) or any(isinstance(m, Secret) for m in markers(value))


def agrees(wanted: Value, live: Value) -> bool:
    """True if `live` is what `wanted` asks for. What cannot be compared (a secret without key, an output not known
    yet) agrees: it never makes a change by itself."""
    if isinstance(live, Masked):
        known = wanted.keyed_hash if isinstance(wanted, Secret) else None
        return known is None or live.keyed_hash is None or known == live.keyed_hash
    if isinstance(wanted, Text) or any(True for _ in markers(wanted)):
        return True
    return _plain(wanted) == _plain(live)


def three_way(
    wanted: Fields, live: Fields, set_before: Collection[str], ignored: Collection[str] = ()
) -> tuple[FieldChange, ...]:
    """Changes that take `live` to `wanted`, in path order. `set_before`: paths the mark says we set."""
    changes = [
        FieldChange(path, live.get(path), value, holds_secret(value) or holds_secret(live.get(path)))
        for path, value in wanted.items()
        if path not in live or not agrees(value, live[path])
    ]
    changes += [
        FieldChange(path, live[path], UNSET, holds_secret(live[path]))
        for path in set_before
        if path not in wanted and live.get(path) is not None
    ]
    return without(sorted(changes, key=lambda c: c.path), ignored)


def _plain(value: Value) -> Value:
    """Tuples and lists alike, maps by content."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value
