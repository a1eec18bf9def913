"""Values → YAML that `document` reads back as the same values: block style, text quoted where YAML could mistake it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from controller.blueprint.value import Output, Secret, Text, Value

# Text that stays as it is: begins with a letter, a slash or a dot and cannot be a number, a flag or a mark of YAML.
_BARE = re.compile(r"[A-Za-z/._](?:[A-Za-z0-9/._@+-]|:(?=[^\s]))*(?: [A-Za-z0-9/._@+-]+)*")
_SIZE = re.compile(r"[0-9]{1,9}[KMGT]i?B")
_READ_OTHERWISE = re.compile(r"(?i)(?:true|false|null|yes|no|on|off|\.inf|\.nan|[.+-]?[0-9][0-9._]*(?:e[+-]?[0-9]+)?)")


def yaml_text(value: Value) -> str:
    """`value` as a YAML document with a line end. Markers come out as a blueprint writes them."""
    return "".join(f"{line}\n" for line in _lines(_written(value), 0))


def flow_text(value: Value, *, quoted: bool = False) -> str:
    """`value` on one line, as it stands inside a flow: `{enabled: true, days: 30}`. `quoted`: as JSON."""
    given = _written(value)
    if isinstance(given, Mapping):
        pairs = (f"{flow_text(str(k), quoted=quoted)}: {flow_text(v, quoted=quoted)}" for k, v in given.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(given, list | tuple):
        return f"[{', '.join(flow_text(v, quoted=quoted) for v in given)}]"
    if isinstance(given, str):
        return (
            given
            if _SIZE.fullmatch(given) and not quoted
            else json.dumps(given, ensure_ascii=False)
            if quoted
            else _scalar(given)
        )
    return _scalar(given)


def _written(value: Value) -> Value:
    if isinstance(value, Secret):
        return {"secret": value.ref}
    if isinstance(value, Output):
        return f"${{resources.{value.resource.rpartition('/')[2]}.outputs.{value.key}}}"
    if isinstance(value, Text):
        return "".join(str(_written(p)) for p in value.parts)
    return value


def _lines(value: Value, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(value, Mapping) and value:
        for key, given in value.items():
            item = _written(given)
            name = _scalar(str(key))
            if _nested(item):
                yield f"{pad}{name}:"
                yield from _lines(item, depth + 1)
            else:
                yield f"{pad}{name}: {_scalar(item)}"
    elif isinstance(value, list | tuple) and value:
        for given in value:
            item = _written(given)
            if _nested(item):
                first, *rest = _lines(item, depth + 1)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{pad}- {_scalar(item)}"
    else:
        yield f"{pad}{_scalar(value)}"


def _nested(value: Value) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _scalar(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) and not _READ_OTHERWISE.fullmatch(value)
        return value if bare else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value)
