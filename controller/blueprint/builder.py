"""The events of libyaml → nodes, under limits.

Events and never `yaml.load` or `compose`: those recurse in C and end the process on some 30,000 open brackets, and
keep the last of two equal keys. Events come one by one, so depth and size are counted before anything grows (I34).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import yaml

from controller.blueprint.limits import Limits
from controller.blueprint.names import shown
from controller.blueprint.node import Items, Map, Mark, Node, mark, unpacked
from controller.blueprint.scalar import Plain, resolved
from controller.errors import InvalidInput, Place, Problem

# The C loader's events; the stubs make every mark optional, which it never is here.
Event: TypeAlias = Any

_NO_RAW: dict[str, str] = {}
_TAGS = "tags (!) are not supported; write the plain value, in quotes if it is text"


class _Frame:
    """A list or map that is not closed yet, or the file itself. `key` is the one whose value comes next."""

    __slots__ = ("anchor", "at", "before", "items", "key", "key_at", "marks", "merged", "merges", "raw", "values")

    def __init__(self, at: Mark, anchor: str | None, before: int, values: dict[str, Node] | None) -> None:
        self.at = at
        self.anchor = anchor
        self.before = before
        self.values = values
        self.items: list[Node] = []
        self.marks: list[Mark] = []
        self.raw: dict[str, str] = {}
        # None: a map waits for its next key. A list never does; its key is not looked at.
        self.key: str | None = None if values is not None else ""
        self.key_at: Mark = 0
        self.merges = False  # the key is an unquoted <<
        self.merged: tuple[Node, Mark] | None = None

    def put(self, node: Node, at: Mark) -> None:
        """Take `node` as the next item, or as the value of the key that waits for one."""
        if self.values is None:
            self.items.append(node)
            self.marks.append(at)
            return
        if self.merges:
            self.merged = node, self.key_at
        else:
            self.values[self.key or ""] = node
            self.marks += (self.key_at, at)
        self.key = None

    def closed(self) -> Map | Items:
        """What it is now that its end was read."""
        if self.values is None:
            return Items(tuple(self.items), tuple(self.marks), self.at)
        return Map(self.values, tuple(self.marks), self.raw or _NO_RAW, self.at)


class Builder:
    """Turns events into nodes. No recursion: the stack is ours and bounded. `problems` are the mistakes so far,
    `nodes` the values and keys."""

    def __init__(self, file: str, limits: Limits) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._limits = limits
        self._top = _Frame(0, None, 0, None)
        self._stack: list[_Frame] = []  # what is open around the top
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None: still open
        self.nodes = 0
        self._aliases = 0
        self._documents = 0
        self._handlers: dict[type, Callable[[Event], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def build(self, loader: yaml.CBaseLoader) -> Map:
        """The root. Raises InvalidInput with all mistakes of the file, and what the parser raises."""
        handlers, next_event = self._handlers, loader.get_event
        while True:
            event = next_event()
            kind = type(event)
            if kind in handlers:
                handlers[kind](event)
            elif kind is yaml.StreamEndEvent:
                break
        root = self._top.items[0] if self._top.items else None
        if not isinstance(root, Map):
            what = "a map of keys and values is expected here" if self._top.items else "the file is empty"
            self.problems.append(
                Problem(Place(self._file, *unpacked(self._top.marks[0] if self._top.marks else 0)), what)
            )
        if self.problems or not isinstance(root, Map):
            raise InvalidInput(self.problems)
        return root

    def _document(self, event: Event) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(event, "a second document starts here; one file holds one document")

    def _scalar(self, event: Event) -> None:
        self.nodes += 1
        if self.nodes > self._limits.nodes:
            self._too_many(event)
        text: str = event.value
        if event.tag is not None or "\0" in text:
            self._problem(event, _TAGS if event.tag is not None else "NUL (U+0000) is not allowed in text")
        top, start = self._top, event.start_mark
        at = mark(start.line, start.column)
        value: Plain = text
        if top.key is None:
            top.key, top.key_at = text, at
            self._check_key(top, event, text)
        else:
            value = text if event.style else self._value(event, text)
            if type(value) is not str and top.values is not None:
                top.raw[top.key] = text
            top.put(value, at)
        if event.anchor is not None:
            self._anchor(event, event.anchor, (value, 1))

    def _value(self, event: Event, text: str) -> Plain:
        try:
            return resolved(text)
        except ValueError as error:
            self._problem(event, str(error))
            return None

    def _check_key(self, frame: _Frame, event: Event, text: str) -> None:
        if not text or not text.isprintable():
            self._problem(event, f"a key is text of visible characters, not {shown(text, 60) or 'nothing'}")
        frame.merges = text == "<<" and not event.style
        if frame.merges:
            if frame.merged is not None:
                self._duplicate(event, text, unpacked(frame.merged[1])[0])
        elif frame.values is not None and text in frame.values:
            self._duplicate(event, text, unpacked(frame.marks[2 * list(frame.values).index(text)])[0])
            # The file is refused; under a name of its own the second value keeps the marks in step.
            frame.key = f"{text}\0{len(frame.values)}"

    def _duplicate(self, event: Event, text: str, line: int) -> None:
        self._problem(event, f"duplicate key {shown(text, 60)}, first written in line {line}; keep one")

    def _open(self, event: Event) -> None:
        self.nodes += 1
        if self.nodes > self._limits.nodes:
            self._too_many(event)
        if event.tag is not None:
            self._problem(event, _TAGS)
        if self._top.key is None:
            self._stop(event, "a key is text, not a list or map")
        self._stack.append(self._top)
        if len(self._stack) > self._limits.depth:
            self._stop(event, f"nested deeper than {self._limits.depth} levels")
        if event.anchor is not None:
            self._anchor(event, event.anchor, None)
        values: dict[str, Node] | None = {} if type(event) is yaml.MappingStartEvent else None
        at = mark(event.start_mark.line, event.start_mark.column)
        self._top = _Frame(at, event.anchor, self.nodes - 1, values)

    def _close(self, event: Event) -> None:
        frame, self._top = self._top, self._stack.pop()
        if frame.merged is not None:
            self._merge(frame, *frame.merged)
        node = frame.closed()
        if frame.anchor is not None:
            self._anchor(event, frame.anchor, (node, self.nodes - frame.before))
        self._top.put(node, frame.at)

    def _merge(self, into: _Frame, merged: Node, at: Mark) -> None:
        """What the map says itself stands; of several merged maps the earlier one does."""
        for source in merged.items if isinstance(merged, Items) else (merged,):
            if not isinstance(source, Map):
                place = Place(self._file, *unpacked(at))
                self._add(Problem(place, "<< takes an alias of a map, or a list of them"))
                return
            for index, (key, value) in enumerate(source.values.items()):
                if into.values is not None and key not in into.values:
                    into.values[key] = value
                    into.marks += source.marks[2 * index : 2 * index + 2]
                    if key in source.raw:
                        into.raw[key] = source.raw[key]

    def _anchor(self, event: Event, name: str, target: tuple[Node, int] | None) -> None:
        self._anchors[name] = target
        if len(self._anchors) > self._limits.anchors:
            self._stop(event, f"more than {self._limits.anchors:,} anchors")

    def _alias(self, event: Event) -> None:
        if self._top.key is None:
            self._stop(event, "a key is text, not an alias")
        self._aliases += 1
        if self._aliases > self._limits.aliases:
            self._stop(event, f"more than {self._limits.aliases} aliases")
        name: str = event.anchor
        if name not in self._anchors:
            self._stop(event, f"no anchor &{shown(name, 60)} above")
        target = self._anchors[name]
        if target is None:
            self._stop(event, f"*{shown(name, 60)} contains itself")
        node, size = target
        self.nodes += size
        if self.nodes > self._limits.nodes:
            self._too_many(event)
        self._top.put(node, mark(event.start_mark.line, event.start_mark.column))

    def _too_many(self, event: Event) -> NoReturn:
        self._stop(event, f"more than {self._limits.nodes:,} values, counting what aliases repeat; split the file")

    def _place(self, event: Event) -> Place:
        return Place(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, event: Event, message: str) -> None:
        self._add(Problem(self._place(event), message))

    def _add(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= self._limits.problems:
            raise InvalidInput(self.problems, hint="there may be more mistakes below")

    def _stop(self, event: Event, message: str) -> NoReturn:
        raise InvalidInput([*self.problems, Problem(self._place(event), message)])
