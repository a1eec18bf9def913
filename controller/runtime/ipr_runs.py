"""The runs of one pull request: those it brought in, those still to come, and whether its last word may be said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from controller.plan.health import SyncState
from controller.plan.step import Action
from controller.review.report import RunProgress, RunRow, RunState
from controller.runtime.records import IprRecord, Records, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.source import RepositorySource
from controller.tools.troubles import UNKNOWN, examined

_MOVING_KEPT = 200


class IprRuns:
    """Of all pull requests of one repository. `is_planned`: whether a scope's pass is being made now."""

    def __init__(self, records: Records, repository: RepositorySource, is_planned: Callable[[str], bool]) -> None:
        self._records, self._repository, self._is_planned = records, repository, is_planned
        self._moving: dict[str, RunRecord] = {}  # run id → newest progress, not yet in the journal

    def moved(self, run: RunRecord) -> None:
        """Newest progress of a run that one of our pull requests may show."""
        self._moving[run.run] = run
        if len(self._moving) > _MOVING_KEPT:
            del self._moving[next(iter(self._moving))]

    def progress(self, runs: Sequence[RunRecord]) -> tuple[RunProgress, ...]:
        """As the comment shows them."""
        return tuple(_progress(run, self._continues(run)) for run in runs)

    async def of(self, record: IprRecord, *, unreviewed: bool) -> tuple[RunRecord, ...]:
        """The newest run of each scope that brought this pull request in."""
        newest: dict[str, RunRecord] = {}

        def brought_in(body: Mapping[str, Any]) -> bool:
            # A forge moves the branch before it calls the pull request merged: a run may begin in between.
            ours = record.number in body["pulls"] or body["revision"] == record.merge_sha
            return ours and body["repository"] == record.repository and not body["heal"]

        found = await self._records.where(RunRecord, "", brought_in)
        if unreviewed:
            found += await self._begun_before_the_look(record)
        for stored in found:
            run = stored if stored.word.ended else self._moving.get(stored.run, stored)
            before = newest.get(run.scope)
            if before is None or run.created >= before.created:
                newest[run.scope] = run
        return tuple(newest[s] for s in sorted(newest))

    async def not_begun(self, record: IprRecord, begun: Collection[str]) -> tuple[RunProgress, ...]:
        """Scopes of a merged pull request whose run is still to come, and why where that is known. Nothing of it is
        stored: a run has a record from the moment it waits or goes."""
        found = []
        for scope in sorted({r.scope for r in record.reviewed} - set(begun)):
            known = await self._records.get(ScopeRecord, scope)
            if known is None or known.taken_from(record.repository) or await self._includes(record, known):
                continue
            state = RunState.PLANNING if self._is_planned(scope) else RunState.QUEUED
            looked_at = known.seen_revision == self._repository.head and known.sync is SyncState.OUT_OF_SYNC
            found.append(RunProgress("", scope, state, diagnosis=known.message if looked_at else ""))
        return tuple(found)

    async def _includes(self, record: IprRecord, scope: ScopeRecord) -> bool:
        """True if what the merge brought in is part of the scope's verified revision."""
        merge, good = record.merge_sha, scope.good_revision
        if not merge or not good:
            return False
        return good == merge or await self._repository.mirror.is_ancestor(merge, good)

    async def _begun_before_the_look(self, record: IprRecord) -> tuple[RunRecord, ...]:
        """Runs that brought a pull request in before it was known which scopes it touches, so that they do not name
        it: to the first one that is verified, later ones bring in others."""
        scopes, merge, mirror = {r.scope for r in record.reviewed}, record.merge_sha, self._repository.mirror
        found: list[RunRecord] = []
        deployed: set[str] = set()

        def of_them(body: Mapping[str, Any]) -> bool:
            return body["repository"] == record.repository and body["scope"] in scopes and not body["heal"]

        for run in sorted(await self._records.where(RunRecord, "", of_them), key=lambda r: r.created):
            if merge and run.scope not in deployed and await mirror.is_ancestor(merge, run.revision):
                found.append(run)
                deployed |= {run.scope} if run.word is RunWord.DONE else set()
        return tuple(found)

    async def is_final(self, record: IprRecord, runs: Sequence[RunRecord]) -> bool:
        """No run of it goes on, and every scope the merge touched has an ended run, or is verified at content that
        includes it."""
        if not all(r.word.ended for r in runs):
            return False
        ended = {r.scope for r in runs if r.word.ended and r.word is not RunWord.SUPERSEDED}
        for reviewed in record.reviewed:
            if reviewed.scope in ended:
                continue
            scope = await self._records.get(ScopeRecord, reviewed.scope)
            if scope and scope.taken_from(record.repository):
                continue  # nothing is done for it from here
            if scope is None or not await self._includes(record, scope):
                return False
        return True

    def _continues(self, run: RunRecord) -> int | None:
        newer = self._moving.get(run.superseded_by)
        fresh = [n for n in newer.pulls if n not in run.pulls] if newer else []
        return fresh[-1] if fresh else None


def _progress(run: RunRecord, continues_in: int | None) -> RunProgress:
    """A run's record as the review room shows it."""
    rows = tuple(RunRow(c.resource, Action(c.action), c.result, c.seconds, c.tasks) for c in run.changes)
    return RunProgress(
        run=run.run,
        scope=run.scope,
        state=RunState(run.word),
        rows=rows,
        diagnosis=run.reason,
        next_step=run.next_step,
        confirm=f"/alma confirm {run.run}" if run.word is RunWord.WAITING else "",
        revert_number=run.revert_pull,
        continues_in=continues_in,
        causes=_causes(run),
        warnings=run.remarks,
    )


def _causes(run: RunRecord) -> tuple[str, ...]:
    """What the engine's own words about a failure probably mean, where they are known ones."""
    if run.word not in (RunWord.UNDOING, RunWord.UNDONE, RunWord.PARKED):
        return ()
    found = examined(run.reason)
    if found.probable_causes == (UNKNOWN,):
        return ()
    pairs = zip(found.probable_causes, found.evidence, strict=False)
    causes = [f"Probable cause: {cause}; {evidence}." for cause, evidence in pairs]
    return (*causes[:2], f"What to look at: {'; '.join(found.next_steps[:4])}.")
