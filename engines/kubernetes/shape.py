"""Two objects of one shape, walked together by the paths of `objects.flat`: parts taken from one, laid over another.
Pure; nothing given is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engines.kubernetes.objects import element, list_keys

Chosen = Callable[[str], bool]
_NOTHING = object()


def laid_over(below: Any, above: Any, name: str = "") -> Any:
    """`below` with everything that `above` says; lists with keys are laid over element by element."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{k: laid_over(below[k], v, str(k)) if k in below else v for k, v in above.items()}}
    if isinstance(below, list | tuple) and isinstance(above, list | tuple):
        keys = list_keys(name, above)
        if keys and keys == list_keys(name, below):
            over = {element(item, keys): item for item in above}
            kept = [laid_over(item, over.pop(element(item, keys), item)) for item in below]
            return [*kept, *over.values()]
    return above


def with_kept(body: Any, live: Any, chosen: Chosen, path: str = "", name: str = "") -> Any:
    """`body` with the live value wherever it says something about a chosen path; without it where nothing is live."""
    if path and chosen(path):
        return live
    if isinstance(body, Mapping):
        inner = live if isinstance(live, Mapping) else {}
        found = {k: with_kept(v, inner.get(k, _NOTHING), chosen, _join(path, k), str(k)) for k, v in body.items()}
        return {k: v for k, v in found.items() if v is not _NOTHING}
    if isinstance(body, list | tuple) and (keys := list_keys(name, body)):
        items = _by_key(live, name, keys)
        found_items = [
            with_kept(v, items.get(element(v, keys), _NOTHING), chosen, _join(path, element(v, keys))) for v in body
        ]
        return [v for v in found_items if v is not _NOTHING]
    return body


def picked(body: Any, live: Any, chosen: Chosen, path: str = "", name: str = "") -> Any:
    """The live values of those chosen leaves that `body` says something about; None where there are none."""
    if live is None:
        return None
    if isinstance(body, Mapping) and body and isinstance(live, Mapping):
        found = {k: picked(v, live.get(k), chosen, _join(path, k), str(k)) for k, v in body.items()}
        return {k: v for k, v in found.items() if v is not None} or None
    if isinstance(body, list | tuple) and (keys := list_keys(name, body)):
        items = _by_key(live, name, keys)
        listed = []
        for item in body:
            key = element(item, keys)
            part = picked(item, items.get(key), chosen, _join(path, key))
            if part is not None:
                listed.append({**{k: items[key][k] for k in keys if k in items[key]}, **part})
        return listed or None
    return live if chosen(path) else None


def _by_key(live: Any, name: str, keys: Sequence[str]) -> dict[str, Any]:
    if isinstance(live, list | tuple) and list_keys(name, live) == tuple(keys):
        return {element(item, keys): item for item in live}
    return {}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def mapped(value: Any, change: Callable[[str, Any], Any], path: str = "", name: str = "") -> Any:
    """`value` with every leaf passed through `change(path, leaf)`."""
    if isinstance(value, Mapping) and value:
        return {k: mapped(v, change, _join(path, k), str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple) and (keys := list_keys(name, value)):
        return [mapped(item, change, _join(path, element(item, keys))) for item in value]
    return change(path, value)
