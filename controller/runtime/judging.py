"""Whether a plan may run now: gathers what `decide` has to know, right before it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.plan.change import ClearedBy, Plan
from controller.plan.health import HealthState, SyncState
from controller.plan.limits import Allowance
from controller.runtime.clock import Clock
from controller.runtime.decide import Circumstances, Decision, decide, is_heal
from controller.runtime.drift import HealBudget
from controller.runtime.glass import broken
from controller.runtime.planning import Planned
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.scope_head import ScopeHead, Source


class Clearances(Protocol):
    """Who allowed what: merged reviews and confirmations (I2, I3)."""

    async def for_scope(self, record: ScopeRecord, revision: str) -> Sequence[Allowance]: ...

    async def digests(self, record: ScopeRecord, revision: str) -> frozenset[str]: ...

    async def pins(self, record: ScopeRecord, revision: str) -> Mapping[str, str]: ...

    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]: ...


class Approvals(Protocol):
    """Whether enough people approved (I3)."""

    async def lacking(self, record: ScopeRecord, head: ScopeHead, plan: Plan, waiting: RunRecord | None) -> str: ...


@dataclass(frozen=True, slots=True)
class Serving:
    """How this controller serves: `observe_only` says why nothing may be applied, per target read-only likewise."""

    observe_only: str = ""
    read_only: frozenset[str] = frozenset()

    def locks(self, plan: Plan) -> str:
        """Why `plan` may not be applied here at all; empty if it may."""
        locked = sorted({c.target for c in plan.changes} & self.read_only)
        return self.observe_only or (f"target {locked[0]} is read_only in the server configuration" if locked else "")


class Judging:
    """Of all scopes of this install."""

    def __init__(
        self,
        records: Records,
        source: Source,
        clearances: Clearances,
        approvals: Approvals,
        serving: Serving,
        heals: HealBudget,
        clock: Clock,
        glass_s: float,
    ) -> None:
        """`glass_s`: how long two people who break the glass count; 0 where nobody may."""
        self._records, self._source, self._clearances = records, source, clearances
        self._approvals, self._serving, self._heals, self._clock = approvals, serving, heals, clock
        self._glass_s = glass_s

    async def pins(self, record: ScopeRecord, head: ScopeHead) -> Mapping[str, str]:
        """NAME:TAG → digest as the merged reviews resolved it."""
        return await self._clearances.pins(record, head.revision)

    async def decide(self, planned: Planned, record: ScopeRecord, head: ScopeHead) -> Decision:
        allowances = tuple(await self._clearances.for_scope(record, head.revision))
        waiting = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        # A person confirmed that run: the same removal in other content is another one (I2).
        if waiting and waiting.confirmed and waiting.fingerprint == planned.plan.fingerprint:
            allowances += (
                Allowance(
                    ClearedBy.CONFIRM,
                    waiting.confirmed_by,
                    "run",
                    frozenset(waiting.confirmed),
                    waiting.confirmed_digest,
                ),
            )
        glass = broken(waiting, head.revision, planned.plan.digest, self._clock.wall(), self._glass_s)
        if waiting and glass:
            listed, by = frozenset(waiting.listed), waiting.breakers[-1].by
            allowances += (Allowance(ClearedBy.CONFIRM, by, "run", listed, planned.plan.digest),)
        heals = is_heal(planned.plan, record)
        settled = heals or not planned.plan.changes
        about = Circumstances(
            now=self._clock.wall(),
            allowances=allowances,
            reviewed_digests=await self._clearances.digests(record, head.revision),
            observe_only=self._serving.locks(planned.plan),
            unready=await self._unready(record, head),
            owns_before_journal=self._before_journal(record, planned),
            unapproved="" if settled or glass else await self._approvals.lacking(record, head, planned.plan, waiting),
            heal_delay=self._heals.held_back(record) if heals else "",
            glass=glass,
        )
        return decide(planned.plan, record, head.policy, about)

    async def _unready(self, record: ScopeRecord, head: ScopeHead) -> str:
        for name in head.policy.depends_on:
            other = await self._records.get(ScopeRecord, name)
            if other is None:
                return f"waits for scope {name}, which was not looked at yet"
            if other.pause or other.parked:
                return f"waits for scope {name}, which is {'paused' if other.pause else 'parked'}"
            behind = other.good_tree is None
            if not head.pinned:  # a rollback goes back alone: what it depends on stays where it is
                behind = behind or other.good_tree != await self._source.content(other, head.revision)
            if behind or other.sync is not SyncState.SYNCED or other.health is not HealthState.HEALTHY:
                return f"waits for scope {name} to be synced and healthy at {head.revision[:8]}"
        return ""

    def _before_journal(self, record: ScopeRecord, planned: Planned) -> bool:
        if self.is_known(record):
            return False
        return any(True for _ in planned.owned()) or bool(planned.left and planned.left.total)

    def is_known(self, record: ScopeRecord) -> bool:
        """True if the journal knows a verified state or a run, or a person has asked to go on without."""
        return bool(record.good_revision) or record.accepted
