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
from controller.blueprint.node import Field, Items, Map, Node, Scalar
from controller.blueprint.scalar import Plain, resolved
from controller.errors import InvalidInput, Place, Problem

# The C loader's events; the stubs make every mark optional, which it never is here.
Event: TypeAlias = Any

# What a named tuple's own constructor does, without its Python frame: 300,000 calls in a scope of 10,000 resources.
_new = tuple.__new__
_TAGS = "tags (!) are not supported; write the plain value, in quotes if it is text"


class _Frame:
    """A list or map that is not closed yet, or the file itself. `key` is the one whose value comes next."""

    __slots__ = ("anchor", "before", "col", "fields", "items", "key", "key_col", "key_line", "line", "merged", "merges")

    def __init__(self, line: int, col: int, anchor: str | None, before: int, fields: dict[str, Field] | None) -> None:
        self.line = line
        self.col = col
        self.anchor = anchor
        self.before = before
        self.fields = fields
        self.items: list[Node] = []
        # None: a map waits for its next key. A list never does; its key is not looked at.
        self.key: str | None = None if fields is not None else ""
        self.key_line = self.key_col = 0
        self.merges = False  # the key is an unquoted <<
        self.merged: Field | None = None

    def put(self, node: Node) -> None:
        """Take `node` as the next item, or as the value of the key that waits for one."""
        if self.fields is None:
            self.items.append(node)
            return
        field = _new(Field, (self.key_line, self.key_col, node))
        if self.merges:
            self.merged = field
        else:
            self.fields[self.key or ""] = field
        self.key = None


class Builder:
    """Turns events into nodes. No recursion: the stack is ours and bounded. `problems` are the mistakes so far."""

    def __init__(self, file: str, limits: Limits) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._limits = limits
        self._top = _Frame(1, 1, None, 0, None)
        self._stack: list[_Frame] = []  # what is open around the top
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None: still open
        self._nodes = 0
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

    def build(self, loader: yaml.CBaseLoader) -> Node:
        """The root. Raises InvalidInput with all mistakes of the file, and what the parser raises."""
        handlers, next_event = self._handlers, loader.get_event
        while True:
            event = next_event()
            kind = type(event)
            if kind in handlers:
                handlers[kind](event)
            elif kind is yaml.StreamEndEvent:
                break
        if not self._top.items:
            self.problems.append(Problem(Place(self._file), "the file is empty"))
        if self.problems:
            raise InvalidInput(self.problems)
        return self._top.items[0]

    def _document(self, event: Event) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(event, "a second document starts here; one file holds one document")

    def _scalar(self, event: Event) -> None:
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            self._too_many(event)
        text: str = event.value
        if event.tag is not None or "\0" in text:
            self._problem(event, _TAGS if event.tag is not None else "NUL (U+0000) is not allowed in text")
        top, mark = self._top, event.start_mark
        if top.key is None:
            top.key, top.key_line, top.key_col = text, mark.line + 1, mark.column + 1
            self._check_key(top, event, text)
            return
        value = text if event.style else self._value(event, text)
        node = _new(Scalar, (value, text, mark.line + 1, mark.column + 1))
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1)
        top.put(node)

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
        if event.anchor is not None:
            self._anchors[event.anchor] = (Scalar(text, text, frame.key_line, frame.key_col), 1)
        first = frame.merged if frame.merges else (frame.fields or {}).get(text)
        if first is not None:
            self._problem(event, f"duplicate key {shown(text, 60)}, first written in line {first.line}; keep one")

    def _open(self, event: Event) -> None:
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            self._too_many(event)
        if event.tag is not None:
            self._problem(event, _TAGS)
        if self._top.key is None:
            self._stop(event, "a key is text, not a list or map")
        self._stack.append(self._top)
        if len(self._stack) > self._limits.depth:
            self._stop(event, f"nested deeper than {self._limits.depth} levels")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        mark = event.start_mark
        fields: dict[str, Field] | None = {} if type(event) is yaml.MappingStartEvent else None
        self._top = _Frame(mark.line + 1, mark.column + 1, event.anchor, self._nodes - 1, fields)

    def _close(self, event: Event) -> None:
        frame, self._top = self._top, self._stack.pop()
        node: Node
        if frame.fields is None:
            node = _new(Items, (tuple(frame.items), frame.line, frame.col))
        else:
            if frame.merged is not None:
                self._merge(frame.fields, frame.merged)
            node = _new(Map, (frame.fields, frame.line, frame.col))
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (node, self._nodes - frame.before)
        self._top.put(node)

    def _merge(self, fields: dict[str, Field], merged: Field) -> None:
        """What the map says itself stands; of several merged maps the earlier one does."""
        node = merged.node
        for source in node.items if isinstance(node, Items) else (node,):
            if not isinstance(source, Map):
                place = Place(self._file, merged.line, merged.col)
                self._add(Problem(place, "<< takes an alias of a map, or a list of them"))
                return
            for key, field in source.fields.items():
                fields.setdefault(key, field)

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
        self._nodes += size
        if self._nodes > self._limits.nodes:
            self._too_many(event)
        self._top.put(node)

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
