"""What a blueprint writes → the flat fields of an object, each mistake at its place. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from controller.blueprint.entry import Entry
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.units import cpu_cores, shown_size, size_bytes
from controller.blueprint.value import Output, Secret, Text, Value
from controller.errors import Problem
from controller.plan.resource import ObjectKey
from engines.simulation.model import WORKLOADS, Shape, Spec, specs_of

_PORT = re.compile(r"(?:(?:([0-9.]{7,15}|\*):)?([0-9]{1,5}):)?([0-9]{1,5})(?:/(tcp|udp))?", re.ASCII)
_SIMULATE: Mapping[str, tuple[str, ...]] = {
    "health": ("healthy", "slow", "never"),
    "fail": ("create", "start", "stop", "update", "rename", "reboot", "remove"),
    "task_polls": (),
    "irreversible": (),
}
_MARKERS = (Secret, Output, Text)
_POLLS_MAX = 1000
_REPLICAS_MAX = 100_000


@dataclass(slots=True)
class Reading:
    """One entry being read: fields and problems as they are found. Local to `read`."""

    entry: Entry
    names: Mapping[str, ObjectKey]
    fields: dict[str, Value] = field(default_factory=dict)
    needs: dict[str, None] = field(default_factory=dict)  # resource ids, in order of appearance
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, path: str, message: str) -> None:
        self.problems.append(self.entry.problem(path, message))


def read(entry: Entry, names: Mapping[str, ObjectKey]) -> Reading:
    """The fields of the object an entry asks for, without its name, what it needs, and every mistake. `names`:
    resources of the blueprint → their keys."""
    reading = Reading(entry, names)
    known = specs_of(entry.type)
    for key, value in entry.specs.items():
        spec = known.get(key)
        if spec is not None:
            _one(reading, f"specs.{key}", spec.path or key, spec, value)
        elif entry.type == "manifest":
            _tree(reading, f"specs.{key}", key, value)
        else:
            near = did_you_mean(key, known)
            reading.wrong(f"specs.{key}", f"{entry.type} has no spec {shown(key, 80)}{near}")
    reading.fields.pop("name", None)
    reading.fields.pop("external", None)
    for part, content in (("network", entry.network), ("backup", entry.backup)):
        _tree(reading, part, part, content)
    _product(reading)
    return reading


def _product(reading: Reading) -> None:
    entry = reading.entry
    if entry.type in WORKLOADS:
        named = (("engine", entry.product), ("version", entry.version))
        reading.fields.update({path: value for path, value in named if value is not None})


def _one(reading: Reading, place: str, path: str, spec: Spec, value: Value) -> None:
    """Put one known spec into the fields, or say what is wrong with it."""
    if value is None:
        return
    if isinstance(value, _MARKERS) and spec.shape not in (Shape.TEXT, Shape.WORDS):
        reading.wrong(place, "must be written out here; a secret or an output cannot stand for it")
        return
    try:
        for sub, normal in _READERS[spec.shape](value):
            _put(reading, place, path + sub, normal)
    except ValueError as error:
        reading.wrong(place, str(error))


def _put(reading: Reading, place: str, path: str, value: Value) -> None:
    if path in ("networks", "volumes") and isinstance(value, tuple):
        value = tuple(_resolved(reading, item) for item in value)
    before = reading.fields.setdefault(path, value)
    if before != value:
        reading.wrong(place, f"says {value}, but the same quantity is {before} above; keep one of the two")


def _resolved(reading: Reading, item: Value) -> Value:
    """`data:/var/lib/db` with the object's name in place of the resource's, which is then needed."""
    if not isinstance(item, str):
        return item
    name, colon, rest = item.partition(":")
    key = reading.names.get(name)
    if key is None:
        return item
    entry = reading.entry
    reading.needs[f"{entry.scope}/{name if '/' in name else f'{entry.blueprint}/{name}'}"] = None
    return key.name + colon + rest


def _text(value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, _MARKERS):
        yield "", value
    elif isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        yield "", str(value)
    else:
        raise ValueError("must be text")


def _count(value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _REPLICAS_MAX:
        raise ValueError(f"must be a whole number from 0 to {_REPLICAS_MAX:,}")
    yield "", value


def _cpu(value: Value) -> Iterator[tuple[str, Value]]:
    millicores = int(cpu_cores(value) * 1000)
    yield "", f"{millicores}m" if millicores % 1000 else millicores // 1000


def _size(value: Value) -> Iterator[tuple[str, Value]]:
    yield "", shown_size(size_bytes(value))


def _flag(value: Value) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    yield "", value


def _words(value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, list | tuple):
        yield "", tuple(str(v) if isinstance(v, int | Decimal) else v for v in value)
    else:
        yield from _text(value)


def _list(value: Value) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list")
    yield "", tuple(value)


def _names(value: Value) -> Iterator[tuple[str, Value]]:
    yield from _list(tuple(value) if isinstance(value, Mapping) else value)


def _map(value: Value) -> Iterator[tuple[str, Value]]:
    """A map, or the list form `- KEY=value`."""
    if isinstance(value, list | tuple):
        pairs = [str(v).partition("=") for v in value]
        value = {key: rest for key, _, rest in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("must be a map")
    for key, item in value.items():
        if item is not None:
            yield f".{key}", item if isinstance(item, _MARKERS) else _scalar(key, item)


def _scalar(key: object, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        return str(value)
    raise ValueError(f"{shown(str(key), 80)} must be text, a number or a flag")


def _ports(value: Value) -> Iterator[tuple[str, Value]]:
    """`80` listens on the object's own address; `8080:80` and `127.0.0.1:8080:80` take a port of the target."""
    for item in value if isinstance(value, list | tuple) else (value,):
        found = _PORT.fullmatch(str(item)) if isinstance(item, str | int) and not isinstance(item, bool) else None
        if found is None:
            raise ValueError("a port is 80, 8080:80 or 127.0.0.1:8080:80, each with /tcp or /udp behind it")
        address, published, inner, protocol = found.groups()
        if not all(1 <= int(port) <= 65535 for port in (published or "1", inner)):
            raise ValueError(f"{item} is out of range; a port is 1 to 65535")
        outer = f"{address}:{int(published)}" if published and address not in (None, "*") else published
        yield f".{int(inner)}/{protocol or 'tcp'}", outer if published else True


def _leaves(value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from ((f".{key}{sub}", leaf) for sub, leaf in _leaves(item))
    elif value is not None:
        yield "", tuple(value) if isinstance(value, list) else value


def _tree(reading: Reading, place: str, path: str, value: Value) -> None:
    for sub, leaf in _leaves(value):
        if sub or not isinstance(value, Mapping):
            _put(reading, place, path + sub, leaf)


def _simulate(value: Value) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a map of health, fail, task_polls or irreversible")
    for key, item in value.items():
        if key not in _SIMULATE:
            raise ValueError(f"simulate has no {shown(str(key), 80)}{did_you_mean(str(key), _SIMULATE)}")
        yield f".{key}", _simulated(key, item, _SIMULATE[key])


def _simulated(key: str, value: Value, allowed: Sequence[str]) -> Value:
    if key == "task_polls":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _POLLS_MAX:
            raise ValueError(f"simulate.task_polls must be a whole number from 0 to {_POLLS_MAX}")
    elif key == "irreversible":
        if not isinstance(value, bool):
            raise ValueError("simulate.irreversible must be true or false")
    elif value not in allowed:
        raise ValueError(f"simulate.{key} must be one of {', '.join(allowed)}")
    return value


_READERS: Mapping[Shape, Callable[[Value], Iterator[tuple[str, Value]]]] = {
    Shape.TEXT: _text,
    Shape.COUNT: _count,
    Shape.CPU: _cpu,
    Shape.SIZE: _size,
    Shape.FLAG: _flag,
    Shape.WORDS: _words,
    Shape.LIST: _list,
    Shape.NAMES: _names,
    Shape.MAP: _map,
    Shape.PORTS: _ports,
    Shape.TREE: _leaves,
    Shape.SIMULATE: _simulate,
}
