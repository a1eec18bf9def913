"""The real executor over one simulated target and a real journal, with time that passes only when someone sleeps."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.blueprint.entry import Entry
from controller.blueprint.value import Output, Secret, Value, markers
from controller.journal.journal import Journal
from controller.plan.graph import DesiredGraph
from controller.plan.planner import make_plan
from controller.plan.step import Step
from controller.runtime.executor import LocalExecutor
from controller.runtime.live_run import Bounds, Means
from controller.runtime.run import Begun, Event, RunState, Work
from controller.runtime.run_log import RunLog
from controller.runtime.step_values import run_outputs
from controller.seal import Key
from engines.engine import Engine, Values
from engines.simulation import SimulationEngine
from tests.controller.runtime.clocks import VirtualClock
from tests.engines.conformance import SCOPE, Stage
from tests.engines.running import Held, Runner
from tests.engines.simulated import SimulatedPlatform, binding

KEY = Key.of(b"k" * 32)
CALL_S = 0.05  # real: how long a call that hangs is waited for


@dataclass
class Asked:
    """`Hooks` that fill in outputs of this run and one secret; a test may listen to what happened."""

    heard: Callable[[RunState, Sequence[Event]], None] = lambda state, events: None
    newer_run: str | None = None
    seen: list[Mapping[tuple[str, str], Value]] = field(default_factory=list)

    async def values(self, state: RunState, work: Work, step: Step) -> Values:
        known = run_outputs(state)
        wanted = list(markers(step.request))
        outputs = {(m.resource, m.key): known[m.resource][m.key] for m in wanted if isinstance(m, Output)}
        self.seen.append(outputs)
        return Values({m.ref: "hunter2" for m in wanted if isinstance(m, Secret)}, outputs, KEY.unseal)

    async def newer(self, state: RunState) -> str | None:
        return self.newer_run

    def progressed(self, state: RunState, events: Sequence[Event]) -> None:
        self.heard(state, events)


@dataclass
class Field:
    """One journal, many platforms."""

    journal: Journal
    clock: VirtualClock
    names: Any = field(default_factory=itertools.count)

    @property
    def log(self) -> RunLog:
        return RunLog(self.journal)

    async def begun(self, folder: Path, wanted: Sequence[Entry]) -> Begun:
        """A new run that takes the platform in `folder` to `wanted`, planned against what is there now."""
        stage = a_stage(folder)
        desired, snapshot = stage.wanted(wanted), await stage.look(stage.wanted(wanted))
        edges = {e.id: e.dependencies for e in wanted}
        levels = {e.id: e.wave for e in wanted}
        graph = DesiredGraph(SCOPE, tuple(wanted), {"one": desired}, edges, levels, "fingerprint")
        effects = {"one": await stage.engine.preview(desired, snapshot, SCOPE)}
        return Begun(f"run{next(self.names):05}", make_plan(graph, {"one": snapshot}, effects, "rev"))

    def executor(self, engine: Engine, **bounds: Any) -> LocalExecutor:
        limits = Bounds(**{"health_timeout_s": 20.0, "step_timeout_s": 60.0, "call_s": CALL_S, **bounds})
        return LocalExecutor(Means({"one": engine}, self.log, KEY.sealer, self.clock, limits))

    async def run(self, folder: Path, begun: Begun, hooks: Asked | None = None, **config: Any) -> RunState:
        """Carried out against a platform that fails as `config` says."""
        return await self.executor(an_engine(folder, **config)).run(begun, Held(), hooks or Asked())


@asynccontextmanager
async def a_field(folder: Path) -> AsyncIterator[Field]:
    clock = VirtualClock()
    journal = await Journal.open(f"sqlite:///{folder}/alma.db", now=clock.wall)
    try:
        yield Field(journal, clock)
    finally:
        await journal.close()


def an_engine(folder: Path, **config: Any) -> SimulationEngine:
    return SimulationEngine.open(binding(folder, **config))


def a_stage(folder: Path) -> Stage:
    engine = an_engine(folder)
    return Stage(SimulatedPlatform(folder), engine, Runner(engine, run="before"))


def platform_like(template: Path, folder: Path) -> Path:
    """Another platform just like the one in `template`."""
    if template.exists():
        shutil.copytree(template, folder)
    else:
        folder.mkdir(parents=True)
    return folder


def world(folder: Path, *, uids: bool = False) -> dict[str, Any]:
    """Every object without what each write changes."""
    objects = SimulatedPlatform(folder).data()["objects"]
    lost = {"version": 0, "checks": 0} | ({} if uids else {"uid": ""})
    return {k: {**r, "mark": {**(r["mark"] or {}), "op": ""}, **lost} for k, r in objects.items()}
