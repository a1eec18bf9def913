"""What the tests of the Docker engine share: entries in words, and a small run of previewed steps with undo.

The run here is the shape of engine.md (every STAGE, then CUT, then RETIRE; on failure the inverses in reverse), without
journal, waves or waiting; the real one has its own tests.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controller.blueprint.entry import Entry
from controller.errors import Place, Problem
from controller.plan.resource import Allow, Desired, Expanding, Masked, ObjectKey, Snapshot
from controller.plan.step import Effect, Phase, Prior, Receipt, ReceiptState, Sealed, Step, op_id
from engines.docker.engine import DockerEngine
from engines.docker.kinds import KINDS
from engines.engine import Ask, Binding, EngineError, Values

SCOPE, BLUEPRINT, INSTALL, TARGET = "prod", "shop", "home", "edge"
KEY = b"key of the tests"


def entry(name: str, type_: str = "container", scope: str = SCOPE, **more: Any) -> Entry:
    """An entry as the loader would make it; `specs` and every other part as keywords."""
    return Entry(scope, BLUEPRINT, name, type_, Place("shop.yaml", 3, 5), **more)


def web(name: str = "web", image: str = "alma-test/web:1.0", **specs: Any) -> Entry:
    return entry(name, specs={"image": image, "stop_grace": "5s", **specs})


def expand(entries: Sequence[Entry], allow: Allow | None = None) -> tuple[list[Desired], list[Problem]]:
    """All desired objects and all problems of one blueprint."""
    scope = entries[0].scope if entries else SCOPE
    names = {e.name: KINDS[e.type].key(e, e.scope) for e in entries}
    about = Expanding(scope, TARGET, allow or Allow(), names)
    made = [KINDS[e.type].expand(e, about) for e in entries]
    return [d for objects, _ in made for d in objects], [p for _, problems in made for p in problems]


def desired(entries: Sequence[Entry], allow: Allow | None = None) -> list[Desired]:
    objects, problems = expand(entries, allow)
    assert not problems, [str(p) for p in problems]
    return objects


def mask(value: str) -> Masked:
    return Masked(hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest())


def redact(text: str) -> str:
    return text[:4096]


@dataclass(slots=True)
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def binding(url: str, clock: Clock | None = None, **more: Any) -> Binding:
    return Binding(INSTALL, TARGET, {"url": url}, mask, redact, clock or Clock(), Path("unused"), **more)


class Held:
    """A fence that is held, or not."""

    def __init__(self, held: bool = True) -> None:
        self.held = held
        self.epoch = 1

    def holds(self) -> bool:
        return self.held


class PlainSeal:
    """No secret ever reaches it here; it only has to exist."""

    def seal(self, plain: bytes) -> Sealed:
        return Sealed(plain.hex())

    def open(self, sealed: Sealed) -> bytes:
        return bytes.fromhex(sealed.blob)


@dataclass(frozen=True, slots=True)
class Done:
    """One step that was carried out."""

    step: Step
    prior: Prior
    receipt: Receipt


@dataclass(slots=True)
class Run:
    """Carries out effects against an engine."""

    engine: DockerEngine
    id: str = "run1"
    allow: Allow = Allow()
    secrets: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[tuple[str, str], object] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    number: int = 0
    sent: list[str] = field(default_factory=list)

    async def carry_out(self, effects: Sequence[Effect], phases: Sequence[Phase] = tuple(Phase)) -> None:
        """Every step of these phases; raises what a step raises."""
        for phase in phases:
            for effect in effects:
                for step in effect.steps:
                    if step.phase is phase:
                        await self.one(step)

    async def one(self, planned: Step, *, undo: bool = False) -> Receipt:
        step = planned.for_run(self.id)
        self.number += 1
        op = op_id(self.id, TARGET, step.key, self.number, undo=undo)
        prior = await self.engine.prior(step, PlainSeal())
        self.sent.append(str(step.request["call"]))
        receipt = await self.engine.do(op, step, prior, Values(self.secrets, self.outputs, allow=self.allow), Held())
        while receipt.state is ReceiptState.RUNNING:
            await asyncio.sleep(0.02)
            receipt = await self.engine.poll(receipt)
        if receipt.state is not ReceiptState.DONE:
            raise EngineError(receipt.message)
        if not undo:
            self.done.append(Done(step, prior, receipt))
        return receipt

    async def undo(self) -> None:
        """Everything done so far, in reverse."""
        for done in reversed(self.done):
            for step in self.engine.inverse(done.step, done.prior, done.receipt):
                await self.one(step, undo=True)
        self.done.clear()


async def observe(engine: DockerEngine, wanted: Sequence[Desired] = (), scope: str = SCOPE) -> Snapshot:
    keys = frozenset(d.key for d in wanted)
    claims = frozenset(c for d in wanted for c in d.claims)
    return await engine.observe(Ask(INSTALL, frozenset({scope}), keys, claims))


async def plan(
    engine: DockerEngine, entries: Sequence[Entry], allow: Allow | None = None, scope: str = SCOPE
) -> tuple[Effect, ...]:
    wanted = desired(entries, allow) if entries else []
    return await engine.preview(wanted, await observe(engine, wanted, scope), scope)


async def deploy(engine: DockerEngine, entries: Sequence[Entry], run: str = "run1", **more: Any) -> tuple[Effect, ...]:
    """Plans and carries out; returns the effects."""
    effects = await plan(engine, entries, more.get("allow"))
    await Run(engine, run, **more).carry_out(effects)
    return effects


async def still_to_do(engine: DockerEngine, entries: Sequence[Entry], **more: Any) -> list[str]:
    """What a second pass would change, in words that a failing test shows."""
    left = [e for e in await plan(engine, entries, **more) if e.steps]
    return [f"{e.action} {e.key} {c.path}: {c.before!r} → {c.after!r}" for e in left for c in e.fields or (None,) if c]


def only(effects: Sequence[Effect], name: str) -> Effect:
    """The effect of the resource `name`."""
    return next(e for e in effects if e.resource.name == name)


def key(name: str, kind: str = "docker/container") -> ObjectKey:
    return ObjectKey(kind, name)


def with_specs(one: Entry, **specs: Any) -> Entry:
    return replace(one, specs={**one.specs, **specs})
