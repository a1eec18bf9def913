"""Deploy and destroy without Git: the caller's own credentials are the authority (I1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from controller.errors import AlmaError, RefusedByPolicy
from controller.journal.lease import Lease
from controller.plan.change import ClearedBy, Plan
from controller.plan.limits import Allowance, Listed, PruneLimits, asked_for, clear, over_budget
from controller.runtime.carrying import RunHooks, StepValues
from controller.runtime.clock import Clock
from controller.runtime.decide import Decision, Verdict
from controller.runtime.drift import HealBudget
from controller.runtime.executor import Executor
from controller.runtime.judging import Serving
from controller.runtime.planning import Planned, Planning, Wanted, targets_held, with_left_targets
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.run import Begun
from controller.runtime.settle import Settling
from controller.runtime.sweeping import Sweeping

LOCAL = "local-folder"  # the repository that records of such scopes name


class ScopeLeases(Protocol):
    """Of this process; `hold` first where other processes may have the scope."""

    async def hold(self, scope: str) -> None: ...

    def take(self, scope: str) -> Lease: ...


@dataclass(frozen=True, slots=True)
class Standalone:
    """What a deploy by hand stands on."""

    planning: Planning
    executor: Executor
    records: Records
    settling: Settling
    values: StepValues
    leases: ScopeLeases
    clock: Clock
    new_id: Callable[[], str]
    caller: str  # `os:alice`
    serving: Serving = Serving()  # what the server configuration forbids to change, by every door (I50)

    async def plan(self, wanted: Wanted) -> Planned:
        """Desired against live. Raises InvalidInput, RefusedByPolicy, Unreachable."""
        record = await self.records.get(ScopeRecord, wanted.scope)
        if record is not None:
            wanted = with_left_targets(wanted, record.targets)
        return await self.planning.plan(wanted, former_edges=record.edges if record else None)

    def needs_digest(self, planned: Planned, limits: PruneLimits, *, taking_away: bool = False) -> str | None:
        """Why a plain yes is not enough (I17), or None. `taking_away`: a destroy is asked for as such, so an empty
        desired state by itself is no reason there."""
        plan = planned.plan
        counted = replace(plan, wanted=max(plan.wanted, 1)) if taking_away else plan
        return over_budget(counted, limits) or asked_for(plan.changes) or None

    async def deploy(
        self, planned: Planned, limits: PruneLimits, confirm: str | None, *, taking_away: bool = False
    ) -> RunRecord:
        """Carry the plan out: verified, or undone. Raises RefusedByPolicy above the prune limits without the digest."""
        locked = self.serving.locks(planned.plan)
        if locked:
            raise RefusedByPolicy(locked, hint="nothing was changed")
        too_much = self.needs_digest(planned, limits, taking_away=taking_away)
        if too_much and not (confirm and len(confirm) >= 8 and planned.plan.digest.startswith(confirm)):
            raise RefusedByPolicy(too_much, hint=f"look at the plan, then: --confirm {planned.plan.digest[:12]}")
        scope = planned.plan.scope
        await self.leases.hold(scope)
        record = await self.records.get(ScopeRecord, scope) or ScopeRecord(scope, LOCAL)
        # Remembered before anything is there: a later look must not pass over what this run leaves.
        targets = {*targets_held(record.targets, planned), *(c.target for c in planned.plan.changes)}
        record = replace(record, targets=tuple(sorted(targets)), outputs=planned.outputs(), exports=planned.exports)
        listed = frozenset(Listed.of(c) for c in planned.plan.changes)
        plan = clear(planned.plan, [Allowance(ClearedBy.CALLER, self.caller, "", listed)])
        decision = Decision(Verdict.GO, plan)
        tree = planned.plan.fingerprint[:40]
        run, begun = await self.settling.begin(record, plan.revision, tree, decision, False, False, self.new_id)
        return await self._carry(replace(record, run=run.run), run, begun)

    async def left(self, wanted: Wanted, planned: Planned | AlmaError) -> Plan | None:
        """The plan that ends what runs nobody remembers left of the scope; None where there is nothing that may be
        ended here. To be asked while none of its runs is open."""
        record = await self.records.get(ScopeRecord, wanted.scope) or ScopeRecord(wanted.scope, LOCAL)
        sweeping = Sweeping(self.planning, HealBudget(self.clock), self.serving.locks, self.serving.read_only)
        left = await sweeping.left(wanted, planned)
        return left if left and sweeping.may(record, left, known=True) else None

    async def sweep(self, left: Plan) -> RunRecord:
        """Carry out the plan of `left`, before any other."""
        await self.leases.hold(left.scope)
        record = await self.records.get(ScopeRecord, left.scope) or ScopeRecord(left.scope, LOCAL)
        decision = Decision(Verdict.GO, left)
        run, begun = await self.settling.begin(record, left.revision, "", decision, True, False, self.new_id)
        return await self._carry(replace(record, run=run.run), run, begun)

    async def finish(self, record: ScopeRecord) -> RunRecord | None:
        """Go on with a run that an earlier process left behind."""
        await self.leases.hold(record.scope)
        run = await self.records.get(RunRecord, record.run) if record.run else None
        begun = await self.settling.begun(run.run) if run else None
        if run is None or begun is None:
            await self.settling.lost(record)
            return None
        return await self._carry(record, run, begun)

    async def _carry(self, record: ScopeRecord, run: RunRecord, begun: Begun) -> RunRecord:
        hooks = RunHooks(run, self.values, self.settling, self.clock)
        lease = self.leases.take(record.scope)
        try:
            state = await self.executor.run(begun, lease, hooks)
        finally:
            lease.release()
        _, run = await self.settling.ended(record, run, state, hooks.seconds)
        return run


class Unattended:
    """Tells nobody, reverts nothing, brings no pull request in: what a deploy by hand settles with."""

    def run_moved(self, run: RunRecord) -> None:
        return None

    def scope_synced(self, record: ScopeRecord, revision: str) -> None:
        return None

    def scope_held(self, record: ScopeRecord) -> None:
        return None

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        return None

    def later(self, scope: str) -> None:
        return None

    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]:
        return ()
