"""One resource of a blueprint after loading: names resolved, values substituted, every part with its place.

This is what leaves the room. The pydantic models of `schema` say what a file may hold; an `Entry` says what a scope
wants, in words that engines expand into objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from controller.blueprint.value import Value
from controller.errors import Place, Problem


class Disruption(StrEnum):
    """Told by effect, not mechanism (design.md 2). The order of definition is the order of severity."""

    NONE = "none"
    IN_PLACE = "in-place"
    RESTART = "restart"
    REBOOT = "reboot"
    RECREATE = "recreate"
    DATA_LOSS = "data-loss"

    @property
    def rank(self) -> int:
        """0 for none … 5 for data-loss."""
        return _SEVERITY[self]


_SEVERITY = {d: i for i, d in enumerate(Disruption)}


class OnDelete(StrEnum):
    DESTROY = "destroy"
    RETAIN = "retain"


class UpdateOrder(StrEnum):
    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What a person said about how a resource may change."""

    protect: bool = False
    ignore: tuple[str, ...] = ()  # field paths, each with everything below it
    on_delete: OnDelete = OnDelete.DESTROY
    max_disruption: Disruption | None = None
    update: UpdateOrder | None = None  # None: the engine's default for what it is


class ProbeKind(StrEnum):
    HTTP = "http"
    TCP = "tcp"
    EXEC = "exec"
    RUNNING = "running"  # up without restart for 10 s
    PLATFORM = "platform"  # the platform's own word: HEALTHCHECK, kstatus, guest agent


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask once whether an object is healthy. `timeout_s` bounds the whole wait for the first healthy."""

    kind: ProbeKind
    port: int | None = None
    path: str = "/"
    command: tuple[str, ...] = ()
    timeout_s: int | None = None  # None: the server's health_timeout


@dataclass(frozen=True, slots=True)
class Waived:
    """A finding someone accepts until a date, and why."""

    rule: str
    reason: str
    by: str
    until: date
    place: Place


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A drifted field someone accepts until a date, and why."""

    field: str
    reason: str
    until: date
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One wanted resource. `places` maps a dotted path inside the entry (`specs.memory`, `specs.ports.0`) to where
    it is written; `locate` finds the nearest one."""

    scope: str
    blueprint: str
    name: str
    type: str
    place: Place
    provider: str | None = None  # canonical (`fake` → simulation); None: the scope's only engine decides
    product: str | None = None  # the key `engine:` (postgresql, nginx)
    version: str | None = None
    target: str | None = None
    specs: Mapping[str, Value] = field(default_factory=dict)
    network: Mapping[str, Value] = field(default_factory=dict)
    backup: Mapping[str, Value] = field(default_factory=dict)
    metadata: Mapping[str, Value] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()  # full ids, references included
    health: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    wave: int = 0
    formerly: tuple[str, ...] = ()  # full ids
    adopt: str | None = None
    waivers: tuple[Waived, ...] = ()
    tolerate: tuple[Tolerated, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    index: int = 0  # position in its file, for the path form `resources.0.specs.memory`

    @property
    def id(self) -> str:
        return f"{self.scope}/{self.blueprint}/{self.name}"

    def locate(self, path: str) -> Place:
        """The place of `path`, or of the nearest part above it that is written down."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return self.place

    def problem(self, path: str, message: str) -> Problem:
        """A Problem at `path` of this entry, in the form of M02."""
        return Problem(self.locate(path), message, f"resources.{self.index}.{path}" if path else self.name)
