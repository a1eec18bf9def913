"""Chart hooks: which of a chart's objects run before the rest, and which never run here. Pure.

What comes before an install or upgrade is staged and waited for; what comes after is applied with the rest. Hooks of a
deletion, a rollback or a test are left out: undo puts prior state back, and a test is a person's to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.blueprint.value import Value

HOOK, _WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"
_BEFORE = frozenset({"pre-install", "pre-upgrade"})
_AFTER = frozenset({"post-install", "post-upgrade"})


def moments(body: Mapping[str, Value]) -> frozenset[str]:
    """When a hook runs, in helm's words; empty for what is no hook."""
    return frozenset(part.strip() for part in str(_annotations(body).get(HOOK, "")).split(",") if part.strip())


def is_left_out(body: Mapping[str, Value]) -> bool:
    """True for a hook of nothing that happens here."""
    found = moments(body)
    return bool(found) and not found & (_BEFORE | _AFTER)


def comes_before(body: Mapping[str, Value]) -> bool:
    """True for a hook that must be done before the rest."""
    return bool(moments(body) & _BEFORE)


def unordered(bodies: Sequence[Mapping[str, Value]]) -> bool:
    """True if hooks before the rest ask for an order among themselves, which a stage has not."""
    return len({str(_annotations(b).get(_WEIGHT, "0")) for b in bodies if comes_before(b)}) > 1


def _annotations(body: Mapping[str, Value]) -> Mapping[str, Value]:
    metadata = body.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, Mapping) else {}
