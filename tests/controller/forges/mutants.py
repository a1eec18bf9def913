"""Documents with one field that is something else, and bodies that are no such document at all (D18)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

REPLACEMENTS: tuple[object, ...] = (
    None,
    7,
    -1,
    0,
    1.5,
    10**30,
    True,
    "x",
    "",
    "x" * 10_000,
    "refs/heads/\u202eevil",
    [],
    [1],
    {},
    {"id": 1},
)
MISSING = object()


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, containers too."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def with_change(payload: dict[str, Any], path: tuple[str | int, ...], new: object) -> dict[str, Any]:
    mutant = copy.deepcopy(payload)
    holder: Any = mutant
    for key in path[:-1]:
        holder = holder[key]
    if new is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return mutant


BODIES = [
    b"",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"{}",
    b"{",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"a":NaN}',
    b'{"\\ud800":1}',
    b"[" * 100_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b"payload=%7B%7D",
]
