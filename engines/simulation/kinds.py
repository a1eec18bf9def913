"""One kind per blueprint type: entry → object wanted on the simulated platform. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.blueprint.entry import Entry, Lifecycle, UpdateOrder
from controller.blueprint.names import natural_name
from controller.errors import Problem
from controller.plan.resource import Desired, Expanding, Fields, Kind, ObjectKey, ResourceId
from engines.simulation.model import KIND_PREFIX, TYPES, Shape, Spec, specs_of
from engines.simulation.record import claims, exclusive
from engines.simulation.specs import read

OUTPUTS = frozenset({"id", "name", "address", "port", "url"})
_ALIASES = {"specs.disk": "storage", "specs.size": "storage", "disk": "storage", "size": "storage"}


@dataclass(slots=True)  # not frozen: the protocol declares plain attributes
class SimulationKind:
    """`simulation/TYPE`: exactly one object per entry."""

    type: str
    name: str
    outputs: frozenset[str] = OUTPUTS

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """`specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""
        name = resource.specs.get("name")
        if not isinstance(name, str) or not name:
            name = natural_name(scope, resource.blueprint, resource.name)
        return ObjectKey(self.name, name)

    def expand(self, resource: Entry, about: Expanding) -> tuple[tuple[Desired, ...], tuple[Problem, ...]]:
        """The one object, or every mistake in the entry at its place."""
        found = read(resource, about.names)
        problems = (*found.problems, *_mounts_twice(resource, found.fields))
        if problems:
            return (), problems
        return (replace(self._desired(resource, about, found.fields), needs=tuple(found.needs)),), ()

    def _desired(self, resource: Entry, about: Expanding, fields: Fields) -> Desired:
        key = self.key(resource, about.scope)
        return Desired(
            resource=ResourceId(resource.scope, resource.blueprint, resource.name),
            key=key,
            fields=fields,
            place=resource.place,
            lifecycle=_lifecycle(resource.lifecycle),
            probe=resource.health,
            claims=claims(key, fields),
            formerly=resource.formerly,
            adopt=resource.adopt,
            external=resource.specs.get("external") is True,
            pins=about.pins,
        )

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return {
            "type": "object",
            "properties": {key: _schema_of(spec) for key, spec in sorted(specs_of(self.type).items())},
            "additionalProperties": self.type == "manifest",
        }


def _lifecycle(written: Lifecycle) -> Lifecycle:
    """The same with the field paths of `ignore` as this platform keeps them."""
    kept = tuple(_ALIASES.get(p, p.removeprefix("specs.")) for p in written.ignore)
    return replace(written, ignore=kept) if kept != written.ignore else written


def _mounts_twice(resource: Entry, fields: Fields) -> tuple[Problem, ...]:
    """Two that write one volume, or hold one port or address, cannot stand side by side."""
    if resource.lifecycle.update is not UpdateOrder.START_FIRST or not stands_alone(fields):
        return ()
    text = "start-first needs an object without volumes, published ports and a fixed address; write stop-first"
    return (resource.problem("lifecycle.update", text),)


def stands_alone(fields: Fields) -> bool:
    """True if an old and a new one cannot run at the same time."""
    return bool(fields.get("volumes")) or bool(exclusive(claims(ObjectKey("", ""), fields)))


_TEXT: Mapping[str, object] = {"type": ["string", "number"]}
_SCHEMAS: Mapping[Shape, Mapping[str, object]] = {
    Shape.TEXT: _TEXT,
    Shape.COUNT: {"type": "integer", "minimum": 0},
    Shape.CPU: {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]},
    Shape.SIZE: {"type": "string", "pattern": "^[0-9.]+ ?[KMGTP]?i?B$"},
    Shape.FLAG: {"type": "boolean"},
    Shape.WORDS: {"anyOf": [_TEXT, {"type": "array"}]},
    Shape.LIST: {"type": "array"},
    Shape.NAMES: {"type": ["array", "object"]},
    Shape.MAP: {"type": ["object", "array"]},
    Shape.PORTS: {"type": ["integer", "string", "array"]},
    Shape.TREE: {},
    Shape.SIMULATE: {"type": "object"},
}


def _schema_of(spec: Spec) -> Mapping[str, object]:
    return _SCHEMAS[spec.shape]


KINDS: Mapping[str, Kind] = {type_: SimulationKind(type_, KIND_PREFIX + type_) for type_ in TYPES}
