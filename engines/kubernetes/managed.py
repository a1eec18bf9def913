"""`metadata.managedFields`: which fields a manager set, as paths and as an object. Pure.

The format is that of structured-merge-diff: `f:NAME` a field, `k:{…}` an element of a list by its keys, `v:…` a value
of a set, `.` the thing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from engines.kubernetes.objects import DEFAULTS, Raw

MANAGER = "alma"
_ITSELF = "."


def paths(found: Raw, manager: str = MANAGER) -> frozenset[str]:
    """Paths that `manager` set by apply, as `objects.flat` writes them."""
    return frozenset(p for entry in _entries(found, manager, "Apply") for p in _paths(entry, ""))


def others(found: Raw, path: str) -> tuple[str, ...]:
    """Who else set `path` last, sorted; their writes to status do not count."""
    names = {
        str(entry.get("manager"))
        for entry in found["metadata"].get("managedFields") or ()
        if not _is_ours(entry) and not entry.get("subresource") and _sets(entry.get("fieldsV1") or {}, path)
    }
    return tuple(sorted(names))


def writer(found: Raw, path: str) -> str:
    """Who but us wrote `path` last, and when: `kubectl-edit at 2026-01-02T03:04:05Z`; empty where nobody did."""
    entries = [e for e in found["metadata"].get("managedFields") or () if not _is_ours(e) and not e.get("subresource")]
    told = [(str(e.get("time")), str(e.get("manager"))) for e in entries if _sets(e.get("fieldsV1") or {}, path)]
    return f"{max(told)[1]} at {max(told)[0]}" if told else ""


def _sets(fields: Raw, path: str) -> bool:
    return any(path == p or path.startswith(f"{p}.") or p.startswith(f"{path}.") for p in _paths(fields, ""))


def own(found: Raw, manager: str = MANAGER) -> dict[str, Any]:
    """The part of a live object that `manager` set by apply: what it would apply to change nothing."""
    result: dict[str, Any] = {}
    for entry in _entries(found, manager, "Apply"):
        _merge(result, _extract(entry, found))
    return result


def _entries(found: Raw, manager: str, operation: str) -> Iterator[Raw]:
    for entry in found["metadata"].get("managedFields") or ():
        same = (entry.get("manager"), entry.get("operation")) == (manager, operation)
        if same and not entry.get("subresource"):
            yield entry.get("fieldsV1") or {}


def _is_ours(entry: Raw) -> bool:
    return (entry.get("manager"), entry.get("operation")) == (MANAGER, "Apply")


def _paths(fields: Raw, at: str) -> Iterator[str]:
    for name, below in fields.items():
        if name == _ITSELF:
            continue
        path = f"{at}.{_element(name)}" if at else _element(name)
        inner = [key for key in below if key != _ITSELF]
        if inner:
            yield from _paths(below, path)
        else:
            yield path


def _element(name: str) -> str:
    if name.startswith("f:"):
        return name[2:]
    if name.startswith("k:"):
        return "/".join(str(v) for v in json.loads(name[2:]).values())
    return str(json.loads(name[2:])) if name.startswith("v:") else name


def _extract(fields: Raw, value: Any) -> Any:
    """The part of `value` that `fields` names."""
    inner = {name: below for name, below in fields.items() if name != _ITSELF}
    if not inner:
        return value
    if isinstance(value, Mapping):
        return {
            name[2:]: _extract(below, value[name[2:]])
            for name, below in inner.items()
            if name.startswith("f:") and name[2:] in value
        }
    if isinstance(value, list):
        return [picked for name, below in inner.items() for picked in _elements(name, below, value)]
    return value


def _elements(name: str, below: Raw, items: list[Any]) -> Iterator[Any]:
    if name.startswith("k:"):
        keys = json.loads(name[2:])
        for item in items:
            if isinstance(item, Mapping) and all(item.get(k) == v for k, v in keys.items()):
                # The keys of an element tell which one it is, whether we own them or not; what is at its default may
                # be left out, and would become ours if it were not.
                said = {k: v for k, v in keys.items() if f"f:{k}" in below or DEFAULTS.get(k) != v}
                yield {**said, **_extract(below, item)}
    elif name.startswith("v:"):
        wanted = json.loads(name[2:])
        yield from (item for item in items if item == wanted)
    elif name.startswith("i:"):
        yield items[int(name[2:])]


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
