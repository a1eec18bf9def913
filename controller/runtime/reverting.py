"""The revert pull request: a failed scope's paths back to the last verified revision, later if nobody answers now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from controller.errors import AlmaError, Unreachable
from controller.forges.forge import Forge, ForgeUnavailable
from controller.git.authoring import Author
from controller.runtime.clock import Clock
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.source import RepositorySource

_log = structlog.get_logger("reverting")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the revert pull requests of one repository are opened."""

    repository: RepositorySource
    forge: Forge
    branch: str  # the tracked one


class RevertPulls:
    """Opens at most one revert pull request per failed run."""

    def __init__(self, places: Mapping[str, Place], clock: Clock, later: Callable[[str], None]) -> None:
        self._places, self._clock, self.later = places, clock, later

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """Its number; None for a first deploy, when the branch has moved past the content in question, or when the
        forge refuses (then the comment says how to revert by hand). Raises Unreachable: later."""
        try:
            return await self.attempt(record, run)
        except ForgeUnavailable as e:
            raise Unreachable(str(e)) from e

    async def attempt(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """As `open`; what the forge says of when to ask again is not lost. Raises ForgeUnavailable too."""
        place, wanted = self._places.get(record.repository), _wanted(record, run)
        if place is None or wanted is None:
            return None
        try:
            return await self._open(place, record, run, wanted)
        except (Unreachable, ForgeUnavailable):
            raise
        except AlmaError as e:
            _log.warning("no revert pull request", run=run.run, reason=str(e))
            return None

    async def _open(self, place: Place, record: ScopeRecord, run: RunRecord, wanted: _Wanted) -> int | None:
        repository, forge = place.repository, place.forge
        refs = (await repository.mirror.refs()).branches
        if repository.head is None or refs.get(place.branch) != repository.head:
            raise Unreachable(f"branch {place.branch} has moved and was not looked at yet")
        config = await repository.config(repository.head)
        scope = config.scope(record.scope)
        if scope is None or await repository.content_id(repository.head, scope) != wanted.held:
            return None
        branch = f"ipr/revert-{record.scope}-{run.run[:8]}"
        for pull in await forge.pulls():
            if pull.head == branch:  # of an attempt whose answer was lost; once closed it is not opened again
                return pull.number
        title = f"Revert {record.scope} to {wanted.good[:8]}"
        commit = await repository.mirror.restore_paths(
            repository.head,
            wanted.good,
            ["" if scope.path == "." else scope.path],
            f"{title}\n\n{wanted.why}",
            Author("ALMA", "alma@localhost", int(self._clock.wall().timestamp())),
        )
        if branch not in refs:  # a process that died may have pushed it already
            await repository.mirror.push(commit, branch, None)
        body = f"{wanted.why} This brings its files back to `{wanted.good[:12]}`. {_taken_back(run)}".rstrip()
        return (await forge.open_pull(branch, title, body)).number


class LateReverts:
    """Revert pull requests that could not be opened when their run ended (I19)."""

    def __init__(self, records: Records, pulls: RevertPulls, moved: Callable[[RunRecord], None]) -> None:
        self._records, self._pulls, self._moved = records, pulls, moved

    async def look(self, scope: str) -> None:
        """Open the one that is due for `scope`, unless it has become needless. Raises as `RevertPulls.attempt` does."""
        record = await self._records.get(ScopeRecord, scope)
        run = await self._records.get(RunRecord, record.revert_due) if record and record.revert_due else None
        if record is None or run is None:
            return
        number = await self._pulls.attempt(record, run) if _is_still_wanted(record, run) else None
        run = replace(run, revert_pull=number)
        now = await self._records.get(ScopeRecord, scope) or record
        if now.revert_due == run.run:
            now = replace(now, revert_due=None)
        await self._records.save("run.reverted" if number else "run.not-reverted", run, now)
        self._moved(run)


def _is_still_wanted(record: ScopeRecord, run: RunRecord) -> bool:
    """Nobody has lifted what the run left behind."""
    if run.rollback and run.word is RunWord.DONE:
        return record.pin is not None and record.pin.revision == run.revision
    return record.parked == run.run or run.fingerprint in record.quarantine


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Back to the revision `good`, as long as the branch still has the content `held`."""

    good: str
    held: str
    why: str


def _wanted(record: ScopeRecord, run: RunRecord) -> _Wanted | None:
    if run.rollback and run.word is RunWord.DONE:
        if record.pin is None:
            return None
        why = f"Scope `{record.scope}` was rolled back by a person ({record.pin.reason})."
        return _Wanted(run.revision, record.pin.held_tree, why)
    if not record.good_revision:
        return None
    return _Wanted(record.good_revision, run.tree, f"Run `{run.run}` of scope `{record.scope}` failed and was undone.")


def _taken_back(run: RunRecord) -> str:
    if run.rollback:
        return ""
    brought = ", ".join(f"#{n}" for n in run.pulls) or f"commit {run.revision[:8]}"
    return f"It takes back: {brought}."
