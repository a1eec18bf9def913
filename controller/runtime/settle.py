"""What came of a run, written down: last good state, quarantine, revert pull request, the lines people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from controller.plan.limits import Listed
from controller.runtime.clock import Clock
from controller.runtime.decide import Decision, WaitsFor
from controller.runtime.progress import change_results, planned_results
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.run import Begun, RunState, RunWord
from controller.runtime.run_log import RunLog
from controller.runtime.step_values import run_outputs

_QUARANTINE_KEPT = 50


class Telling(Protocol):
    """Who wants to know: pull requests, statuses, the event stream. Calls return at once and never fail."""

    def run_moved(self, run: RunRecord) -> None: ...

    def scope_synced(self, record: ScopeRecord, revision: str) -> None: ...


class Reverting(Protocol):
    """Opens the revert pull request of a failed scope."""

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """Its number, or None where there is none to open (first deploy, one is open, the branch has moved on)."""
        ...


class PullsOf(Protocol):
    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]:
        """Numbers of the pull requests that a run to `revision` brings in."""
        ...


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
            after = replace(
                fresh,
                created=before.created,
                reason=decision.reason,
                next_step=_next_step(before.run, decision),
                confirmed=before.confirmed,
                confirmed_by=before.confirmed_by,
            )
            if after != before:
                await self._records.save("run.waiting", after)
            return after
        if before:
            await self._end(before, RunWord.CANCELLED, "another plan took its place")
        run = await self._record(record, revision, tree, decision, new_id(), RunWord.WAITING)
        run = replace(run, reason=decision.reason, next_step=_next_step(run.run, decision))
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
    ) -> RunRecord:
        """A run that goes now. One that waited with this very plan keeps its id."""
        before = await self._records.get(RunRecord, record.waiting) if record.waiting and not heal else None
        if before and _is_same_wait(before, decision, revision):
            fresh = await self._record(record, revision, tree, decision, before.run, RunWord.RUNNING)
            run = replace(fresh, confirmed=before.confirmed, confirmed_by=before.confirmed_by)
        else:
            if before:
                await self._end(before, RunWord.CANCELLED, "another plan took its place")
            run = await self._record(record, revision, tree, decision, new_id(), RunWord.RUNNING)
        run = replace(run, heal=heal, rollback=rollback)
        still_waiting = record.waiting if heal else None
        await self._records.save("run.begins", run, replace(record, run=run.run, waiting=still_waiting))
        self._telling.run_moved(run)
        return run

    async def begun(self, run: str) -> Begun | None:
        """The first event of a run, or None if it never got so far."""
        events = await self._log.read(run)
        return events[0] if events and isinstance(events[0], Begun) else None

    def progressed(self, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]) -> None:
        """The run has moved: tell, without waiting for anyone."""
        self._telling.run_moved(replace(run, word=state.word, changes=change_results(state, seconds)))

    async def ended(
        self, record: ScopeRecord, run: RunRecord, state: RunState, seconds: Mapping[int, tuple[float, float]]
    ) -> tuple[ScopeRecord, RunRecord]:
        """Write down the end; a failed deploy is quarantined and gets its revert pull request."""
        run = replace(
            run,
            word=state.word,
            ended=self._clock.wall().isoformat(),
            changes=change_results(state, seconds),
            reason=_reason(state),
            next_step=_after(run, state),
            warnings=state.warnings,
            superseded_by=state.superseded_by or "",
        )
        # Read again: a pause or a confirm may have come while the run was under way.
        record = await self._records.get(ScopeRecord, record.scope) or record
        record = _after_run(replace(record, outputs={**record.outputs, **run_outputs(state)}), run, state)
        await self._records.save("run.ended", run, record)
        if state.word in (RunWord.UNDONE, RunWord.PARKED) and not run.heal:
            number = await self._reverting.open(record, run)
            if number is not None:
                run = replace(run, revert_pull=number)
                await self._records.save("run.revert-opened", run)
        if state.word in (RunWord.DONE, RunWord.UNDONE):
            await self._forget_priors(state)
        self._telling.run_moved(run)
        return record, run

    async def no_longer_waiting(self, record: ScopeRecord, reason: str) -> None:
        """A waiting run has nothing left to do."""
        run = await self._records.get(RunRecord, record.waiting) if record.waiting else None
        if run and not run.word.ended:
            await self._end(run, RunWord.CANCELLED, reason)

    async def synced(self, record: ScopeRecord, revision: str) -> None:
        self._telling.scope_synced(record, revision)

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
        for run in {w.run for w in state.works} | {state.run}:
            await self._log.forget_priors(run)


def _is_same_wait(before: RunRecord, decision: Decision, revision: str) -> bool:
    """The run a person was told of: same content, same destructive changes. Drift beside them does not make another."""
    destructive = {Listed.of(c) for c in decision.plan.changes if c.destructive}
    same_content = (before.fingerprint, before.revision) == (decision.plan.fingerprint, revision)
    return same_content and set(before.destructive) == destructive


def _next_step(run: str, decision: Decision) -> str:
    if decision.waits_for is WaitsFor.CONFIRM:
        return f"alma confirm {run}"
    return decision.next_step


def _reason(state: RunState) -> str:
    if state.word is RunWord.PARKED:
        return "; ".join(state.warnings[-1:]) or "undo could not finish"
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
        case RunWord.UNDONE if not run.heal:
            kept = tuple(q for q in record.quarantine if q != run.fingerprint)
            return replace(record, quarantine=(*kept, run.fingerprint)[-_QUARANTINE_KEPT:])
        case RunWord.PARKED:
            return replace(record, parked=run.run)
        case _:
            return record
