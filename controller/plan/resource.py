"""What a scope wants and what is there: ids, keys, marks, claims, and one live object as seen.

Everything here is frozen, JSON-safe through `controller.plan.codec` and free of secret values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeAlias

from controller.blueprint.entry import Entry, Lifecycle, OnDelete, Probe
from controller.blueprint.value import Value
from controller.errors import Place, Problem
from controller.plan.health import Health, HealthState

# Flat: dotted field path → JSON value (int, str, bool, None, list, map; markers in what is wanted, Masked in what
# was seen). A list that has keys of its own is one path per key (`env.PORT`, `ports.80/tcp`), so that three-way
# diffs, `ignore` and marks all speak of the same thing.
Fields: TypeAlias = Mapping[str, Value]
NO_FIELDS: Fields = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class ResourceId:
    """`scope/blueprint/resource`; str() and `parse` are inverse."""

    scope: str
    blueprint: str
    name: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.blueprint}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        scope, blueprint, name = text.split("/")
        return cls(scope, blueprint, name)


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Kind (`docker/container`) and natural name on its target. Chosen here, never by the platform (I10).
    In a Step the name may hold `${run}`, filled when the run starts."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Masked:
    """Stands where a secret value was seen. `keyed_hash` is None where no key is there to compare by."""

    keyed_hash: str | None


@dataclass(frozen=True, slots=True)
class MarkLifecycle:
    """The part of a lifecycle that must outlive the blueprint entry, so it lies on the object."""

    protect: bool = False
    on_delete: OnDelete = OnDelete.DESTROY

    @classmethod
    def of(cls, lifecycle: Lifecycle) -> MarkLifecycle:
        return cls(lifecycle.protect, lifecycle.on_delete)


@dataclass(frozen=True, slots=True)
class Mark:
    """Ownership, read from the object only. `fields` are the paths ALMA set last; `secrets` those of them that
    hold secret values."""

    install: str
    scope: str
    resource: str
    op: str
    lifecycle: MarkLifecycle = MarkLifecycle()
    fields: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()


class Part(StrEnum):
    """`current` is what users meet. `staged` and `kept` belong to the run in their name: never compared, never
    planned, removed only by that run or the sweep."""

    CURRENT = "current"
    STAGED = "staged"
    KEPT = "kept"


class ClaimKind(StrEnum):
    NAME = "name"
    PORT = "port"
    ADDRESS = "address"
    VOLUME = "volume"
    MEMORY = "memory"
    CPU = "cpu"
    DISK = "disk"


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """One thing of a target that only one can hold (`port 8080/tcp` within an address, `*` = every address), or
    with `amount` > 0 a share of something counted (bytes, millicores)."""

    kind: ClaimKind
    value: str
    within: str = "*"
    amount: int = 0
    shared: bool = False  # a volume mounted by several: used, not owned

    def collides(self, other: Claim) -> bool:
        """True if both cannot be held by different objects at once."""
        if self.amount or other.amount or (self.shared and other.shared):
            return False
        overlap = self.within == other.within or "*" in (self.within, other.within)
        return overlap and (self.kind, self.value) == (other.kind, other.value)

    def __str__(self) -> str:
        where = "" if self.within == "*" else f" on {self.within}"
        return f"{self.kind} {self.value}{where}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One live object. Secret values are already gone: `Masked` stands in their place."""

    key: ObjectKey
    uid: str | None  # the platform's identity: a twin under the same name is another object
    version: str | None  # what a write must still find: resourceVersion, config digest
    mark: Mark | None  # None: foreign
    part: Part
    claims: frozenset[Claim]  # ports, names, addresses, volumes it holds now, foreign ones too
    fields: Fields  # in effect now
    pending: Fields = field(default_factory=lambda: NO_FIELDS)  # accepted, in effect after a restart
    outputs: Fields = field(default_factory=lambda: NO_FIELDS)
    health: Health = Health(HealthState.UNKNOWN)
    task: str | None = None  # being worked on by this task: neither drift nor missing


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was asked for and not read in full (I9): a kind, a namespace, a node, or everything ("*")."""

    kind: str
    reason: str
    within: str = "*"

    def hides(self, key: ObjectKey) -> bool:
        return self.kind in ("*", key.kind)


@dataclass(frozen=True, slots=True)
class Capacity:
    """Total and free; a figure the platform hides is None, never 0."""

    cpu_millicores: int | None = None
    cpu_millicores_free: int | None = None
    memory_bytes: int | None = None
    memory_bytes_free: int | None = None
    disk_bytes: int | None = None
    disk_bytes_free: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of a target, for every scope that was due."""

    objects: tuple[Seen, ...] = ()
    gaps: tuple[Gap, ...] = ()
    capacity: Capacity = Capacity()


@dataclass(frozen=True, slots=True)
class Desired:
    """One object that a scope wants on a target. Made by `Kind.expand`, markers still in `fields`."""

    resource: ResourceId
    key: ObjectKey
    fields: Fields
    place: Place
    lifecycle: Lifecycle = Lifecycle()
    probe: Probe | None = None  # None: the engine chooses (HEALTHCHECK, else running)
    claims: frozenset[Claim] = frozenset()
    formerly: tuple[str, ...] = ()  # resource ids (full) whose mark this one takes over
    adopt: str | None = None  # the uid a person named (I16)
    external: bool = False  # used and claimed, never changed
    pins: Mapping[str, str] = field(default_factory=dict)  # NAME:TAG → digest that was reviewed
    private: Mapping[str, Value] = field(default_factory=dict)  # what only its own engine reads
    needs: tuple[str, ...] = ()  # resource ids named in `specs` (a network, a volume): dependencies like written ones


@dataclass(frozen=True, slots=True)
class Allow:
    """What server policy lets the blueprints of one repository ask for (I38). The default denies all of it."""

    targets: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # `docker.host_paths` → patterns

    def option(self, name: str) -> tuple[str, ...]:
        return self.options.get(name, ())


@dataclass(frozen=True, slots=True)
class Expanding:
    """What `Kind.expand` knows beside the entry itself."""

    scope: str
    target: str
    allow: Allow
    names: Mapping[str, ObjectKey]  # names of this blueprint's resources on this target → their natural keys
    pins: Mapping[str, str] = field(default_factory=dict)


class Kind(Protocol):
    """What an engine makes of one resource type. Pure: no call, no clock, no random value."""

    name: str  # `docker/container`
    outputs: frozenset[str]

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """Natural key of the resource's main object: `specs.name`, else SCOPE-BLUEPRINT-RESOURCE."""

    def expand(self, resource: Entry, about: Expanding) -> tuple[tuple[Desired, ...], tuple[Problem, ...]]:
        """One Desired per object, or the problems (with place) that say why there are none."""

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs` for this kind."""
