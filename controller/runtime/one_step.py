"""Brings one step to its end: *intent durable → do → receipt durable → poll → outcome durable*, with the contract's
answer to each error of an engine, and bounded patience. Killed anywhere, `carry_out` of the same step goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from controller.errors import AlmaError
from controller.plan.step import Phase, Prior, Receipt, ReceiptState, Step
from controller.runtime.clock import backoff_s
from controller.runtime.guarded import Guarded
from controller.runtime.health_wait import until_healthy
from controller.runtime.live_run import LeaseLost, LiveRun, StepFailed
from controller.runtime.run import Acted, Ended, Intended, NeverActed, OpRef
from engines.engine import Conflict, EngineError, FoundState, Refused, Transient, Unclear

T = TypeVar("T")
_CONFLICTS = 5  # a Conflict from `do` is answered by prior + do again, at most this often
_UNDO_TRIES = 5  # A6: an inverse that fails for ever is parked
_UNDO_PATIENCE_S = 60.0  # and this long at least: a platform that restarts is away for less


class OneStep:
    """The steps of one run, one at a time. Raises StepFailed and LeaseLost."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    async def carry_out(self, ref: OpRef, step: Step) -> None:
        """Bring one step to its end, wherever an earlier process left it."""
        known = self._live.state.ops.get(ref)
        if known and known.over:
            return
        receipt = known.receipt if known else None
        if known and (receipt is None or self._may_fail_again(ref, receipt)):
            receipt = await self.look_up(ref, step)
        if receipt is None or self._may_fail_again(ref, receipt):
            receipt = await self._send(ref, step)
        receipt = await self._finished(ref, step, receipt)
        await self._live.emit(Ended(ref, receipt))
        if step.check is not None and ref.undo < 0:
            await until_healthy(self._live, ref.work, step.key, step.check)

    def _may_fail_again(self, ref: OpRef, receipt: Receipt) -> bool:
        """A RETIRE that failed is no end of it."""
        return receipt.state is ReceiptState.FAILED and self._retires(ref)

    def _retires(self, ref: OpRef) -> bool:
        return self._live.state.works[ref.work].change.effect.steps[ref.step].phase is Phase.RETIRE

    async def _send(self, ref: OpRef, step: Step) -> Receipt:
        """prior → intent durable → do → receipt durable, with the contract's answers to each error."""
        engine, work = self._live.engine(ref.work), self._live.state.works[ref.work]
        op, began_s = self._live.op(ref, step), self._live.clock.now_s()
        conflicts = tries = 0
        while True:
            prior = await self._prior(engine, ref, step)
            await self._live.emit(Intended(ref, prior))
            try:
                values = await self._live.hooks.values(self._live.state, work, step)
                if not self._live.fence.holds():
                    raise LeaseLost(f"the lease of {self._live.state.plan.scope} is lost; its owner goes on")
                receipt = await self._live.bounded(engine.do(op, step, prior, values, self._live.fence))
            except Conflict as e:
                conflicts += 1
                if conflicts >= _CONFLICTS:
                    await self._give_up(ref, step, str(e))
            except Transient as e:
                tries += 1
                await self._pause(ref, step, e, tries, began_s)
            except Unclear as e:
                tries += 1
                found = await self.look_up(ref, step)
                if found is not None:
                    return found
                await self._pause(ref, step, Transient(str(e)), tries, began_s)
            except (Refused, AlmaError) as e:
                if isinstance(e, LeaseLost):
                    raise
                await self._give_up(ref, step, str(e))
            else:
                await self._live.emit(Acted(ref, receipt))
                return receipt

    async def _prior(self, engine: Guarded, ref: OpRef, step: Step) -> Prior:
        try:
            return await self._patiently(lambda: engine.prior(step, self._live.sealer(self._live.op(ref, step))), ref)
        except Conflict as e:
            raise StepFailed(f"{step.key.name} is not what was planned against: {e}") from e
        except EngineError as e:
            raise StepFailed(f"{step.key.name}: {e}") from e

    async def _give_up(self, ref: OpRef, step: Step, reason: str) -> None:
        """Say for certain whether it acted, then fail."""
        await self.look_up(ref, step)
        raise StepFailed(f"{step.key.name}: {reason}")

    async def look_up(self, ref: OpRef, step: Step) -> Receipt | None:
        """`find`: a receipt if it acted (durable already), None if it surely did not."""
        engine, op = self._live.engine(ref.work), self._live.op(ref, step)
        try:
            found = await self._patiently(lambda: engine.find(op, step), ref)
        except EngineError as e:
            raise StepFailed(f"{step.key.name}: nobody can tell whether the last request acted ({e})") from e
        if found.state is FoundState.ACTED:
            receipt = found.receipt or Receipt(op, ReceiptState.DONE)
            await self._live.emit(Acted(ref, receipt))
            return receipt
        await self._live.emit(NeverActed(ref))
        if found.state is FoundState.TAKEN:
            raise StepFailed(f"{step.key.name} is taken by another object, which is not ours")
        return None

    async def _finished(self, ref: OpRef, step: Step, receipt: Receipt) -> Receipt:
        """Poll until the platform says how it ended. Of a vanished task it is found out whether it acted; if not, it is
        sent again, for `do` is safe to repeat."""
        engine, deadline_s = self._live.engine(ref.work), self._live.clock.now_s() + self._live.bounds.step_timeout_s
        lost = 0
        while receipt.state in (ReceiptState.RUNNING, ReceiptState.VANISHED):
            if receipt.state is ReceiptState.VANISHED:
                lost += 1
                if lost > _CONFLICTS:
                    raise StepFailed(f"{step.key.name}: its task vanished {lost} times")
                # It may have ended well before the platform forgot it.
                receipt = await self.look_up(ref, step) or await self._send(ref, step)
                continue
            if self._live.clock.now_s() >= deadline_s:
                raise StepFailed(f"{step.key.name}: not done within {self._live.bounds.step_timeout_s:.0f} s")
            await self._live.clock.sleep(self._live.bounds.poll_s)
            asked = receipt
            try:
                receipt = await self._patiently(lambda r=asked: engine.poll(r), ref)  # type: ignore[misc]  # lambda default
            except EngineError as e:
                raise StepFailed(f"{step.key.name}: {e}") from e
        if receipt.state is ReceiptState.FAILED:
            await self._live.emit(Acted(ref, receipt))
            raise StepFailed(f"{step.key.name}: {receipt.message or 'failed'}")
        return receipt

    async def _patiently(self, call: Callable[[], Awaitable[T]], ref: OpRef) -> T:
        """`call`, again after Transient or Unclear (it only reads), until the step's time or tries are over."""
        began_s, tries = self._live.clock.now_s(), 0
        while True:
            try:
                return await self._live.bounded(call())
            except (Transient, Unclear) as e:
                tries += 1
                if self._out_of_patience(ref, tries, began_s):
                    raise
                await self._live.clock.sleep(self._delay_s(e, tries))

    async def _pause(self, ref: OpRef, step: Step, error: Transient, tries: int, began_s: float) -> None:
        if self._out_of_patience(ref, tries, began_s):
            await self._give_up(ref, step, str(error))
        await self._live.clock.sleep(self._delay_s(error, tries))

    def _out_of_patience(self, ref: OpRef, tries: int, began_s: float) -> bool:
        if self._retires(ref):
            return True  # the whole leg is tried again
        if ref.undo >= 0:
            return self.patience_is_over(tries, began_s)
        spent_s = self._live.clock.now_s() - began_s
        return (tries >= _UNDO_TRIES and self._live.state.draining) or spent_s >= self._live.bounds.step_timeout_s

    def patience_is_over(self, tries: int, began_s: float) -> bool:
        """Where giving up leaves work for a person."""
        spent_s = self._live.clock.now_s() - began_s
        return (tries >= _UNDO_TRIES and spent_s >= _UNDO_PATIENCE_S) or spent_s >= self._live.bounds.step_timeout_s

    def _delay_s(self, error: EngineError, tries: int) -> float:
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        return max(asked_s or 0.0, backoff_s(tries - 1, self._live.clock.jitter(), most_s=30.0))
