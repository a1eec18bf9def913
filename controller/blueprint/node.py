"""What a file says and where: a tree of scalars, lists and maps, each with line and column from 1.

Named tuples and not dataclasses, because a scope of 10,000 resources has a few hundred thousand of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from controller.blueprint.scalar import Plain
from controller.errors import Place


class Scalar(NamedTuple):
    """`raw` is the text as written, unquoted: `1.10` and `1e3` where `value` is a number."""

    value: Plain
    raw: str
    line: int
    col: int


class Items(NamedTuple):
    """A list."""

    items: tuple[Node, ...]
    line: int
    col: int


class Field(NamedTuple):
    """One key of a map: where the key stands, and its value."""

    line: int
    col: int
    node: Node


class Map(NamedTuple):
    """A map. Keys are text and unique."""

    fields: dict[str, Field]
    line: int
    col: int


Node: TypeAlias = Scalar | Items | Map
Position: TypeAlias = tuple[int, int]


def plain(node: Node) -> object:
    """`node` without positions: dict, tuple, str, int, Decimal, bool, None. At most as deep as `Limits.depth`."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Map):
        return {key: plain(field.node) for key, field in node.fields.items()}
    return tuple([plain(item) for item in node.items])


def position(node: Node, path: Sequence[str | int], *, of_key: bool = False) -> Position:
    """Line and column of what stands at `path`, or of the nearest part above it that is there."""
    found: Position = node.line, node.col
    for step in path:
        if type(node) is Map and step in node.fields:
            field = node.fields[str(step)]
            node, found = field.node, _pointed(field, of_key)
        elif type(node) is Items and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            found = node.line, node.col
        else:
            break
    return found


def _pointed(field: Field, of_key: bool = False) -> Position:
    """A scalar is shown where it stands, a list or map where its key does."""
    if of_key or not isinstance(field.node, Scalar):
        return field.line, field.col
    return field.node.line, field.node.col


class Places(Mapping[str, Place]):
    """Dotted path (`specs.ports.0`) → Place, looked up in the tree only when someone asks: few ever do. A key may
    itself hold dots (`specs.labels.traefik.enable`)."""

    __slots__ = ("_file", "_node")

    def __init__(self, file: str, node: Node) -> None:
        self._file = file
        self._node = node

    def __getitem__(self, path: str) -> Place:
        found = _search(self._node, path)
        if found is None:
            raise KeyError(path)
        return Place(self._file, *found)

    def __iter__(self) -> Iterator[str]:
        return (path for path, _ in _walk(self._node, ""))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _search(node: Node, path: str) -> Position | None:
    if isinstance(node, Items):
        head, _, rest = path.partition(".")
        if not (head.isascii() and head.isdigit() and len(head) < 10 and int(head) < len(node.items)):
            return None
        item = node.items[int(head)]
        return _search(item, rest) if rest else (item.line, item.col)
    return _search_map(node, path) if isinstance(node, Map) else None


def _search_map(node: Map, path: str) -> Position | None:
    head = path
    while head:
        if head in node.fields:
            field, rest = node.fields[head], path[len(head) + 1 :]
            found = _search(field.node, rest) if rest else _pointed(field)
            if found is not None:
                return found
        head = head.rpartition(".")[0]
    return None


def _walk(node: Node, prefix: str) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Scalar):
        return
    named = [(k, f.node) for k, f in node.fields.items()] if isinstance(node, Map) else list(enumerate(node.items))
    for key, child in named:
        yield f"{prefix}{key}", child
        yield from _walk(child, f"{prefix}{key}.")
