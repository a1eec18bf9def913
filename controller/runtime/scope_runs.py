"""The runs of scopes: begun, carried to their end, taken up again after a kill, handed over to a newer revision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from controller.errors import AlmaError
from controller.plan.change import Plan
from controller.plan.step import Fence
from controller.runtime.carrying import RunHooks, StepValues
from controller.runtime.clock import Clock
from controller.runtime.decide import Decision, Verdict, is_heal
from controller.runtime.drift import HealBudget, drift_items
from controller.runtime.executor import Executor
from controller.runtime.judging import Judging
from controller.runtime.planning import Planned, Planning
from controller.runtime.progress import count_results
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.run import Begun, RunState, RunWord
from controller.runtime.run_program import only_staged
from controller.runtime.scope_head import ScopeHead, Source
from controller.runtime.settle import Settling, Takeover
from controller.telemetry import Metrics

_log = structlog.get_logger("runs")


class HeldLease(Fence, Protocol):
    """The right to mutate one scope, until it is given back."""

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Budgets:
    """How often a scope may be healed, and swept."""

    heals: HealBudget
    sweeps: HealBudget  # its own: a sweep that fails comes again later, and is no contested heal


class ScopeRuns:
    """Of all scopes of this install; one run per scope at a time is the queue's promise (I13)."""

    def __init__(
        self,
        *,
        source: Source,
        planning: Planning,
        judging: Judging,
        executor: Executor,
        records: Records,
        settling: Settling,
        values: StepValues,
        lease: Callable[[str], HeldLease],
        new_id: Callable[[], str],
        budgets: Budgets,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._source, self._planning, self._judging, self._executor = source, planning, judging, executor
        self._records, self._settling, self._values, self._lease = records, settling, values, lease
        self._new_id, self._clock, self._metrics = new_id, clock, metrics
        self._heals, self._sweeps = budgets.heals, budgets.sweeps

    async def deploy(self, record: ScopeRecord, head: ScopeHead, planned: Planned, decision: Decision) -> None:
        """Begin a run and carry it to its end; then settle."""
        heal = is_heal(decision.plan, record)
        record = replace(record, outputs=planned.outputs(), exports=planned.exports)
        if heal:
            self._heals.spend(record.scope)
            record = replace(record, drift=drift_items(decision.plan, record.drift, self._clock.wall()))
        run, begun = await self._settling.begin(
            record, head.revision, head.tree, decision, heal, head.pinned, self._new_id
        )
        await self._carry(replace(record, run=run.run, waiting=None), run, begun)

    async def sweep(self, record: ScopeRecord, head: ScopeHead, left: Plan) -> None:
        """A run of its own for what earlier runs left, told as a heal: no pull request waits for it."""
        self._sweeps.spend(record.scope)
        decision = Decision(Verdict.GO, left)
        run, begun = await self._settling.begin(record, head.revision, head.tree, decision, True, False, self._new_id)
        await self._carry(replace(record, run=run.run), run, begun)

    async def finish(self, record: ScopeRecord) -> None:
        """A run an earlier process left behind: go on where it was."""
        assert record.run is not None, "called for an open run"
        run = await self._records.get(RunRecord, record.run)
        begun = await self._settling.begun(record.run)
        if run is None or begun is None:
            await self._settling.lost(record)
            return
        await self._carry(record, run, begun)

    async def _carry(self, record: ScopeRecord, run: RunRecord, begun: Begun) -> None:
        """To its end, and through any newer run that takes it over at a barrier (I13)."""
        structlog.contextvars.bind_contextvars(run=run.run, revision=run.revision)

        async def newer(state: RunState) -> str | None:
            found = None if run.heal else await self._newer_for(record, run, state)
            if found:
                await self._settling.newer_found(run, found)
            return found.run if found else None

        began_s = self._clock.now_s()
        hooks = RunHooks(run, self._values, self._settling, self._clock, newer)
        lease = self._lease(record.scope)
        try:
            state = await self._executor.run(begun, lease, hooks)
        finally:
            lease.release()
            structlog.contextvars.unbind_contextvars("run", "revision")
        if not state.word.ended:
            _log.info("run is left to the next start", run=run.run, revision=run.revision)
            return
        self._measure(record.scope, run, state, self._clock.now_s() - began_s)
        if state.word is RunWord.SUPERSEDED:
            await self._carry(*await self._settling.hand_over(record, run, state, hooks.seconds))
            return
        await self._settling.ended(record, run, state, hooks.seconds)

    def _measure(self, scope: str, run: RunRecord, state: RunState, spent_s: float) -> None:
        _log.info("run ended", run=run.run, revision=run.revision, word=state.word, seconds=round(spent_s, 2))
        self._metrics.observe("alma_reconcile_duration_seconds", spent_s, scope, "run")
        self._metrics.count("alma_reconcile", scope, state.word)
        if state.word in (RunWord.UNDONE, RunWord.PARKED):
            self._metrics.count("alma_rollbacks", scope, state.word)
        count_results(self._metrics, state, self._planning.engine_of)

    async def _newer_for(self, record: ScopeRecord, run: RunRecord, state: RunState) -> Takeover | None:
        """At a barrier: the branch has moved on and its content may run now. Planned, limited and gated here. What
        cannot be read ends no run that has started (I22)."""
        try:
            return await self._found_newer(record, run, state)
        except AlmaError as e:
            _log.info("nothing newer can be read", run=run.run, reason=str(e))
            return None

    async def _found_newer(self, record: ScopeRecord, run: RunRecord, state: RunState) -> Takeover | None:
        current = await self._records.get(ScopeRecord, record.scope) or record
        head = await self._source.head(current)
        if head is None or head.tree == run.tree or head.revision == run.revision or head.wanted is None:
            return None
        planned = await self._planning.plan(head.wanted, former_edges=record.edges, leaving=only_staged(state))
        if planned.plan.fingerprint == run.fingerprint:
            return None
        decision = await self._judging.decide(planned, current, head)
        if decision.verdict is not Verdict.GO:
            return None
        return Takeover(self._new_id(), decision, head.revision, head.tree, head.pinned)
