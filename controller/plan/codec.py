"""Frozen dataclasses of the pure rooms ⇄ JSON, so that plans, steps and receipts may lie in a journal or a history.

Driven by the type hints; markers inside free values (`Value`) are tagged maps such as `{"$secret": …}`. Unknown keys in
what is read are ignored and missing ones take the default, so a newer version reads an older one's journal (I25).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union

from controller.blueprint.value import Output, Secret, Text
from controller.plan.resource import Masked
from controller.plan.step import Sealed

T = TypeVar("T")
Json = Any

_TAGS: dict[str, type] = {"$secret": Secret, "$output": Output, "$text": Text, "$masked": Masked, "$sealed": Sealed}
_PLAIN = frozenset({type(None), bool, int, float, str})
_TAG_OF: dict[type, str] = {cls: tag for tag, cls in _TAGS.items()}


def to_json(value: object) -> Json:
    """JSON for a dataclass of ours or any Value in it. Sets come out sorted, so equal things give equal text."""
    return _written(value, public=False)


def public_json(value: object) -> Json:
    """`to_json` as digests and fingerprints see it: a secret is its reference only, whatever its value is now."""
    return _written(value, public=True)


def _written(value: object, *, public: bool) -> Json:
    kind: Any = type(value)  # hashable, which `type[object]` does not promise
    return value if kind in _PLAIN else _writer(kind, public)(value)


@cache
def _writer(kind: type, public: bool) -> Callable[[Any], Json]:
    """How values of exactly this type are written: found out once, because a plan holds hundreds of thousands."""

    def write(value: object) -> Json:
        return _written(value, public=public)

    if issubclass(kind, bool | int | float | str):
        return (lambda v: v.value) if issubclass(kind, Enum) else (lambda v: v)
    if public and kind is Secret:
        return lambda v: {"$secret": f"{v.ref}@{v.blob}" if v.blob else v.ref}
    if dataclasses.is_dataclass(kind):
        names = tuple(f.name for f in dataclasses.fields(kind))
        tag = _TAG_OF.get(kind)
        if tag is not None:
            return lambda v: {tag: {n: write(getattr(v, n)) for n in names}}
        return lambda v: {n: write(getattr(v, n)) for n in names}
    if issubclass(kind, Mapping):
        return lambda v: {str(k): write(x) for k, x in v.items()}
    if issubclass(kind, frozenset | set):
        return lambda v: sorted((write(x) for x in v), key=str)
    if issubclass(kind, list | tuple):
        return lambda v: [write(x) for x in v]
    if issubclass(kind, Decimal):
        return lambda v: {"$decimal": str(v)}
    if issubclass(kind, date):
        return lambda v: {"$date": v.isoformat()}
    raise TypeError(f"{kind.__name__} has no JSON form here")


def from_json(cls: type[T], data: Json) -> T:
    """The inverse of `to_json`. Raises ValueError or TypeError for data of another shape."""
    return typing.cast(T, _read(cls, data))


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _read(hint: Any, data: Json) -> Any:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(typing.get_args(hint), data)
    if origin is tuple:
        inner = typing.get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_read(inner[0], d) for d in data)
        return tuple(_read(h, d) for h, d in zip(inner, data, strict=True))
    if origin is frozenset:
        return frozenset(_read(typing.get_args(hint)[0], d) for d in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item = typing.get_args(hint)[1]
        return {k: _read(item, v) for k, v in data.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        data = data[_TAG_OF[hint]] if hint in _TAG_OF and _TAG_OF[hint] in data else data
        known = _hints(hint)
        return hint(**{k: _read(known[k], v) for k, v in data.items() if k in known})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    return _read_value(data)


def _read_union(hints: tuple[Any, ...], data: Json) -> Any:
    if data is None:
        return None
    real = [h for h in hints if h is not type(None)]
    if len(real) == 1:
        return _read(real[0], data)
    return _read_value(data)


def _read_value(data: Json) -> Any:
    if isinstance(data, list):
        return tuple(_read_value(d) for d in data)
    if isinstance(data, dict):
        tag = next(iter(data), "") if len(data) == 1 else ""
        if tag == "$decimal":
            return Decimal(data[tag])
        if tag == "$date":
            return date.fromisoformat(data[tag])
        if tag in _TAGS:
            return _read(_TAGS[tag], data[tag])
        return {k: _read_value(v) for k, v in data.items()}
    return data
