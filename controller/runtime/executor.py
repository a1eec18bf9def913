"""Drives one run: todos of the state machine → calls of engines → events, each journaled before it counts (I8).

Everything it decides is decided by `controller.runtime.run`; here are only bounds, retries and the order
*intent durable → do → receipt durable → poll → outcome durable*. Killed anywhere, `run` with the same id goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeVar

from controller.blueprint.entry import Probe
from controller.errors import AlmaError
from controller.plan.health import HealthState
from controller.plan.resource import ObjectKey
from controller.plan.step import Fence, OpId, Phase, Prior, Receipt, ReceiptState, Step, op_id
from controller.runtime.clock import Clock, backoff_s
from controller.runtime.guarded import Guarded
from controller.runtime.run import (
    Acted,
    Begun,
    Cancelled,
    Drained,
    Ended,
    Event,
    Intended,
    Leg,
    LegDone,
    LegFailed,
    LegKind,
    NeverActed,
    OpRef,
    RunState,
    RunWord,
    Superseded,
    Work,
    advance,
    at_barrier,
    open_intents,
    sound,
    steps_of,
    todos,
    undo_refs,
)
from controller.runtime.run_log import RunLog
from engines.engine import Conflict, Engine, EngineError, FoundState, Refused, Seal, Transient, Unclear, Values

T = TypeVar("T")
Sealer: TypeAlias = Callable[[str], Seal]  # op → what its prior state may be sealed with
_CONFLICTS = 5  # a Conflict from `do` is answered by prior + do again, at most this often
_UNDO_TRIES = 5  # A6: an inverse that fails for ever is parked
_UNDO_PATIENCE_S = 60.0  # and this long at least: a platform that restarts is away for less
_DEGRADED_IN_A_ROW = 3  # a platform that says "failed" three times in a row means it


class LeaseLost(AlmaError):
    """Another process may own this scope now: nothing more is sent; the owner goes on from the journal (I14)."""


class _StepFailed(Exception):
    """Forward or backward work cannot go on; the text is for people."""


class Hooks(Protocol):
    """What a run asks of the loop around it."""

    async def values(self, state: RunState, work: Work, step: Step) -> Values:
        """Secrets and outputs for one step, resolved now, held only while it is sent."""
        ...

    async def newer(self, state: RunState) -> str | None:
        """At a barrier: the id of a newer run that is planned, limited, gated and may run now; else None."""
        ...

    def progressed(self, state: RunState, events: Sequence[Event]) -> None:
        """After each durable batch: metrics, comment, log. Must not fail or wait."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much at once and how long; seconds."""

    in_flight: int = 8
    step_timeout_s: float = 600.0
    health_timeout_s: float = 300.0
    poll_s: float = 0.25
    call_s: float = 660.0  # an engine bounds its own calls; one that does not answer even so is Unclear after this


class Executor(Protocol):
    """Carries a run to one of its ends; safe to call again with the same id after a crash."""

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState: ...

    def cancel(self, run: str, by: str) -> bool:
        """Turn a running run round; False if it is not running here."""
        ...

    def nudge(self, run: str) -> None:
        """A newer revision waits: look at `hooks.newer` at the next barrier."""
        ...


class LocalExecutor:
    """In this process, on asyncio."""

    def __init__(
        self, engines: Mapping[str, Engine], log: RunLog, sealer: Sealer, clock: Clock, bounds: Bounds = Bounds()
    ) -> None:
        self._engines, self._log, self._sealer, self._clock, self._bounds = engines, log, sealer, clock, bounds
        self._drivers: dict[str, _Driver] = {}

    async def run(self, begun: Begun, fence: Fence, hooks: Hooks) -> RunState:
        """Begin `begun.run`, or go on with it if the journal knows it. Raises LeaseLost; engine errors are data."""
        driver = _Driver(self._engines, self._log, self._sealer, self._clock, self._bounds, fence, hooks)
        self._drivers[begun.run] = driver
        try:
            return await driver.drive(begun)
        finally:
            del self._drivers[begun.run]

    def cancel(self, run: str, by: str) -> bool:
        driver = self._drivers.get(run)
        return driver is not None and driver.cancel(by)

    def nudge(self, run: str) -> None:
        if run in self._drivers:
            self._drivers[run].nudge()


class _Driver:
    """One run in flight."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        log: RunLog,
        sealer: Sealer,
        clock: Clock,
        bounds: Bounds,
        fence: Fence,
        hooks: Hooks,
    ) -> None:
        self._engines, self._log, self._sealer, self._clock = engines, log, sealer, clock
        self._bounds, self._fence, self._hooks = bounds, fence, hooks
        self._state: RunState | None = None
        self._tasks: dict[Leg, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(bounds.in_flight)
        self._writing = asyncio.Lock()
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._cancel: str | None = None
        self._nudged = True

    @property
    def state(self) -> RunState:
        assert self._state is not None, "a run has begun before its legs run"
        return self._state

    # --- from the loop around it ---

    def cancel(self, by: str) -> bool:
        self._cancel = by
        self._wake.set()
        return self._state is not None and not self._state.word.ended

    def nudge(self) -> None:
        self._nudged = True
        self._wake.set()

    # --- the main function ---

    async def drive(self, begun: Begun) -> RunState:
        await self._recall(begun)
        try:
            while not self.state.word.ended:
                await self._turn()
        finally:
            await self._stop_tasks()
        return self.state

    async def _recall(self, begun: Begun) -> None:
        events = await self._log.read(begun.run)
        if not events:
            await self._log.append(begun.run, [begun])
            events = (begun,)
        state: RunState | None = None
        for event in events:
            state, _ = advance(state, event)
        self._state = state
        self._hooks.progressed(self.state, events)

    async def _turn(self) -> None:
        """Start what may start, then wait until something ends or someone calls."""
        if self.state.draining and not self._tasks:
            await self._drain()
            return
        if await self._turned_round():
            return
        for leg in todos(self.state):
            if leg not in self._tasks:
                self._tasks[leg] = asyncio.create_task(self._leg(leg), name=f"{self.state.run} {leg}")
        await self._until_something()

    async def _until_something(self) -> None:
        self._wake.clear()
        waker = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({waker, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
        for leg, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[leg]
                task.result()  # LeaseLost and defects surface here; engine errors became events

    async def _turned_round(self) -> bool:
        """A cancel, or a newer revision at a barrier. True if the state moved."""
        if self._cancel and not self.state.draining and self.state.word in (RunWord.RUNNING, RunWord.VERIFYING):
            by, self._cancel = self._cancel, None
            await self._emit(Cancelled(by))
            return True
        checking = all(leg.kind is LegKind.CHECK for leg in self._tasks)
        if not (self._nudged and checking and not self.state.draining and at_barrier(self.state)):
            return False
        self._nudged = False
        newer = await self._hooks.newer(self.state)
        if newer is None or self.state.draining or not at_barrier(self.state):
            return False
        await self._stop_tasks()
        await self._emit(Superseded(newer))
        return True

    async def _stop_tasks(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self) -> None:
        """Nothing is in flight: find out about each open intent, then turn round."""
        for ref in open_intents(self.state):
            step = self._step(ref)
            try:
                await self._look_up(ref, step)
            except _StepFailed as e:
                # It may have acted and nobody can tell: keep it, so that undo tries and parks if it must.
                await self._emit(Acted(ref, Receipt(self._op(ref, step), ReceiptState.VANISHED, message=str(e))))
        await self._emit(Drained())

    # --- legs ---

    async def _leg(self, leg: Leg) -> None:
        async with self._slots:
            if leg not in todos(self.state):
                return  # a failure elsewhere came first: nothing new starts
            try:
                finished = await self._carry_out(leg)
            except _StepFailed as e:
                await self._emit(LegFailed(leg, str(e)))
            else:
                if finished:
                    await self._emit(LegDone(leg))

    async def _carry_out(self, leg: Leg) -> bool:
        """True when the leg is over, False when a failure elsewhere stopped it between two steps."""
        if leg.kind in (LegKind.CHECK, LegKind.RECHECK):
            await self._verify(leg)
            return True
        if leg.kind in (LegKind.UNDO, LegKind.CLEAN):
            await self._undo(leg)
            return True
        if leg.kind is LegKind.RETIRE:
            await self._retire(leg)
            return True
        for number, _ in steps_of(self.state, leg):
            ref = OpRef(leg.work, number)
            if self.state.draining:
                return False
            await self._one(ref, self._step(ref))
        return True

    async def _retire(self, leg: Leg) -> None:
        """Nothing is undone any more: what fails is tried again as patiently as an undo is, then reported."""
        began_s, tries = self._clock.now_s(), 0
        while True:
            try:
                for number, _ in steps_of(self.state, leg):
                    ref = OpRef(leg.work, number)
                    await self._one(ref, self._step(ref))
                return
            except _StepFailed:
                tries += 1
                if self._patience_is_over(tries, began_s):
                    raise
            await self._clock.sleep(backoff_s(tries - 1, self._clock.jitter(), most_s=30.0))

    async def _undo(self, leg: Leg) -> None:
        engine = self._engine(leg.work)
        for ref in undo_refs(self.state, leg):
            op = self.state.ops[ref]
            step = self._step(ref)
            receipt = op.receipt or Receipt(self._op(ref, step), ReceiptState.VANISHED)
            for index, inverse in enumerate(self._inverse(engine, step, op.prior, receipt)):
                await self._one(replace(ref, undo=index), inverse)

    def _inverse(self, engine: Guarded, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        try:
            return engine.inverse(step, prior, receipt)
        except EngineError as e:
            raise _StepFailed(f"{step.key.name}: {e}") from e

    async def _verify(self, leg: Leg) -> None:
        effect = self.state.works[leg.work].change.effect
        assert effect.probe is not None, "a check leg exists only with a probe"
        key = effect.key if leg.kind is LegKind.CHECK else _restored_key(self.state.works[leg.work])
        await self._healthy(leg.work, key, effect.probe)

    async def _healthy(self, work: int, key: ObjectKey, probe: Probe) -> None:
        """Ask until it is healthy, three times in a row degraded, or the time is over."""
        engine = self._engine(work)
        timeout_s = float(probe.timeout_s or self._bounds.health_timeout_s)
        deadline_s = self._clock.now_s() + timeout_s
        degraded, last = 0, "no answer"
        while not self.state.draining:
            try:
                health = await self._bounded(engine.check(key, probe))
            except EngineError as e:
                last = str(e)
            else:
                if sound(health):
                    return
                last = f"{health.state}: {health.reason}" if health.reason else str(health.state)
                degraded = degraded + 1 if health.state is HealthState.DEGRADED else 0
            if degraded >= _DEGRADED_IN_A_ROW:
                raise _StepFailed(f"{key.name} is not healthy ({last})")
            if self._clock.now_s() >= deadline_s:
                raise _StepFailed(f"{key.name} was not healthy within {timeout_s:.0f} s ({last})")
            await self._clock.sleep(min(1.0, self._bounds.poll_s * 4))

    # --- one step ---

    async def _one(self, ref: OpRef, step: Step) -> None:
        """Bring one step to its end, wherever an earlier process left it."""
        known = self.state.ops.get(ref)
        if known and known.over:
            return
        receipt = known.receipt if known else None
        if known and (receipt is None or self._may_fail_again(ref, receipt)):
            receipt = await self._look_up(ref, step)
        if receipt is None or self._may_fail_again(ref, receipt):
            receipt = await self._send(ref, step)
        receipt = await self._finished(ref, step, receipt)
        await self._emit(Ended(ref, receipt))
        if step.check is not None and ref.undo < 0:
            await self._healthy(ref.work, step.key, step.check)

    def _may_fail_again(self, ref: OpRef, receipt: Receipt) -> bool:
        """A RETIRE that failed is no end of it."""
        return receipt.state is ReceiptState.FAILED and self._retires(ref)

    def _retires(self, ref: OpRef) -> bool:
        return self.state.works[ref.work].change.effect.steps[ref.step].phase is Phase.RETIRE

    async def _send(self, ref: OpRef, step: Step) -> Receipt:
        """prior → intent durable → do → receipt durable, with the contract's answers to each error."""
        engine, work = self._engine(ref.work), self.state.works[ref.work]
        op, began_s = self._op(ref, step), self._clock.now_s()
        conflicts = tries = 0
        while True:
            prior = await self._prior(engine, ref, step)
            await self._emit(Intended(ref, prior))
            try:
                values = await self._hooks.values(self.state, work, step)
                if not self._fence.holds():
                    raise LeaseLost(f"the lease of {self.state.plan.scope} is lost; its owner goes on")
                receipt = await self._bounded(engine.do(op, step, prior, values, self._fence))
            except Conflict as e:
                conflicts += 1
                if conflicts >= _CONFLICTS:
                    await self._give_up(ref, step, str(e))
            except Transient as e:
                tries += 1
                await self._pause(ref, step, e, tries, began_s)
            except Unclear as e:
                tries += 1
                found = await self._look_up(ref, step)
                if found is not None:
                    return found
                await self._pause(ref, step, Transient(str(e)), tries, began_s)
            except (Refused, AlmaError) as e:
                if isinstance(e, LeaseLost):
                    raise
                await self._give_up(ref, step, str(e))
            else:
                await self._emit(Acted(ref, receipt))
                return receipt

    async def _prior(self, engine: Guarded, ref: OpRef, step: Step) -> Prior:
        try:
            return await self._patiently(lambda: engine.prior(step, self._sealer(self._op(ref, step))), ref)
        except Conflict as e:
            raise _StepFailed(f"{step.key.name} is not what was planned against: {e}") from e
        except EngineError as e:
            raise _StepFailed(f"{step.key.name}: {e}") from e

    async def _give_up(self, ref: OpRef, step: Step, reason: str) -> None:
        """Say for certain whether it acted, then fail."""
        await self._look_up(ref, step)
        raise _StepFailed(f"{step.key.name}: {reason}")

    async def _look_up(self, ref: OpRef, step: Step) -> Receipt | None:
        """`find`: a receipt if it acted (durable already), None if it surely did not."""
        engine, op = self._engine(ref.work), self._op(ref, step)
        try:
            found = await self._patiently(lambda: engine.find(op, step), ref)
        except EngineError as e:
            raise _StepFailed(f"{step.key.name}: nobody can tell whether the last request acted ({e})") from e
        if found.state is FoundState.ACTED:
            receipt = found.receipt or Receipt(op, ReceiptState.DONE)
            await self._emit(Acted(ref, receipt))
            return receipt
        await self._emit(NeverActed(ref))
        if found.state is FoundState.TAKEN:
            raise _StepFailed(f"{step.key.name} is taken by another object, which is not ours")
        return None

    async def _finished(self, ref: OpRef, step: Step, receipt: Receipt) -> Receipt:
        """Poll until the platform says how it ended. A vanished task is sent again: `do` is safe to repeat."""
        engine, deadline_s = self._engine(ref.work), self._clock.now_s() + self._bounds.step_timeout_s
        lost = 0
        while receipt.state in (ReceiptState.RUNNING, ReceiptState.VANISHED):
            if receipt.state is ReceiptState.VANISHED:
                lost += 1
                if lost > _CONFLICTS:
                    raise _StepFailed(f"{step.key.name}: its task vanished {lost} times")
                receipt = await self._send(ref, step)
                continue
            if self._clock.now_s() >= deadline_s:
                raise _StepFailed(f"{step.key.name}: not done within {self._bounds.step_timeout_s:.0f} s")
            await self._clock.sleep(self._bounds.poll_s)
            asked = receipt
            try:
                receipt = await self._patiently(lambda r=asked: engine.poll(r), ref)  # type: ignore[misc]  # lambda default
            except EngineError as e:
                raise _StepFailed(f"{step.key.name}: {e}") from e
        if receipt.state is ReceiptState.FAILED:
            await self._emit(Acted(ref, receipt))
            raise _StepFailed(f"{step.key.name}: {receipt.message or 'failed'}")
        return receipt

    # --- bounds ---

    async def _bounded(self, call: Awaitable[T]) -> T:
        """No call holds a run for ever. Real time, not the clock's: this is about a socket, not about the plan."""
        try:
            return await asyncio.wait_for(call, self._bounds.call_s)
        except TimeoutError as e:
            raise Unclear(f"no answer within {self._bounds.call_s:.0f} s") from e

    async def _patiently(self, call: Callable[[], Awaitable[T]], ref: OpRef) -> T:
        """`call`, again after Transient or Unclear (it only reads), until the step's time or tries are over."""
        began_s, tries = self._clock.now_s(), 0
        while True:
            try:
                return await self._bounded(call())
            except (Transient, Unclear) as e:
                tries += 1
                if self._out_of_patience(ref, tries, began_s):
                    raise
                await self._clock.sleep(self._delay_s(e, tries))

    async def _pause(self, ref: OpRef, step: Step, error: Transient, tries: int, began_s: float) -> None:
        if self._out_of_patience(ref, tries, began_s):
            await self._give_up(ref, step, str(error))
        await self._clock.sleep(self._delay_s(error, tries))

    def _out_of_patience(self, ref: OpRef, tries: int, began_s: float) -> bool:
        if self._retires(ref):
            return True  # the whole leg is tried again
        if ref.undo >= 0:
            return self._patience_is_over(tries, began_s)
        spent_s = self._clock.now_s() - began_s
        return (tries >= _UNDO_TRIES and self.state.draining) or spent_s >= self._bounds.step_timeout_s

    def _patience_is_over(self, tries: int, began_s: float) -> bool:
        """Where giving up leaves work for a person."""
        spent_s = self._clock.now_s() - began_s
        return (tries >= _UNDO_TRIES and spent_s >= _UNDO_PATIENCE_S) or spent_s >= self._bounds.step_timeout_s

    def _delay_s(self, error: EngineError, tries: int) -> float:
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        return max(asked_s or 0.0, backoff_s(tries - 1, self._clock.jitter(), most_s=30.0))

    # --- names ---

    def _engine(self, work: int) -> Guarded:
        target = self.state.works[work].change.target
        if target not in self._engines:
            raise _StepFailed(f"target {target} is not in the server configuration any more; name it again")
        return Guarded(self._engines[target], target)

    def _step(self, ref: OpRef) -> Step:
        work = self.state.works[ref.work]
        return work.change.effect.steps[ref.step].for_run(work.short)

    def _op(self, ref: OpRef, step: Step) -> OpId:
        work = self.state.works[ref.work]
        number = ref.step if ref.undo < 0 else ref.step * 100 + ref.undo
        return op_id(work.run, work.change.target, step.key, number, undo=ref.undo >= 0)

    # --- events ---

    async def _emit(self, event: Event) -> None:
        """Durable first, then known. Callers at the same time share one commit."""
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, heard))
        # Shielded: a check that is cancelled in mid-write must not part the journal from the state.
        await asyncio.shield(asyncio.ensure_future(self._flush()))
        await heard
        self._wake.set()

    async def _flush(self) -> None:
        async with self._writing:
            batch, self._waiting = self._waiting, []
            if batch:
                await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Event, asyncio.Future[None]]]) -> None:
        events = [event for event, _ in batch]
        try:
            await self._log.append(self.state.run, events)
        except BaseException as e:
            for _, heard in batch:
                if not heard.done():
                    heard.set_exception(e if isinstance(e, Exception) else LeaseLost("stopped while writing"))
            raise
        for event, heard in batch:
            self._state, _ = advance(self.state, event)
            if not heard.done():
                heard.set_result(None)
        self._hooks.progressed(self.state, events)


def _restored_key(work: Work) -> ObjectKey:
    """Under which key the object stands again after an undo: the one its first cut found it under (a rename has
    planned another)."""
    steps = (s.for_run(work.short) for s in work.change.effect.steps if s.phase is Phase.CUT and s.expects.uid)
    return next((s.key for s in steps), work.change.effect.key)
