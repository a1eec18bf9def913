"""Values that are not there yet: what a blueprint may write instead of a literal.

A `Value` is JSON (exact: int or Decimal, never float) that may hold these markers at any depth. They stay
references through plan, digest, journal and comment; only the worker that sends a request fills them in (I27).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# JSON plus the markers below. `object` and not a recursive union: mypy then asks for an isinstance at each use.
Value: TypeAlias = object


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference such as `env:APP_PASSWORD` or `sops:prod/app.yaml#password`. `keyed_hash` is what live values are
    compared by (HMAC under the server's key, None: not compared); it never enters a digest. `blob` is the id of the
    encrypted file it stands in: a digest holds it, so what runs is what was reviewed (I2)."""

    ref: str
    keyed_hash: str | None = field(default=None, compare=False)
    blob: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Output:
    """What another resource will tell once it is there: `${resources.db.outputs.address}`.
    `resource` is a full id, `scope/blueprint/resource`."""

    resource: str
    key: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text with markers in it: `postgres://app:${…}@${…}/app`. Parts are str, Secret or Output."""

    parts: tuple[str | Secret | Output, ...]


Marker: TypeAlias = Secret | Output | Text


def markers(value: Value) -> Iterator[Secret | Output]:
    """Every Secret and Output in `value`, at any depth, in order of appearance."""
    if isinstance(value, Secret | Output):
        yield value
    elif isinstance(value, Text):
        yield from (p for p in value.parts if not isinstance(p, str))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from markers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from markers(item)


def secrets_in(value: Value, path: str = "") -> Iterator[tuple[str, Secret]]:
    """Every Secret in `value` with its dotted path (`specs.env.PASSWORD`), in order of appearance."""
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, Text):
        yield from ((path, p) for p in value.parts if isinstance(p, Secret))
    elif isinstance(value, Mapping | list | tuple):
        below = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in below:
            yield from secrets_in(item, f"{path}.{key}" if path else str(key))


def replace(value: Value, fill: Callable[[object], object]) -> Value:
    """`value` with every leaf that is not a container passed through `fill`; `Text` parts too, then joined when
    nothing but text is left."""
    if isinstance(value, Text):
        parts = tuple(fill(p) for p in value.parts)
        if all(isinstance(p, str | int) for p in parts):
            return "".join(str(p) for p in parts)
        return Text(tuple(p if isinstance(p, Secret | Output) else str(p) for p in parts))
    if isinstance(value, Mapping):
        return {k: replace(v, fill) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(replace(v, fill) for v in value)
    return fill(value)
