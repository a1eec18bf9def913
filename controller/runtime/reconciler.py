"""One pass over one scope, from revision to journal. Safe to repeat, safe to kill anywhere.

Control flow stays here; the work is below it: `planning` reads and plans, `judging` says whether a plan may run now,
`scope_runs` carries runs to their end, `settle` writes down what came of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.plan.health import HealthState, SyncState, worst
from controller.runtime.clock import Clock
from controller.runtime.decide import Decision, Verdict, is_heal
from controller.runtime.drift import HealBudget, drift_items
from controller.runtime.judging import Judging
from controller.runtime.live_run import LeaseLost
from controller.runtime.planning import Planned, Planning, targets_held, with_left_targets
from controller.runtime.records import Records, ScopeRecord, merged
from controller.runtime.scope_head import ScopeHead, Source
from controller.runtime.scope_metrics import show_drift, show_scope
from controller.runtime.scope_runs import ScopeRuns
from controller.runtime.settle import Settling
from controller.runtime.sweeping import Sweeping, told
from controller.runtime.work_queue import Priority
from controller.telemetry import Metrics

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look again in `after_s` seconds."""

    after_s: float
    priority: Priority = Priority.DRIFT


@dataclass(frozen=True, slots=True)
class Intervals:
    drift_s: float = 600.0
    retry_s: float = 15.0
    waiting_s: float = 60.0


class Reconciler:
    """All scopes of this install; one pass per scope at a time is the queue's promise."""

    def __init__(
        self,
        *,
        source: Source,
        planning: Planning,
        judging: Judging,
        runs: ScopeRuns,
        sweeping: Sweeping,
        heals: HealBudget,
        records: Records,
        settling: Settling,
        new_id: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
        intervals: Intervals = Intervals(),
    ) -> None:
        self._source, self._planning, self._judging, self._runs = source, planning, judging, runs
        self._sweeping, self._heals, self._records, self._settling = sweeping, heals, records, settling
        self._new_id, self._clock, self._metrics, self._intervals = new_id, clock, metrics, intervals
        self._read: dict[str, ScopeRecord] = {}  # scope → its record as this pass read or wrote it last
        self._first_seen: dict[str, tuple[str, float]] = {}  # scope → content not verified yet, since when

    # --- the main function ---

    async def reconcile(self, scope: str, priority: Priority) -> Requeue:
        """Bring one scope to its revision, or to the last good one while its revision may not run."""
        record = await self._records.get(ScopeRecord, scope)
        if record is None:
            return Requeue(self._intervals.drift_s)
        self._read[scope] = record
        if priority is Priority.PERSON and not record.contested:
            self._heals.reset(scope)
        structlog.contextvars.bind_contextvars(scope=scope)
        try:
            if record.run:
                await self._runs.finish(record)
                return Requeue(0.0, Priority.POLL)
            return await self._look(record)
        except LeaseLost as e:
            _log.warning("lease lost", reason=str(e))
            return Requeue(self._intervals.retry_s)
        finally:
            self._read.pop(scope, None)
            structlog.contextvars.unbind_contextvars("scope")

    async def left_behind(self, repositories: frozenset[str]) -> tuple[str, ...]:
        """Scopes to look at when a process begins, whether or not their repository can be read: those with a run that
        is not over (I22), and those whose repository is configured no more."""
        every = await self._records.all(ScopeRecord)
        return tuple(r.scope for r in every if r.run or (r.repository not in repositories and not r.orphaned))

    async def _look(self, record: ScopeRecord) -> Requeue:
        self._settling.revert_later(record)
        head = await self._source.head(record)
        if head is None:
            await self._orphan(record)
            return Requeue(self._intervals.drift_s)
        record = replace(record, orphaned=False, path=head.path, seen_revision=head.revision)
        record = self._without_what_has_ended(record, head)
        if head.tree != record.good_tree and self._first_seen.get(record.scope, ("", 0.0))[0] != head.tree:
            self._first_seen[record.scope] = (head.tree, self._clock.now_s())
        began_s = self._clock.now_s()
        try:
            return await self._toward(record, head)
        except Unreachable as e:
            await self._note(record, SyncState.UNKNOWN, record.health, str(e))
            self._metrics.count("alma_reconcile", record.scope, "unreachable")
            return Requeue(self._intervals.retry_s, Priority.POLL)
        finally:
            spent_s = self._clock.now_s() - began_s
            self._metrics.observe("alma_reconcile_duration_seconds", spent_s, record.scope, "pass")

    def _without_what_has_ended(self, record: ScopeRecord, head: ScopeHead) -> ScopeRecord:
        """A pause whose time is over, a pin whose scope has other content on the branch now."""
        if record.pause and record.pause.until and datetime.fromisoformat(record.pause.until) <= self._clock.wall():
            record = replace(record, pause=None)
        if record.pin and not head.pinned and head.problem is None:
            record = replace(record, pin=None)
        return record

    async def _toward(self, record: ScopeRecord, head: ScopeHead) -> Requeue:
        """Plan the head; run it, or say what it waits for and heal the last good state meanwhile."""
        planned = await self._plan_head(record, head)
        left = await self._sweeping.left(head.wanted, planned)
        if left and self._sweeping.may(record, left, self._judging.is_known(record)):
            await self._runs.sweep(record, head, left)
            return Requeue(0.0, Priority.POLL)
        if isinstance(planned, AlmaError):
            record = await self._note(record, SyncState.OUT_OF_SYNC, record.health, told(str(planned), left))
            self._settling.held(record)
            self._metrics.count("alma_reconcile", record.scope, "invalid")
            return await self._heal_good(record, head)
        planned = replace(planned, left=left)
        decision = await self._judging.decide(planned, record, head)
        if await self._is_outdated(record.scope):
            return Requeue(0.0, Priority.PERSON)  # someone paused, unlocked, … meanwhile: what was decided is void
        match decision.verdict:
            case Verdict.SYNCED:
                return await self._synced(record, head, planned)
            case Verdict.GO:
                await self._runs.deploy(record, head, planned, decision)
                return Requeue(0.0, Priority.POLL)
            case Verdict.WAIT:
                record = await self._wait(record, head, planned, decision)
            case Verdict.HOLD:
                record = await self._hold(record, planned, decision)
                self._settling.held(record)
        return await self._heal_good(record, head)

    async def _plan_head(self, record: ScopeRecord, head: ScopeHead) -> Planned | AlmaError:
        if head.wanted is None:
            return head.problem or InvalidInput("the scope could not be read")
        pins = await self._judging.pins(record, head)
        try:
            wanted = with_left_targets(head.wanted, record.targets)
            return await self._planning.plan(wanted, pins=pins, former_edges=record.edges)
        except Unreachable:
            raise
        except AlmaError as e:
            return e

    # --- outcomes of a look ---

    async def _synced(self, record: ScopeRecord, head: ScopeHead, planned: Planned) -> Requeue:
        """What is there is what is wanted: this is the last good state from now on."""
        await self._settling.no_longer_waiting(record, "the live state has come to agree")
        self._measure_synced(record, head)
        self._heals.calm(record.scope)
        record = replace(
            record,
            good_revision=head.revision,
            good_fingerprint=planned.plan.fingerprint,
            good_tree=head.tree,
            edges=planned.plan.edges,
            quarantine=tuple(q for q in record.quarantine if q != planned.plan.fingerprint),
            waiting=None,
            drift=(),
            contested=False,
            outputs=planned.outputs(),
            exports=planned.exports,
            restart_pending=tuple(sorted({s.mark.resource for s in planned.owned() if s.mark and s.pending})),
            targets=targets_held(record.targets, planned),
        )
        unseen = ", ".join(t for t in record.targets if t not in planned.snapshots)
        message = f"objects may be left on {unseen}, which this scope may not look at any more" if unseen else ""
        await self._note(record, SyncState.SYNCED, _health(planned), told(message, planned.left))
        await self._settling.synced(record, head.revision)
        self._metrics.count("alma_reconcile", record.scope, "synced")
        unswept = planned.left and planned.left.changes
        return Requeue(self._intervals.waiting_s if unswept else self._intervals.drift_s)

    def _measure_synced(self, record: ScopeRecord, head: ScopeHead) -> None:
        """From first seeing a revision to finding it verified; once per revision."""
        first = self._first_seen.pop(record.scope, None)
        if first and first[0] == head.tree:
            self._metrics.observe("alma_merge_to_synced_seconds", self._clock.now_s() - first[1], record.scope)

    async def _wait(self, record: ScopeRecord, head: ScopeHead, planned: Planned, decision: Decision) -> ScopeRecord:
        run = await self._settling.waiting(record, head.revision, head.tree, decision, self._new_id)
        self._metrics.count("alma_reconcile", record.scope, "waiting")
        record = replace(record, waiting=run.run)
        return await self._note(record, SyncState.OUT_OF_SYNC, _health(planned), told(decision.reason, planned.left))

    async def _hold(self, record: ScopeRecord, planned: Planned, decision: Decision) -> ScopeRecord:
        self._metrics.count("alma_reconcile", record.scope, "held")
        contested = record.contested or bool(decision.reason and self._heals.is_contested(record.scope))
        drift = drift_items(planned.plan, record.drift, self._clock.wall()) if is_heal(planned.plan, record) else ()
        record = replace(record, contested=contested, drift=drift or record.drift)
        return await self._note(record, SyncState.OUT_OF_SYNC, _health(planned), told(decision.reason, planned.left))

    async def _heal_good(self, record: ScopeRecord, head: ScopeHead) -> Requeue:
        """Healing against the last good state goes on while the head may not run."""
        # A heal that came too soon after the last one is due when its delay is over, not at the next interval.
        left_s = self._heals.left_s(record.scope) or self._intervals.waiting_s
        again = Requeue(min(left_s, self._intervals.waiting_s), Priority.POLL)
        if not record.good_revision or record.good_tree == head.tree or record.pause or record.parked:
            return again
        try:
            wanted = await self._source.at(record, record.good_revision)
            planned = await self._planning.plan(wanted, former_edges=record.edges)
        except AlmaError as e:
            _log.warning("the last good state cannot be planned", reason=str(e))
            return again
        good = replace(head, revision=record.good_revision, tree=record.good_tree or "", wanted=wanted)
        alone = replace(good, policy=replace(head.policy, depends_on=()))
        decision = await self._judging.decide(planned, record, alone)
        if await self._is_outdated(record.scope):
            return Requeue(0.0, Priority.PERSON)
        if decision.verdict is Verdict.GO and is_heal(planned.plan, record):
            await self._runs.deploy(record, good, planned, decision)
            return Requeue(0.0, Priority.POLL)
        return again

    async def _orphan(self, record: ScopeRecord) -> None:
        await self._settling.no_longer_waiting(record, "its scope is in no alma.yaml any more")
        record = replace(record, orphaned=True, waiting=None)
        await self._note(record, SyncState.UNKNOWN, record.health, "in no alma.yaml any more; nothing is deleted")

    # --- notes ---

    async def _is_outdated(self, scope: str) -> bool:
        """Someone stored the scope since this pass read it."""
        return await self._records.get(ScopeRecord, scope) != self._read.get(scope)

    async def _note(self, record: ScopeRecord, sync: SyncState, health: HealthState, message: str) -> ScopeRecord:
        """Store the record if anything in it moved, and show it as metrics. What someone else stored since this pass
        read the record stays as they stored it."""
        after = replace(record, sync=sync, health=health, message=message)
        stored = await self._records.get(ScopeRecord, record.scope)
        if stored is not None:
            after = merged(after, self._read.get(record.scope, stored), stored)
        if after != stored:
            await self._records.save("scope.seen", after)
        self._read[record.scope] = after
        show_scope(self._metrics, after)
        show_drift(self._metrics, after, self._planning.engine_of, self._clock.wall())
        return after


def _health(planned: Planned) -> HealthState:
    return worst(seen.health for seen in planned.owned()).state
