"""One pass over one scope, from revision to journal. Safe to repeat, safe to kill anywhere.

Control flow stays here; the work is below it: `planning` reads and plans, `decide` judges, the executor runs,
`settle` writes down what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.plan.change import ClearedBy, Plan
from controller.plan.health import HealthState, SyncState, worst
from controller.plan.limits import Allowance
from controller.plan.step import Fence
from controller.runtime.carrying import RunHooks, StepValues
from controller.runtime.clock import Clock
from controller.runtime.decide import Circumstances, Decision, ScopePolicy, Verdict, decide, is_heal
from controller.runtime.drift import HealBudget, drift_items
from controller.runtime.executor import Executor
from controller.runtime.live_run import LeaseLost
from controller.runtime.planning import Planned, Planning, Wanted, with_left_targets
from controller.runtime.progress import count_results
from controller.runtime.records import Records, RunRecord, ScopeRecord, merged
from controller.runtime.run import Begun, RunState, RunWord
from controller.runtime.settle import Settling, Takeover
from controller.runtime.sweeping import Sweeping, told
from controller.runtime.work_queue import Priority
from controller.telemetry import Metrics

_log = structlog.get_logger("reconciler")


@dataclass(frozen=True, slots=True)
class ScopeHead:
    """What a scope is to be at the revision that counts now. Exactly one of `wanted` and `problem` is there."""

    scope: str
    repository: str
    path: str
    revision: str
    tree: str
    policy: ScopePolicy
    wanted: Wanted | None = None
    problem: AlmaError | None = None
    pinned: bool = False


class Source(Protocol):
    """Where scopes come from: Git, read by commit id only (I35)."""

    async def head(self, record: ScopeRecord) -> ScopeHead | None:
        """The scope at its pin or at the tracked branch; None when no alma.yaml names it any more."""
        ...

    async def at(self, record: ScopeRecord, revision: str) -> Wanted:
        """The scope's content at an older revision, under today's policy. Raises as loading does."""
        ...

    async def content(self, record: ScopeRecord, revision: str) -> str | None:
        """The content id a scope has at a revision; None if it is in no alma.yaml there."""
        ...


class Clearances(Protocol):
    """Who allowed what: merged reviews and confirmations (I2, I3)."""

    async def for_scope(self, record: ScopeRecord, revision: str) -> Sequence[Allowance]: ...

    async def digests(self, record: ScopeRecord, revision: str) -> frozenset[str]: ...

    async def pins(self, record: ScopeRecord, revision: str) -> Mapping[str, str]: ...

    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]: ...


class HeldLease(Fence, Protocol):
    """The right to mutate one scope, until it is given back."""

    def release(self) -> None: ...


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


@dataclass(frozen=True, slots=True)
class Serving:
    """How this controller serves: `observe_only` says why nothing may be applied, per target read-only likewise."""

    observe_only: str = ""
    read_only: frozenset[str] = frozenset()

    def locks(self, plan: Plan) -> str:
        """Why `plan` may not be applied here at all; empty if it may."""
        locked = sorted({c.target for c in plan.changes} & self.read_only)
        return self.observe_only or (f"target {locked[0]} is read_only in the server configuration" if locked else "")


class Reconciler:
    """All scopes of this install; one pass per scope at a time is the queue's promise."""

    def __init__(
        self,
        *,
        source: Source,
        planning: Planning,
        executor: Executor,
        records: Records,
        clearances: Clearances,
        settling: Settling,
        values: StepValues,
        lease: Callable[[str], HeldLease],
        new_id: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
        serving: Serving = Serving(),
        intervals: Intervals = Intervals(),
    ) -> None:
        self._source, self._planning, self._executor = source, planning, executor
        self._records, self._clearances, self._settling = records, clearances, settling
        self._values, self._lease, self._new_id = values, lease, new_id
        self._clock, self._metrics = clock, metrics
        self._serving, self._intervals = serving, intervals
        self._heals = HealBudget(clock)
        self._sweeping = Sweeping(planning, HealBudget(clock), serving.locks, serving.read_only)
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
                await self._finish(record)
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
        if left and self._sweeping.may(record, left, self._is_known(record)):
            await self._sweep(record, head, left)
            return Requeue(0.0, Priority.POLL)
        if isinstance(planned, AlmaError):
            record = await self._note(record, SyncState.OUT_OF_SYNC, record.health, told(str(planned), left))
            self._settling.held(record)
            self._metrics.count("alma_reconcile", record.scope, "invalid")
            return await self._heal_good(record, head)
        planned = replace(planned, left=left)
        decision = await self._decide(planned, record, head)
        if await self._is_outdated(record.scope):
            return Requeue(0.0, Priority.PERSON)  # someone paused, unlocked, … meanwhile: what was decided is void
        match decision.verdict:
            case Verdict.SYNCED:
                return await self._synced(record, head, planned)
            case Verdict.GO:
                await self._deploy(record, head, planned, decision)
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
        pins = await self._clearances.pins(record, head.revision)
        try:
            wanted = with_left_targets(head.wanted, record.targets)
            return await self._planning.plan(wanted, pins=pins, former_edges=record.edges)
        except Unreachable:
            raise
        except AlmaError as e:
            return e

    async def _decide(self, planned: Planned, record: ScopeRecord, head: ScopeHead) -> Decision:
        allowances = tuple(await self._clearances.for_scope(record, head.revision))
        waiting = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        if waiting and waiting.confirmed:
            allowances += (
                Allowance(
                    ClearedBy.CONFIRM,
                    waiting.confirmed_by,
                    "run",
                    frozenset(waiting.confirmed),
                    waiting.confirmed_digest,
                ),
            )
        about = Circumstances(
            now=self._clock.wall(),
            allowances=allowances,
            reviewed_digests=await self._clearances.digests(record, head.revision),
            observe_only=self._serving.locks(planned.plan),
            unready=await self._unready(record, head),
            owns_before_journal=self._before_journal(record, planned),
            heal_delay=self._heals.held_back(record) if is_heal(planned.plan, record) else "",
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
        if self._is_known(record):
            return False
        return any(True for _ in planned.owned()) or bool(planned.left and planned.left.total)

    def _is_known(self, record: ScopeRecord) -> bool:
        """True if the journal knows a verified state, or a person has asked to go on without."""
        return bool(record.good_revision) or record.accepted

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
            targets=_targets(record, planned),
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
        decision = await self._decide(planned, record, replace(good, policy=replace(head.policy, depends_on=())))
        if await self._is_outdated(record.scope):
            return Requeue(0.0, Priority.PERSON)
        if decision.verdict is Verdict.GO and is_heal(planned.plan, record):
            await self._deploy(record, good, planned, decision)
            return Requeue(0.0, Priority.POLL)
        return again

    async def _orphan(self, record: ScopeRecord) -> None:
        await self._settling.no_longer_waiting(record, "its scope is in no alma.yaml any more")
        record = replace(record, orphaned=True, waiting=None)
        await self._note(record, SyncState.UNKNOWN, record.health, "in no alma.yaml any more; nothing is deleted")

    # --- runs ---

    async def _deploy(self, record: ScopeRecord, head: ScopeHead, planned: Planned, decision: Decision) -> None:
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

    async def _sweep(self, record: ScopeRecord, head: ScopeHead, left: Plan) -> None:
        """A run of its own for what earlier runs left, told as a heal: no pull request waits for it."""
        self._sweeping.budget.spend(record.scope)
        decision = Decision(Verdict.GO, left)
        run, begun = await self._settling.begin(record, head.revision, head.tree, decision, True, False, self._new_id)
        await self._carry(replace(record, run=run.run), run, begun)

    async def _finish(self, record: ScopeRecord) -> None:
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
            found = None if run.heal else await self._newer_for(record, run)
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

    async def _newer_for(self, record: ScopeRecord, run: RunRecord) -> Takeover | None:
        """At a barrier: the branch has moved on and its content may run now. Planned, limited and gated here. What
        cannot be read ends no run that has started (I22)."""
        try:
            return await self._found_newer(record, run)
        except AlmaError as e:
            _log.info("nothing newer can be read", run=run.run, reason=str(e))
            return None

    async def _found_newer(self, record: ScopeRecord, run: RunRecord) -> Takeover | None:
        current = await self._records.get(ScopeRecord, record.scope) or record
        head = await self._source.head(current)
        if head is None or head.tree == run.tree or head.revision == run.revision or head.wanted is None:
            return None
        planned = await self._planning.plan(head.wanted, former_edges=record.edges)
        if planned.plan.fingerprint == run.fingerprint:
            return None
        decision = await self._decide(planned, current, head)
        if decision.verdict is not Verdict.GO:
            return None
        return Takeover(self._new_id(), decision, head.revision, head.tree, head.pinned)

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


def show_drift(metrics: Metrics, record: ScopeRecord, engine_of: Mapping[str, str], now: datetime) -> None:
    """How many objects drifted per engine, and since when the oldest is known."""
    for engine in sorted(set(engine_of.values())):
        drifted = {d.resource for d in record.drift if engine_of.get(d.target) == engine}
        metrics.gauge("alma_drift_resources", len(drifted), record.scope, engine)
    oldest = min((datetime.fromisoformat(d.since) for d in record.drift), default=now)
    metrics.gauge("alma_drift_age_seconds", max(0.0, (now - oldest).total_seconds()), record.scope)


def show_scope(metrics: Metrics, record: ScopeRecord) -> None:
    """The scope's two facts as metrics."""
    metrics.gauge("alma_scope_orphaned", 1 if record.orphaned else 0, record.scope)
    metrics.one_of("alma_scope_sync_status", record.sync, tuple(SyncState), record.scope)
    metrics.one_of("alma_scope_health", record.health, tuple(HealthState), record.scope)


def _targets(record: ScopeRecord, planned: Planned) -> tuple[str, ...]:
    """Where the scope has objects, as far as it was looked at; what could not be looked at stays remembered."""
    unseen = {t for t in record.targets if t not in planned.snapshots}
    holding = {
        target
        for target, snapshot in planned.snapshots.items()
        if any(s.mark and s.mark.scope == record.scope for s in snapshot.objects)
    }
    return tuple(sorted(unseen | holding))


def _health(planned: Planned) -> HealthState:
    return worst(seen.health for seen in planned.owned()).state
