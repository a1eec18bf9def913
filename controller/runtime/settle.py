"""What came of a run, written down: last good state, quarantine, revert pull request, the lines people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from controller.errors import Unreachable
from controller.journal.projections import Document, Entry
from controller.plan.codec import from_json, to_json
from controller.plan.limits import Listed
from controller.runtime.clock import Clock
from controller.runtime.decide import Decision, WaitsFor, is_heal
from controller.runtime.progress import change_results, planned_results
from controller.runtime.records import Records, RunRecord, ScopeRecord, told
from controller.runtime.run import Begun, RunState, RunWord
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import after_superseding
from controller.runtime.step_values import run_outputs

_log = structlog.get_logger("settle")
_QUARANTINE_KEPT = 50
_TAKEOVER = "takeover"  # documents: superseded run → what follows it


class Telling(Protocol):
    """Who wants to know: pull requests, statuses, the event stream. Calls return at once and never fail."""

    def run_moved(self, run: RunRecord) -> None: ...

    def scope_synced(self, record: ScopeRecord, revision: str) -> None: ...

    def scope_held(self, record: ScopeRecord) -> None: ...


class Reverting(Protocol):
    """Opens the revert pull request of a scope that failed or was rolled back."""

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """Its number, or None where there is none to open (first deploy, the branch has moved on, it is refused).
        Raises Unreachable where nobody answers now."""
        ...

    def later(self, scope: str) -> None:
        """The scope's record names a run that is to get its revert pull request once it can be opened."""
        ...


class PullsOf(Protocol):
    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]:
        """Numbers of the pull requests that a run to `revision` brings in."""
        ...


@dataclass(frozen=True, slots=True)
class Takeover:
    """A newer revision that may run now, in the place of the run at a barrier."""

    run: str  # its id
    decision: Decision
    revision: str
    tree: str
    rollback: bool = False


class Settling:
    """Keeps the records of runs and scopes in step with what runs did."""

    def __init__(
        self, records: Records, log: RunLog, telling: Telling, reverting: Reverting, pulls: PullsOf, clock: Clock
    ) -> None:
        self._records, self._log, self._clock = records, log, clock
        self._telling, self._reverting, self._pulls = telling, reverting, pulls

    async def waiting(
        self, record: ScopeRecord, revision: str, tree: str, decision: Decision, new_id: Callable[[], str]
    ) -> RunRecord:
        """The run that waits: the one there already while its plan is the same, else a new one."""
        before = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        if before and _is_same_wait(before, decision, revision):
            fresh = await self._record(record, revision, tree, decision, before.run, RunWord.WAITING)
            fresh = replace(fresh, created=before.created, heal=before.heal)
            after = _confirmed_as(before, _that_waits(fresh, decision))
            if after != before:
                await self._records.save("run.waiting", after)
            return after
        if before:
            await self._end(before, RunWord.CANCELLED, "another plan took its place")
        run = await self._record(record, revision, tree, decision, new_id(), RunWord.WAITING)
        run = replace(_that_waits(run, decision), heal=is_heal(decision.plan, record))
        await self._records.save("run.waiting", run, replace(record, waiting=run.run))
        self._telling.run_moved(run)
        return run

    async def begin(
        self,
        record: ScopeRecord,
        revision: str,
        tree: str,
        decision: Decision,
        heal: bool,
        rollback: bool,
        new_id: Callable[[], str],
    ) -> tuple[RunRecord, Begun]:
        """A run that goes now, and its first event; both are durable in one commit, so that no kill leaves a run that
        never began. One that waited with this very plan keeps its id; beside a heal, one that waits with another plan
        goes on waiting."""
        before = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        still_waiting = None
        if before and _is_same_wait(before, decision, revision):
            fresh = await self._record(record, revision, tree, decision, before.run, RunWord.RUNNING)
            run = _confirmed_as(before, fresh)
        else:
            if before and heal:
                still_waiting = before.run
            elif before:
                await self._end(before, RunWord.CANCELLED, "another plan took its place")
            run = await self._record(record, revision, tree, decision, new_id(), RunWord.RUNNING)
        run = replace(run, heal=heal, rollback=rollback, glass=decision.glass)
        begun = Begun(run.run, decision.plan)
        # Whatever it leaves behind is known, though no state of the scope may ever be verified.
        scope = replace(record, run=run.run, waiting=still_waiting, accepted=True)
        entries, documents = told("run.begins", run, scope)
        await self._log.append(run.run, [begun], documents, entries)
        self._telling.run_moved(run)
        return run, begun

    async def begun(self, run: str) -> Begun | None:
        """The first event of a run, or None if it never got so far."""
        events = await self._log.read(run)
        return events[0] if events and isinstance(events[0], Begun) else None

    async def lost(self, record: ScopeRecord) -> None:
        """The journal knows nothing of the run that the scope says is under way: the next look plans anew."""
        await self._records.save("scope.run-lost", replace(record, run=None))

    def progressed(self, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]) -> None:
        """The run has moved: tell, without waiting for anyone. Its end is told by `ended`, once it is durable (I19)."""
        if state.word.ended:
            return
        self._telling.run_moved(replace(run, word=state.word, changes=change_results(state, seconds)))

    async def ended(
        self, record: ScopeRecord, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]
    ) -> tuple[ScopeRecord, RunRecord]:
        """Write down the end; a failed deploy is quarantined, and gets its revert pull request, as a rollback does."""
        run, is_late = self._over(run, state, seconds), False
        failed = state.word in (RunWord.UNDONE, RunWord.PARKED) and not run.heal
        if failed or (run.rollback and state.word is RunWord.DONE):
            try:
                run = replace(run, revert_pull=await self._reverting.open(record, run))
            except Unreachable as e:
                _log.warning("the revert pull request is opened later", run=run.run, reason=str(e))
                is_late = True
        if state.word in (RunWord.DONE, RunWord.UNDONE):
            await self._forget_priors(state)
        record = await self._after(record, run, state)
        if is_late:
            record = replace(record, revert_due=run.run)
        # Last and in one commit: until then the run is open, and after a kill the next process does all of this again.
        await self._records.save("run.ended", run, record)
        self._telling.run_moved(run)
        self.revert_later(record)
        return record, run

    def revert_later(self, record: ScopeRecord) -> None:
        """Ask for the revert pull request that the scope is still to get, if there is one."""
        if record.revert_due:
            self._reverting.later(record.scope)

    async def newer_found(self, run: RunRecord, newer: Takeover) -> None:
        """A newer revision will take `run` over. Durable before the run hears of it: from then on only this plan may
        follow, because what the run leaves behind passes to it (I13)."""
        document = Document(_TAKEOVER, run.run, to_json(newer))
        about = Entry("run.newer-found", {"run": newer.run, "revision": newer.revision})
        await self._log.append(run.run, [], [document], [about])

    async def hand_over(
        self, record: ScopeRecord, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]
    ) -> tuple[ScopeRecord, RunRecord, Begun]:
        """A superseded run ends and the newer one begins, with all that was cut, in one commit."""
        body = await self._records.journal.document(_TAKEOVER, run.run)
        assert body is not None, "stored before the run was superseded"
        newer = from_json(Takeover, body)
        ended = self._over(run, state, seconds)
        record = await self._after(record, ended, state)
        await self.no_longer_waiting(record, "another plan took its place")
        decision = newer.decision
        fresh = await self._record(record, newer.revision, newer.tree, decision, newer.run, RunWord.RUNNING)
        fresh = replace(fresh, rollback=newer.rollback)
        record = replace(record, run=newer.run, waiting=None)
        begun = after_superseding(newer.run, decision.plan, state)
        await self._forget_all_but(begun, state)
        entries, documents = told("run.begins", ended, fresh, record)
        await self._log.append(newer.run, [begun], documents, entries)
        for moved in (ended, fresh):
            self._telling.run_moved(moved)
        return record, fresh, begun

    def _over(self, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]) -> RunRecord:
        return replace(
            run,
            word=state.word,
            ended=self._clock.wall().isoformat(),
            changes=change_results(state, seconds),
            reason=_reason(state),
            next_step=_after(run, state),
            warnings=state.warnings,
            superseded_by=state.superseded_by or "",
        )

    async def _after(self, record: ScopeRecord, run: RunRecord, state: RunState) -> ScopeRecord:
        """The scope as it is now: a pause or a confirm may have come while the run was under way."""
        record = await self._records.get(ScopeRecord, record.scope) or record
        return _after_run(replace(record, outputs={**record.outputs, **run_outputs(state)}), run, state)

    async def no_longer_waiting(self, record: ScopeRecord, reason: str) -> None:
        """A waiting run has nothing left to do."""
        run = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        if run and not run.word.ended:
            await self._end(run, RunWord.CANCELLED, reason)

    async def synced(self, record: ScopeRecord, revision: str) -> None:
        self._telling.scope_synced(record, revision)

    def held(self, record: ScopeRecord) -> None:
        """What the branch says cannot run, and no run tells so."""
        self._telling.scope_held(record)

    async def _end(self, run: RunRecord, word: RunWord, reason: str) -> None:
        ended = replace(run, word=word, reason=reason, next_step="", ended=self._clock.wall().isoformat())
        await self._records.save("run.ended", ended)
        self._telling.run_moved(ended)

    async def _record(
        self, record: ScopeRecord, revision: str, tree: str, decision: Decision, run: str, word: RunWord
    ) -> RunRecord:
        plan = decision.plan
        return RunRecord(
            run=run,
            scope=record.scope,
            repository=record.repository,
            revision=revision,
            word=word,
            digest=plan.digest,
            fingerprint=plan.fingerprint,
            tree=tree,
            created=self._clock.wall().isoformat(),
            listed=tuple(Listed.of(c) for c in plan.changes),
            destructive=tuple(Listed.of(c) for c in plan.changes if c.destructive),
            changes=planned_results(plan),
            pulls=await self._pulls.pulls(record, revision),
            over_budget=decision.over_budget,
        )

    async def _forget_priors(self, state: RunState) -> None:
        for run in sorted(state.runs):
            await self._log.forget_priors(run)

    async def _forget_all_but(self, begun: Begun, older: RunState) -> None:
        """What a superseded run, or one before it, does not pass on needs no undo any more; what it does pass on goes
        with the end of the newer one (I27). Before they part: afterwards nobody would know of it."""
        for run in sorted(older.runs - {w.run for w in begun.inherited}):
            await self._log.forget_priors(run)


def _is_same_wait(before: RunRecord, decision: Decision, revision: str) -> bool:
    """The run a person was told of: same content, same destructive changes. Drift beside them does not make another."""
    destructive = {Listed.of(c) for c in decision.plan.changes if c.destructive}
    same_content = (before.fingerprint, before.revision) == (decision.plan.fingerprint, revision)
    return same_content and set(before.destructive) == destructive


def _that_waits(run: RunRecord, decision: Decision) -> RunRecord:
    return replace(run, reason=decision.reason, next_step=_next_step(run.run, decision))


def _confirmed_as(before: RunRecord, run: RunRecord) -> RunRecord:
    """What a person confirmed of the run that waited counts for `run`, which is the same."""
    return replace(
        run,
        confirmed=before.confirmed,
        confirmed_by=before.confirmed_by,
        confirmed_name=before.confirmed_name,
        confirmed_digest=before.confirmed_digest,
        breakers=before.breakers,
    )


def _next_step(run: str, decision: Decision) -> str:
    if decision.waits_for is WaitsFor.CONFIRM:
        return f"alma confirm {run}"
    return decision.next_step


def _reason(state: RunState) -> str:
    if state.word is RunWord.PARKED:
        return "; ".join(state.stuck[:5])
    if state.cancelled_by:
        return f"cancelled by {state.cancelled_by}"
    if state.superseded_by:
        return f"continues in run {state.superseded_by}"
    return state.failure.reason if state.failure else ""


def _after(run: RunRecord, state: RunState) -> str:
    if state.word is RunWord.PARKED:
        return f"look at the objects named above, then: alma unlock {run.run}"
    if state.word is RunWord.UNDONE and not run.heal:
        return f"push other content, merge the revert, or: alma retry {run.run}"
    if state.word is RunWord.DONE and state.warnings:
        return "remove by hand what could not be removed, or leave it: a later look finds it again"
    return ""


def _after_run(record: ScopeRecord, run: RunRecord, state: RunState) -> ScopeRecord:
    """The scope after one of its runs ended."""
    record = replace(record, run=None)
    match state.word:
        case RunWord.DONE if not run.heal:
            return replace(
                record,
                good_revision=run.revision,
                good_fingerprint=run.fingerprint,
                good_tree=run.tree,
                edges=state.plan.edges,
                quarantine=tuple(q for q in record.quarantine if q != run.fingerprint),
            )
        case RunWord.DONE:
            return replace(record, drift=())  # healed
        case RunWord.UNDONE if not run.heal:
            kept = tuple(q for q in record.quarantine if q != run.fingerprint)
            return replace(record, quarantine=(*kept, run.fingerprint)[-_QUARANTINE_KEPT:])
        case RunWord.PARKED:
            return replace(record, parked=run.run)
        case _:
            return record
