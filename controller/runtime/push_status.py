"""What a push without a pull request shows on its commit: the plan, what it waits for with the command, how it ended.

Made from the records alone, so a pass may be the last before a kill, and the next one goes on (I19). Nothing here
changes a target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog

from controller.blueprint.entry import Disruption
from controller.forges.forge import Forge, ForgeRefused, Status, StatusState
from controller.plan.health import SyncState
from controller.plan.step import Action
from controller.review.report import counts_text
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.run import RunWord

_log = structlog.get_logger("push")
_STATES = {
    RunWord.DONE: StatusState.SUCCESS,
    RunWord.SUPERSEDED: StatusState.SUCCESS,
    RunWord.UNDONE: StatusState.FAILURE,
    RunWord.PARKED: StatusState.FAILURE,
    RunWord.CANCELLED: StatusState.FAILURE,
}
_WORST_FIRST = (StatusState.ERROR, StatusState.FAILURE, StatusState.PENDING, StatusState.SUCCESS)
_SCOPES_MAX = 20


def belongs_to_push(run: RunRecord) -> bool:
    """Brought in by no pull request and asked for by nobody: its commit is the only place to show it."""
    return not run.pulls and not run.heal and not run.rollback


class PushStatuses:
    """Commit statuses of one repository's pushes."""

    def __init__(self, repository: str, forge: Forge, records: Records) -> None:
        self._repository, self._forge, self._records = repository, forge, records

    async def look(self, revision: str) -> None:
        """Bring the statuses of one commit in line with its runs. Raises ForgeUnavailable."""
        runs = await self._runs(revision)
        own = [run for run in runs if belongs_to_push(run)]
        stopped = await self._stopped(revision, {run.scope for run in runs})
        try:
            for status in push_statuses(own, stopped):
                await self._forge.write_status(revision, status)
        except ForgeRefused as e:  # the commit is gone from the forge, or the right is: trying again cannot help
            _log.warning("no commit status", repository=self._repository, revision=revision, reason=str(e))

    async def unsettled(self) -> tuple[str, ...]:
        """Commits whose last word may not have reached the forge before this process began: that of each scope's
        newest run."""
        newest = _newest(r for r in await self._records.all(RunRecord) if self._is_ours(r) and belongs_to_push(r))
        return tuple(sorted({run.revision for run in newest}))

    async def _runs(self, revision: str) -> tuple[RunRecord, ...]:
        def of_commit(body: Mapping[str, Any]) -> bool:
            return body["repository"] == self._repository and body["revision"] == revision and not body["heal"]

        return _newest(await self._records.where(RunRecord, "", of_commit))

    async def _stopped(self, revision: str, running: Collection[str]) -> tuple[ScopeRecord, ...]:
        """Scopes of which this commit could not even be planned, or may not run."""
        return tuple(
            s
            for s in await self._records.all(ScopeRecord)
            if s.repository == self._repository and s.seen_revision == revision and s.scope not in running
            if s.sync is SyncState.OUT_OF_SYNC and s.message and s.good_revision != revision
        )

    def _is_ours(self, run: RunRecord) -> bool:
        return run.repository == self._repository


def _newest(runs: Iterable[RunRecord]) -> tuple[RunRecord, ...]:
    """The newest run of each scope, by scope."""
    newest = {run.scope: run for run in sorted(runs, key=lambda run: run.created)}
    return tuple(newest[scope] for scope in sorted(newest))


def push_statuses(runs: Sequence[RunRecord], stopped: Sequence[ScopeRecord] = ()) -> tuple[Status, ...]:
    """Aggregates first, then at most twenty of scopes, the worst first (design.md 5). None for a push that brought
    nothing to do."""
    each = [_plan(run) for run in runs]
    each += [Status(f"alma/plan: {s.scope}", StatusState.FAILURE, s.message) for s in stopped]
    if not each:
        return ()
    each.sort(key=lambda s: (_WORST_FIRST.index(s.state), s.context))
    deploys = [_deploy(run, several=len(runs) > 1) for run in runs]
    worst = [min(deploys, key=lambda s: _WORST_FIRST.index(s.state))] if deploys else []
    return (_plan_of_all(runs, stopped), *worst, *each[:_SCOPES_MAX])


def _plan_of_all(runs: Sequence[RunRecord], stopped: Sequence[ScopeRecord]) -> Status:
    if stopped:
        return Status("alma/plan", StatusState.FAILURE, f"{stopped[0].scope}: {stopped[0].message}")
    return Status("alma/plan", StatusState.SUCCESS, _told(runs))


def _plan(run: RunRecord) -> Status:
    """Counts, and by name what goes or is made anew."""
    gone = ", ".join(x.resource for x in run.destructive)
    return Status(f"alma/plan: {run.scope}", StatusState.SUCCESS, _told((run,)) + (f" · {gone}" if gone else ""))


def _told(runs: Sequence[RunRecord]) -> str:
    changes = [c for run in runs for c in run.changes]
    counts = Counter(c.action for c in changes)
    worst = max((Disruption(c.disruption) for c in changes), key=lambda d: d.rank, default=Disruption.NONE)
    return f"{counts_text({a: counts[a] for a in Action})} · {worst.value}"


def _deploy(run: RunRecord, *, several: bool) -> Status:
    state = _STATES.get(run.word, StatusState.PENDING)
    text = f"{run.scope}: {_words(run)}" if several else _words(run)
    return Status("alma/deploy", state, text)


def _words(run: RunRecord) -> str:
    """`waiting: alma confirm RUN`, `done: 3 of 3`, `undone: push other content, …`."""
    told = run.next_step or run.reason
    if told and run.word in (RunWord.WAITING, RunWord.UNDONE, RunWord.PARKED, RunWord.CANCELLED):
        return f"{run.word.value}: {told}"
    done = sum(1 for c in run.changes if c.result == "done")
    return f"{run.word.value}: {done} of {len(run.changes)}"
