"""A tiny step runner for tests: effects → steps in the order of a run, and everything that crossed the contract.

Not the executor: no journal, no retries, no waves. It sends STAGE, then each effect's CUT, then RETIRE backwards.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.blueprint.value import Output, Value, markers
from controller.plan.resource import Allow, ObjectKey
from controller.plan.step import Effect, OpId, Phase, Prior, Receipt, ReceiptState, Sealed, Step, op_id
from engines.engine import Conflict, Engine, Values

POLLS_MAX = 2000
_CONFLICTS = 5


class MemorySeal:
    """A seal for tests: what it holds never appears in the blob."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}

    def seal(self, plain: bytes) -> Sealed:
        blob = f"sealed-{len(self._held)}"
        self._held[blob] = plain
        return Sealed(blob)

    def open(self, sealed: Sealed) -> bytes:
        return self._held[sealed.blob]


@dataclass(slots=True)
class Held:
    """A fence that a test opens and closes."""

    epoch: int = 1
    held: bool = True

    def holds(self) -> bool:
        return self.held


class StepFailed(Exception):
    """A step ended otherwise than done."""


@dataclass(frozen=True, slots=True)
class Done:
    """One step that was sent, and all that came back."""

    op: OpId
    step: Step
    prior: Prior
    receipt: Receipt


async def at_once() -> None:
    """Between two polls of a platform whose time is ours."""


@dataclass(slots=True)
class Runner:
    """Sends steps to one engine under one run id. `pause` is waited for between polls."""

    engine: Engine
    run: str = "run1"
    target: str = "one"
    secrets: Mapping[str, str] = field(default_factory=dict)
    allow: Allow = field(default_factory=Allow)
    seal: MemorySeal = field(default_factory=MemorySeal)
    fence: Held = field(default_factory=Held)
    pause: Callable[[], Awaitable[None]] = at_once
    outputs: dict[tuple[str, str], Value] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    numbers: Iterable[int] = field(default_factory=itertools.count)

    def values(self) -> Values:
        return Values(self.secrets, self.outputs, self.seal.open, self.allow)

    def next_op(self, key: ObjectKey) -> OpId:
        return op_id(self.run, self.target, key, next(iter(self.numbers)))

    async def send(self, step: Step, resource: str = "") -> Done:
        """prior → do → poll. Raises what the engine raises, or StepFailed. A Conflict from `do` is answered by both
        again, at most five times in all (engine.md): a platform's own controllers write too."""
        op = self.next_op(step.key)
        prior, receipt = await self._sent(op, step)
        done = Done(op, step, prior, await self.ended(receipt))
        self.done.append(done)
        if done.receipt.state is not ReceiptState.DONE:
            raise StepFailed(f"{step.request['call']} {step.key}: {done.receipt}")
        self.outputs.update({(resource, k): v for k, v in done.receipt.outputs.items()})
        return done

    async def _sent(self, op: OpId, step: Step) -> tuple[Prior, Receipt]:
        for _ in range(_CONFLICTS - 1):
            prior = await self.engine.prior(step, self.seal)
            with contextlib.suppress(Conflict):
                return prior, await self.engine.do(op, step, prior, self.values(), self.fence)
            await self.pause()
        prior = await self.engine.prior(step, self.seal)
        return prior, await self.engine.do(op, step, prior, self.values(), self.fence)

    async def ended(self, receipt: Receipt) -> Receipt:
        for _ in range(POLLS_MAX):
            if receipt.state is not ReceiptState.RUNNING:
                return receipt
            await self.pause()
            receipt = await self.engine.poll(receipt)
        raise StepFailed(f"still running after {POLLS_MAX} polls: {receipt}")

    async def apply(self, effects: Iterable[Effect]) -> list[Done]:
        """Every step of these effects. Raises at the first that fails."""
        sent = []
        for resource, step in ordered(effects, self.run):
            sent.append(await self.send(step, resource))
        return sent

    async def undo(self, done: Sequence[Done]) -> None:
        """The inverses of these steps, last first."""
        for one in reversed(done):
            for step in self.engine.inverse(one.step, one.prior, one.receipt):
                await self.send(step)


def ordered(effects: Iterable[Effect], run: str) -> list[tuple[str, Step]]:
    """(resource, step) in the order of a run: STAGE without outputs, per effect the rest and its CUT, RETIRE back."""
    listed = list(effects)
    steps = [(i, str(e.resource), s.for_run(run)) for i, e in enumerate(listed) for s in e.steps]
    early = [(r, s) for _, r, s in steps if s.phase is Phase.STAGE and not needs_output(s)]
    late = [(r, s) for _, r, s in steps if s.phase is Phase.CUT or (s.phase is Phase.STAGE and needs_output(s))]
    last = [(i, r, s) for i, r, s in steps if s.phase is Phase.RETIRE]
    return [*early, *late, *((r, s) for _, r, s in sorted(last, key=lambda x: -x[0]))]


def needs_output(step: Step) -> bool:
    return any(isinstance(m, Output) for m in markers(step.request))


async def apply(engine: Engine, effects: Iterable[Effect], run: str = "run1") -> list[Done]:
    """Carry out these effects with a fresh runner: no secrets, a fence that holds."""
    return await Runner(engine, run).apply(effects)
