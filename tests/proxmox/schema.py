"""The official API schema as data: which method answers a path, and what it says of a parameter."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
VERSIONS = ("9.1", "8.4")

JsonObject = dict[str, Any]

_INDEXED = re.compile(r"([a-z]+)(0|[1-9]\d*)")
# Parameters that swallow the rest of the path, because their values hold slashes.
_GREEDY = frozenset({"volume", "cidr", "poolid"})


@dataclass(frozen=True, slots=True)
class Method:
    """One verb of one path template."""

    verb: str
    path: str
    body: Mapping[str, Any]

    @property
    def properties(self) -> JsonObject:
        """Parameters by name as the schema writes them (`net[n]` unexpanded)."""
        found: JsonObject = self.body["parameters"].get("properties") or {}
        return found

    @property
    def refuses_unknown(self) -> bool:
        """True if a parameter that the schema does not name is an error."""
        return str(self.body["parameters"].get("additionalProperties", 1)) == "0"

    def parameter(self, name: str) -> JsonObject | None:
        """The schema of one parameter; `net3` finds `net[n]` if 3 is in its range."""
        return indexed(self.properties, name)


def indexed(properties: Mapping[str, JsonObject], name: str) -> JsonObject | None:
    """`properties[name]`, or what stands there as `base[n]` for this number."""
    if name in properties:
        return properties[name]
    match = _INDEXED.fullmatch(name)
    if match and f"{match[1]}[n]" in properties:
        low, high = formats_data()["index_ranges"].get(match[1], [0, 255])
        return properties[f"{match[1]}[n]"] if low <= int(match[2]) <= high else None
    return None


class Schema:
    """All paths of one release. `find` tells method and path parameters of a request."""

    def __init__(self, version: str, paths: Mapping[str, Mapping[str, Any]]) -> None:
        self.version = version
        self.methods = {
            (verb, path): Method(verb, path, body) for path, verbs in paths.items() for verb, body in verbs.items()
        }
        self._root: JsonObject = {}
        for path in paths:
            self._plant(path)

    def method(self, verb: str, path: str) -> Method:
        """The method of a template. KeyError if there is none."""
        return self.methods[verb, path]

    def find(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """Method and path parameters for a concrete path, or None (the API says 501)."""
        found = _walk(self._root, [part for part in path.split("/") if part])
        if found is None or (verb, found[0]) not in self.methods:
            return None
        return self.methods[verb, found[0]], found[1]

    def _plant(self, path: str) -> None:
        place = self._root
        for part in (part for part in path.split("/") if part):
            place = place.setdefault(part, {})
        place[""] = path


def _walk(place: JsonObject, parts: list[str]) -> tuple[str, dict[str, str]] | None:
    if not parts:
        return (place[""], {}) if "" in place else None
    head, rest = parts[0], parts[1:]
    if head in place:
        found = _walk(place[head], rest)
        if found is not None:
            return found
    for key in place:
        if key.startswith("{"):
            return _walk_parameter(key[1:-1], place[key], head, rest)
    return None


def _walk_parameter(name: str, place: JsonObject, head: str, rest: list[str]) -> tuple[str, dict[str, str]] | None:
    if name in _GREEDY and "" in place and rest:
        return place[""], {name: "/".join([head, *rest])}
    found = _walk(place, rest)
    return None if found is None else (found[0], {name: head, **found[1]})


@cache
def load_schema(version: str) -> Schema:
    """The schema of "9.1" or "8.4". KeyError-free: an unknown version is a FileNotFoundError."""
    return Schema(version, read_xz(f"schema-{version}.json.xz")["paths"])


@cache
def formats_data() -> JsonObject:
    """What the schema mentions only by name: named formats, property strings, ranges of `[n]`."""
    data: JsonObject = json.loads((DATA / "formats.json").read_text("utf-8"))
    return data


def read_xz(name: str) -> Any:
    """One compressed JSON file of the data folder."""
    return json.loads(lzma.decompress((DATA / name).read_bytes()))
