"""One YAML or JSON file → a tree with places, or every mistake in it (I33, I34, I37)."""

from __future__ import annotations

import re

import yaml

from controller.blueprint.builder import Builder
from controller.blueprint.encoding import decoded
from controller.blueprint.limits import DEFAULT_LIMITS, Limits
from controller.blueprint.names import shown
from controller.blueprint.node import Map
from controller.errors import InvalidInput, Place, Problem

# libyaml compares each %TAG line with all before it, before the first event: 100,000 of them are minutes of work.
_DIRECTIVE = re.compile(r"^%(?!YAML )", re.MULTILINE)
# JSON writes what is beyond U+FFFF as two escapes, YAML knows only one. `\\` is consumed first: no escape starts there.
_PAIR = re.compile(r"\\\\|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def read_document(data: bytes, file: str, limits: Limits = DEFAULT_LIMITS) -> Map:
    """The one document in `data`, a map. Raises InvalidInput, and nothing else whatever `data` is, with every mistake
    at `file`:line:col."""
    return read_counted(data, file, limits)[0]


def read_counted(data: bytes, file: str, limits: Limits = DEFAULT_LIMITS) -> tuple[Map, int]:
    """As `read_document`, with the number of values and keys, counting what aliases repeat."""
    if len(data) > limits.file_bytes:
        raise InvalidInput([too_large(file, len(data), limits)])
    text = decoded(data, file)
    if file.endswith(".json"):
        text = _PAIR.sub(_joined, text)
    directive = _DIRECTIVE.search(text)
    if directive:
        line = text.count("\n", 0, directive.start()) + 1
        raise InvalidInput([Problem(Place(file, line), "directives (%) are not supported; remove this line")])
    builder = Builder(file, limits)
    try:
        return builder.build(yaml.CBaseLoader(text)), builder.nodes
    except yaml.YAMLError as error:
        problem = _syntax(error, text, file)
    except ValueError as error:  # the C parser lets some of Python's own out
        problem = Problem(Place(file), f"not valid YAML: {shown(str(error), 200)}")
    raise InvalidInput([*builder.problems, problem])


def too_large(file: str, size_bytes: int, limits: Limits) -> Problem:
    """What to say of a file over the limit; callers that know the size without the content ask before they read."""
    return Problem(Place(file), f"{size_bytes:,} bytes; a file may have {limits.file_bytes:,}: split it")


def _joined(pair: re.Match[str]) -> str:
    if pair.group(1) is None:
        return pair.group()
    high, low = int(pair.group(1), 16), int(pair.group(2), 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = shown(str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"), 200)
    if mark is None:
        return Problem(Place(file), f"not valid YAML: {what}")
    hint = "; indent with spaces, not tabs" if text[mark.index : mark.index + 1] == "\t" else ""
    return Problem(Place(file, mark.line + 1, mark.column + 1), f"not valid YAML: {what}{hint}")
