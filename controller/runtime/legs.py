"""Carries out one leg of a run: its steps in order, their inverses, removals, or a check."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from controller.plan.resource import ObjectKey
from controller.plan.step import Phase, Prior, Receipt, ReceiptState, Step
from controller.runtime.clock import backoff_s
from controller.runtime.guarded import Guarded
from controller.runtime.health_wait import until_healthy
from controller.runtime.live_run import LiveRun, StepFailed
from controller.runtime.one_step import OneStep
from controller.runtime.run import Acted, Drained, Leg, LegDone, LegFailed, LegKind, OpRef, Work
from controller.runtime.run_machine import open_intents, todos
from controller.runtime.run_program import steps_of, undo_refs
from engines.engine import EngineError


class Legs:
    """Of one run. Each ends in events of it; only LeaseLost and defects are raised."""

    def __init__(self, live: LiveRun) -> None:
        self._live, self._steps = live, OneStep(live)

    async def to_its_end(self, leg: Leg) -> None:
        """Carry `leg` out, and say how it ended: done, failed, or not at all where a failure elsewhere came first."""
        if leg not in todos(self._live.state):
            return  # nothing new starts
        try:
            finished = await self._carry_out(leg)
        except StepFailed as e:
            await self._live.emit(LegFailed(leg, str(e)))
        else:
            if finished:
                await self._live.emit(LegDone(leg))

    async def drain(self) -> None:
        """Nothing is in flight: find out about each open intent, then turn round."""
        await self.look_up()
        await self._live.emit(Drained())

    async def look_up(self, targets: Collection[str] | None = None) -> None:
        """Find out about each open intent, of these targets or of all."""
        works = self._live.state.works
        for ref in open_intents(self._live.state):
            if targets is not None and works[ref.work].change.target not in targets:
                continue
            step = self._live.step(ref)
            try:
                await self._steps.look_up(ref, step)
            except StepFailed as e:
                # It may have acted and nobody can tell: keep it, so that undo tries and parks if it must.
                await self._live.emit(
                    Acted(ref, Receipt(self._live.op(ref, step), ReceiptState.VANISHED, message=str(e)))
                )

    async def _carry_out(self, leg: Leg) -> bool:
        """True when the leg is over, False when it stopped between two steps: for a failure elsewhere, or to rest."""
        if leg.kind in (LegKind.CHECK, LegKind.RECHECK):
            await self._verify(leg)
            return True
        if leg.kind in (LegKind.UNDO, LegKind.CLEAN):
            return await self._undo(leg)
        if leg.kind is LegKind.RETIRE:
            return await self._retire(leg)
        for number, _ in steps_of(self._live.state, leg):
            ref = OpRef(leg.work, number)
            if self._live.state.draining or self._live.resting:
                return False
            await self._steps.carry_out(ref, self._live.step(ref))
        return True

    async def _retire(self, leg: Leg) -> bool:
        """Nothing is undone any more: what fails is tried again as patiently as an undo is, then reported."""
        began_s, tries = self._live.clock.now_s(), 0
        while True:
            try:
                for number, _ in steps_of(self._live.state, leg):
                    if self._live.resting:
                        return False
                    ref = OpRef(leg.work, number)
                    await self._steps.carry_out(ref, self._live.step(ref))
                return True
            except StepFailed:
                tries += 1
                if self._steps.patience_is_over(tries, began_s):
                    raise
            await self._live.clock.sleep(backoff_s(tries - 1, self._live.clock.jitter(), most_s=30.0))

    async def _undo(self, leg: Leg) -> bool:
        engine = self._live.engine(leg.work)
        for ref in undo_refs(self._live.state, leg):
            op = self._live.state.ops[ref]
            step = self._live.step(ref)
            receipt = op.receipt or Receipt(self._live.op(ref, step), ReceiptState.VANISHED)
            for index, inverse in enumerate(self._inverse(engine, step, op.prior, receipt)):
                if self._live.resting:
                    return False
                await self._steps.carry_out(replace(ref, undo=index), inverse)
        return True

    def _inverse(self, engine: Guarded, step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
        try:
            return engine.inverse(step, prior, receipt)
        except EngineError as e:
            raise StepFailed(f"{step.key.name}: {e}") from e

    async def _verify(self, leg: Leg) -> None:
        effect = self._live.state.works[leg.work].change.effect
        assert effect.probe is not None, "a check leg exists only with a probe"
        key = effect.key if leg.kind is LegKind.CHECK else _restored_key(self._live.state.works[leg.work])
        await until_healthy(self._live, leg.work, key, effect.probe)


def _restored_key(work: Work) -> ObjectKey:
    """Under which key the object stands again after an undo: the one its first cut found it under (a rename has
    planned another)."""
    steps = (s.for_run(work.short) for s in work.change.effect.steps if s.phase is Phase.CUT and s.expects.uid)
    return next((s.key for s in steps), work.change.effect.key)
