"""A simulated platform for tests, and how a test disturbs it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from controller.plan.resource import Allow, Desired, Masked, ObjectKey
from engines.engine import Binding
from engines.simulation import SimulationEngine
from engines.simulation.tamper import place, tamper
from engines.simulation.world import World, empty
from tests.engines.conformance import INSTALL


def keyed(text: str) -> Masked:
    """The hash of a secret under a key of the tests."""
    return Masked(sha256(b"key of the tests" + text.encode()).hexdigest())


def as_it_is(text: str) -> str:
    """Nothing to redact here: the simulation quotes no text of others."""
    return text


def binding(folder: Path, install: str = INSTALL, **config: Any) -> Binding:
    """A target `one` of this engine, its state file in `folder`."""
    given = {"engine": "simulation", **config}
    return Binding(install, "one", given, keyed, as_it_is, lambda: 0.0, folder)


@dataclass(slots=True)
class SimulatedPlatform:
    """`tests.engines.conformance.Harness` over a state file."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    allow: Allow = field(default_factory=Allow)

    @property
    def path(self) -> Path:
        return self.folder / "simulation" / "one.json"

    async def open(self) -> SimulationEngine:
        return SimulationEngine.open(binding(self.folder, **self.config))

    def data(self) -> dict[str, Any]:
        """The state file, or an empty platform before the first write."""
        return dict(orjson.loads(self.path.read_bytes())) if self.path.exists() else empty()

    async def world(self) -> Mapping[str, str]:
        return {k: orjson.dumps(v, option=orjson.OPT_SORT_KEYS).decode() for k, v in self.data()["objects"].items()}

    def ledger(self) -> list[tuple[str, str]]:
        """Every accepted mutation so far: call and key (oracle W)."""
        return [(row["call"], row["key"]) for row in self.data()["ledger"]]

    async def tamper(self, key: ObjectKey, path: str) -> None:
        await tamper(World(self.path), key, path, _other(self.data()["objects"][str(key)]["fields"].get(path)))

    async def foreign(self, wanted: Desired) -> str:
        plain = {p: v for p, v in wanted.fields.items() if isinstance(v, str | int)}
        return await place(World(self.path), wanted.key, plain)

    async def twin(self, key: ObjectKey) -> str:
        return await place(World(self.path), key, {})

    @contextlib.asynccontextmanager
    async def unreadable(self) -> AsyncIterator[None]:
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[: len(whole) // 2])
        yield
        self.path.write_bytes(whole)

    async def pause(self) -> None:
        """Its time passes with each poll."""


def _other(value: object) -> object:
    """A value of the same shape that is not this one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    if isinstance(value, str) and value.endswith("GB"):
        return f"{int(value[:-2]) + 1}GB"
    return f"{value}-by-hand"
