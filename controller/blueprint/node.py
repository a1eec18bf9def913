"""What a file says and where: maps and lists of plain values, with line and column of every key and value.

A scope of 10,000 resources has some 300,000 values. So scalars are no objects of their own, and places are packed
numbers: what the garbage collector need not walk costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from controller.blueprint.scalar import Plain
from controller.errors import Place

_COL_BITS = 21  # a line is never longer than a file of 1 MiB
_COL_MASK = (1 << _COL_BITS) - 1

Mark: TypeAlias = int
Position: TypeAlias = tuple[int, int]


def mark(line: int, col: int) -> Mark:
    """Line and column, both from 0, as one number."""
    return line << _COL_BITS | col


def unpacked(at: Mark) -> Position:
    """Line and column from 1."""
    return (at >> _COL_BITS) + 1, (at & _COL_MASK) + 1


class Map(NamedTuple):
    """A map; keys are text and unique. `marks` holds two per key, in the order of `values`: where the key stands and
    where its value does. `raw` is how the numbers among the values are written (`1.10`, `1e3`)."""

    values: dict[str, Node]
    marks: tuple[Mark, ...]
    raw: dict[str, str]
    at: Mark


class Items(NamedTuple):
    """A list; `marks` holds one per item."""

    items: tuple[Node, ...]
    marks: tuple[Mark, ...]
    at: Mark


Node: TypeAlias = Plain | Map | Items


def plain(node: Node) -> object:
    """`node` without positions: dict, tuple, str, int, Decimal, bool, None. At most as deep as `Limits.depth`."""
    if isinstance(node, Map):
        return {key: plain(value) if isinstance(value, Map | Items) else value for key, value in node.values.items()}
    if isinstance(node, Items):
        return tuple([plain(item) if isinstance(item, Map | Items) else item for item in node.items])
    return node


def position(node: Node, path: Sequence[str | int], *, of_key: bool = False) -> Position:
    """Line and column of what stands at `path`, or of the nearest part above it that is there."""
    found: Position = unpacked(node.at) if isinstance(node, Map | Items) else (1, 1)
    for step in path:
        if isinstance(node, Map) and step in node.values:
            found = _pointed(node, str(step), of_key)
            node = node.values[str(step)]
        elif isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.items):
            found = unpacked(node.marks[step])
            node = node.items[step]
        else:
            break
    return found


def _pointed(node: Map, key: str, of_key: bool = False) -> Position:
    """A scalar is shown where it stands, a list or map where its key does."""
    index = 2 * list(node.values).index(key)
    return unpacked(node.marks[index if of_key or isinstance(node.values[key], Map | Items) else index + 1])


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
        return _walk(self._node, "")

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _search(node: Node, path: str) -> Position | None:
    if isinstance(node, Map):
        return _search_map(node, path)
    if isinstance(node, Items):
        head, _, rest = path.partition(".")
        if head.isascii() and head.isdigit() and len(head) < 10 and int(head) < len(node.items):
            return _search(node.items[int(head)], rest) if rest else unpacked(node.marks[int(head)])
    return None


def _search_map(node: Map, path: str) -> Position | None:
    head = path
    while head:
        if head in node.values:
            rest = path[len(head) + 1 :]
            found = _search(node.values[head], rest) if rest else _pointed(node, head)
            if found is not None:
                return found
        head = head.rpartition(".")[0]
    return None


def _walk(node: Node, prefix: str) -> Iterator[str]:
    named: list[tuple[str | int, Node]] = []
    if isinstance(node, Map):
        named.extend(node.values.items())
    elif isinstance(node, Items):
        named.extend(enumerate(node.items))
    for key, child in named:
        yield f"{prefix}{key}"
        yield from _walk(child, f"{prefix}{key}.")
