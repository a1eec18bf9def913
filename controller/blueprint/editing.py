"""Values written into the text of a blueprint where they belong; every other byte stays as it is.

A value that stands there is replaced; one that does not is put into the map it belongs to. What has no place of
its own in the text (made by a template, repeated by an alias) is left and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import yaml

from controller.blueprint.entry import Entry
from controller.blueprint.loader import load_scope
from controller.blueprint.repository import ScopeConfig
from controller.blueprint.value import Value
from controller.blueprint.writing import flow_text
from controller.errors import InvalidInput, Place

_Spot = tuple[int, int]  # line and column, from 0
_LINE_END = 2**31  # a column no line has


@dataclass(frozen=True, slots=True)
class Setting:
    """`path` inside the entry (`specs.memory`, `lifecycle.protect`) shall hold `value`."""

    entry: Entry
    path: str
    value: Value


@dataclass(frozen=True, slots=True)
class _Edit:
    start: _Spot
    end: _Spot
    text: str


@dataclass(frozen=True, slots=True)
class _Map:
    """A map of the text: where it begins, whether it is a flow (`{…}`) and whether that is empty."""

    start: _Spot
    flow: bool
    empty: bool


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Scalars with where they end and the map they stand in; maps by where their key stands."""

    ends: Mapping[_Spot, _Spot]
    homes: Mapping[_Spot, _Map]
    maps: Mapping[_Spot, _Map]


def edited(
    files: Mapping[str, bytes], settings: Sequence[Setting], scope: ScopeConfig
) -> tuple[dict[str, bytes], tuple[Setting, ...]]:
    """The files that change, and the settings that have no place of their own. Raises InvalidInput when the result
    would not be the same blueprint but for them."""
    nodes = {f: _nodes(files[f]) for f in {s.entry.place.file for s in settings} if f in files}
    edits: dict[str, list[_Edit]] = {}
    left = []
    for setting in _joined(settings):
        file = setting.entry.place.file
        edit = _edit(nodes[file], setting, file) if file in nodes and not _is_rendered(setting.entry) else None
        if edit is None:
            left.append(setting)
        else:
            edits.setdefault(file, []).append(edit)
    changed = {f: _applied(files[f], e) for f, e in edits.items()}
    _refuse_other_changes(files, {**files, **changed}, scope, {s.entry.id for s in settings})
    return changed, tuple(left)


def _joined(settings: Iterable[Setting]) -> list[Setting]:
    """One setting per place in the text: what several put into one map that is not there yet becomes that map."""
    found: dict[tuple[str, str], Setting] = {}
    for setting in settings:
        while True:
            parent, _, key = setting.path.rpartition(".")
            if not parent or setting.path in setting.entry.places or parent in setting.entry.places:
                break
            setting = replace(setting, path=parent, value={key: setting.value})
        at = (setting.entry.id, setting.path)
        before = found.get(at)
        if before and isinstance(before.value, Mapping) and isinstance(setting.value, Mapping):
            setting = replace(setting, value={**before.value, **setting.value})
        found[at] = setting
    return list(found.values())


def _is_rendered(entry: Entry) -> bool:
    """True for what a template made: all of it stands at the template's line."""
    return entry.locate("type") == entry.locate("name")


def _nodes(data: bytes) -> _Nodes:
    ends, homes, maps = dict[_Spot, _Spot](), dict[_Spot, _Map](), dict[_Spot, _Map]()
    around: list[_Map | None] = []  # what is open here; None for a list
    before: yaml.Event | None = None
    for event, after in pairwise(yaml.parse(data.decode("utf-8"), Loader=yaml.CBaseLoader)):
        start = _at(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            ends[start] = _at(event.end_mark)
            if around and (home := around[-1]) is not None:
                homes[start] = home
        elif isinstance(event, yaml.MappingStartEvent):
            one = _Map(start, bool(event.flow_style), isinstance(after, yaml.MappingEndEvent))
            around.append(one)
            if isinstance(before, yaml.ScalarEvent):
                maps[_at(before.start_mark)] = one
        elif isinstance(event, yaml.SequenceStartEvent):
            around.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        before = event
    return _Nodes(ends, homes, maps)


def _edit(nodes: _Nodes, setting: Setting, file: str) -> _Edit | None:
    quoted = file.endswith(".json")
    text = flow_text(setting.value, quoted=quoted)
    written = setting.entry.places.get(setting.path)
    if written is not None:
        start = _spot(written)
        end = nodes.ends.get(start)
        return _Edit(start, end, text) if end and end > start and start not in nodes.maps else None
    parent, _, key = setting.path.rpartition(".")
    line = f"{flow_text(key, quoted=quoted)}: {text}"
    if not parent:
        return _after_name(nodes, _spot(setting.entry.place), line)
    home = nodes.maps.get(_spot(setting.entry.places[parent]))
    if home is None:
        return None
    if home.flow:
        inside = (home.start[0], home.start[1] + 1)
        return _Edit(inside, inside, line if home.empty else f"{line}, ")
    return _Edit(home.start, home.start, f"{line}\n{' ' * home.start[1]}")


def _after_name(nodes: _Nodes, name: _Spot, line: str) -> _Edit | None:
    """A key of the resource itself, right after its name."""
    home, end = nodes.homes.get(name), nodes.ends.get(name)
    if home is None or end is None:
        return None
    if home.flow:
        return _Edit(end, end, f", {line}")
    line_end = (end[0], _LINE_END)  # what else stands there is a comment
    return _Edit(line_end, line_end, f"\n{' ' * home.start[1]}{line}")


def _at(mark: Any) -> _Spot:  # two classes, by the parser that made it
    return mark.line, mark.column


def _spot(place: Place) -> _Spot:
    return place.line - 1, place.col - 1


def _applied(data: bytes, edits: Sequence[_Edit]) -> bytes:
    lines = data.decode("utf-8").split("\n")
    for edit in sorted(edits, key=lambda e: e.start, reverse=True):  # from the end, so that what is before stays put
        (row, start), (last, end) = edit.start, edit.end
        lines[row : last + 1] = [lines[row][:start] + edit.text + lines[last][end:]]
    return "\n".join(lines).encode()


def _refuse_other_changes(
    before: Mapping[str, bytes], after: Mapping[str, bytes], scope: ScopeConfig, meant: set[str]
) -> None:
    """Read back, all but the meant resources is as it was."""
    old, new = ({e.id: _content(e) for e in load_scope(files, scope).entries} for files in (before, after))
    other = [i for i in old.keys() | new.keys() if i not in meant and old.get(i) != new.get(i)]
    if other or old.keys() != new.keys():
        raise InvalidInput("the text cannot be changed there without changing something else", hint="edit it by hand")


def _content(entry: Entry) -> Entry:
    """The entry without where it stands."""
    nowhere = Place("")
    waivers = tuple(replace(w, place=nowhere) for w in entry.waivers)
    tolerated = tuple(replace(t, place=nowhere) for t in entry.tolerate)
    return replace(entry, place=nowhere, places={}, waivers=waivers, tolerate=tolerated)
