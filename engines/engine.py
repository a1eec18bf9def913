"""The contract that carries every platform through plan, apply, verify, undo and crash recovery (engine.md).

An engine is one target: it reads, predicts and sends one request at a time. It never plans, retries, sleeps or
journals. What crosses here is frozen, JSON-safe and free of secret values (but `Values`, made where `do` runs).
One conformance suite (`tests/engines/conformance.py`) holds every engine to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

from controller.blueprint.entry import Entry, Probe
from controller.blueprint.value import Output, Secret, Value, replace
from controller.plan.health import Health
from controller.plan.resource import Allow, Claim, Desired, Kind, Masked, ObjectKey, Snapshot
from controller.plan.step import Effect, Fence, OpId, Prior, Receipt, Sealed, Step


class EngineError(Exception):
    """Base of the four. The text is redacted and at most 4 KiB before it is raised (I28)."""


class Transient(EngineError):
    """May succeed later, nothing was done: a 429, a locked guest."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(EngineError):
    """Not what was planned against: observe again."""


class Refused(EngineError):
    """Trying again cannot help: a 403, a quota, an admission denial: a person must act."""


class Unclear(EngineError):
    """It may have acted: the answer was lost. `find` before anything else."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one observe must answer for: all objects of these scopes of this install, and whoever sits on the keys or
    claims. `everything`: foreign objects too."""

    install: str
    scopes: frozenset[str] = frozenset()
    keys: frozenset[ObjectKey] = frozenset()
    claims: frozenset[Claim] = frozenset()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What stands at the other end, and what our credentials may do there."""

    version: str
    rights: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # rights the engine's kinds need and do not have, each with the mend


class FoundState(StrEnum):
    ACTED = "acted"
    NOT_YET = "not-yet"
    TAKEN = "taken"  # the name belongs to another


@dataclass(frozen=True, slots=True)
class Found:
    """After a crash or `Unclear`: what became of one op. `receipt` is there when it acted (perhaps still running)."""

    state: FoundState
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """'Look at this scope'. Only latency depends on it."""

    scope: str | None = None
    key: ObjectKey | None = None


class Seal(Protocol):
    """Authenticated encryption under the server's key."""

    def seal(self, plain: bytes) -> Sealed: ...

    def open(self, sealed: Sealed) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Values:
    """The values a step's markers stand for. Lives only while `do` runs; never logged, stored or printed."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    outputs: Mapping[tuple[str, str], Value] = field(default_factory=dict, repr=False)
    unseal: Callable[[Sealed], bytes] | None = field(default=None, repr=False)
    allow: Allow = Allow()  # checked again on the filled body right before it is sent (I38)

    def fill(self, value: Value) -> Value:
        """`value` with every Secret and Output replaced. Raises Refused naming the reference that is missing."""
        return replace(value, self._leaf)

    def _leaf(self, leaf: object) -> object:
        if isinstance(leaf, Secret):
            if leaf.ref not in self.secrets:
                raise Refused(f"secret {leaf.ref} is not available")
            return self.secrets[leaf.ref]
        if isinstance(leaf, Output):
            if (leaf.resource, leaf.key) not in self.outputs:
                raise Refused(f"{leaf.resource} has no output {leaf.key} yet")
            return self.outputs[leaf.resource, leaf.key]
        return leaf


class Redact(Protocol):
    """Cuts secrets, control characters and length out of text that others wrote (I28)."""

    def __call__(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Binding:
    """What an engine is opened with: one target of the server configuration and the few things it may not make up."""

    install: str
    target: str
    config: Mapping[str, object]  # the target's entry, secrets already resolved; never printed
    mask: Callable[[str], Masked]  # keyed hash of a secret value
    redact: Redact
    clock: Callable[[], float]  # seconds, monotonic
    state_dir: Path  # for what an engine must keep between runs of one process; may not exist yet
    registries: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)  # host → login, password


@runtime_checkable
class Renders(Protocol):
    """A kind whose resources may stand in files beside their blueprint: manifests, a chart, a kustomization."""

    def sources(self, resource: Entry) -> Mapping[str, str]:
        """Pure. Key of `specs` → the file or folder it names, as written; empty where everything stands in `specs`."""
        ...

    async def render(
        self, resource: Entry, paths: Mapping[str, str], files: Mapping[str, bytes]
    ) -> Mapping[str, bytes]:
        """YAML streams by name, made of `files` (paths from the repository's root) by a confined process without
        network. `paths`: what `sources` named, from the root. Raises InvalidInput."""
        ...

    def without_sources(self, specs: Mapping[str, Value]) -> Mapping[str, Value]:
        """Pure. `specs` as they read once the objects stand in them under `manifests`."""
        ...


class Engine(Protocol):
    """One target. Raises `Transient(retry_after_s)`, `Conflict`, `Refused`, `Unclear`, and nothing else."""

    kinds: ClassVar[Mapping[str, Kind]]  # blueprint type (`container`, `compute`, …) → pure kind
    schemes: ClassVar[Mapping[str, str]]  # keys of the target's configuration → what they mean

    @classmethod
    def open(cls, binding: Binding) -> Self:
        """Connects to nothing yet. Raises InvalidInput when the target's configuration is wrong."""
        ...

    async def close(self) -> None: ...

    async def about(self) -> TargetInfo:
        """Version, rights held, rights missing for `kinds`. Changes nothing."""
        ...

    async def observe(self, ask: Ask) -> Snapshot:
        """All objects of the asked scopes of this install, found by mark, and whoever sits on the asked keys or
        claims; `Ask.everything`: foreign ones too. One pass serves every scope that is due. A read per object only
        where no list tells. What was not seen is a gap."""
        ...

    async def preview(self, wanted: Sequence[Desired], seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Read-only. One Effect per wanted object and per owned object of `scope` nobody wants. May ask the platform,
        not for objects whose own fields already agree. Draws no time, id or random value. Applied or imported state
        previews to no step."""
        ...

    async def sweep(self, seen: Snapshot, scope: str) -> tuple[Effect, ...]:
        """Arithmetic on `seen`. One Effect per part of `scope` of this install that a run left on the target
        (`Part.STAGED`, `Part.KEPT`); asked only while no run of the scope is open. A staged part goes: `destroy` of its
        own key, disruption none. A kept part gets its name back and runs again, the same uid, where nothing stands in
        its place: `create` of the object's key. Any other kept part: an Effect without steps, whose reason says what a
        person must look at and remove. An engine that makes no parts returns nothing."""
        ...

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """What `inverse` will need, read as late as possible; secret values only through `seal`. Checks `expects`:
        if uid or those fields moved, Conflict. Returns the version read; `do` writes against that one."""
        ...

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Send exactly this request, marked `op`, if `fence` holds, `expects` holds and the filled body passes policy
        (I38). Same op twice: one effect. Long work returns at once with its task id; without one (a pull) the op id
        is the task: after a restart `poll` says vanished, and `do` is safe to repeat."""
        ...

    async def poll(self, receipt: Receipt) -> Receipt:
        """Ask once: running (progress), done (uid, outputs), failed (last lines, redacted), vanished."""
        ...

    async def find(self, op: OpId, step: Step) -> Found:
        """After a crash or `Unclear`: acted, not yet, or taken by another. Decided from key, mark, uid and task list,
        never from the journal. Where the platform keeps no mark of a request (stop, rename, start, power), a state
        already reached on this uid counts as acted."""
        ...

    def inverse(self, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        """Pure. The steps that put `prior` back, run by the same do, poll and find."""
        ...

    async def check(self, key: ObjectKey, probe: Probe) -> Health:
        """Ask once: the platform's own word or the user's probe, from where it can run."""
        ...

    def hints(self) -> AsyncIterator[Hint]:
        """'Look at this scope' (watch, events). May end or lie; only latency depends on it."""
        ...
