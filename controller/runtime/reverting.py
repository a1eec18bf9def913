"""The revert pull request: a failed scope's paths back to the last verified revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from controller.errors import AlmaError
from controller.forges.forge import Forge, PullState
from controller.git.authoring import Author
from controller.runtime.clock import Clock
from controller.runtime.records import RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.source import RepositorySource

_log = structlog.get_logger("reverting")


class RevertPulls:
    """Opens at most one revert pull request per failed scope."""

    def __init__(self, repositories: Mapping[str, RepositorySource], forges: Mapping[str, Forge], clock: Clock) -> None:
        self._repositories, self._forges, self._clock = repositories, forges, clock

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """Its number; None for a first deploy, when the branch has moved past the content in question, or when the
        forge cannot be reached (then the comment says how to revert by hand)."""
        repository, forge = self._repositories.get(record.repository), self._forges.get(record.repository)
        wanted = _wanted(record, run)
        if repository is None or forge is None or wanted is None or repository.head is None:
            return None
        try:
            return await self._open(repository, forge, record, run, wanted)
        except AlmaError as e:
            _log.warning("no revert pull request", run=run.run, reason=str(e))
            return None

    async def _open(
        self, repository: RepositorySource, forge: Forge, record: ScopeRecord, run: RunRecord, wanted: _Wanted
    ) -> int | None:
        assert repository.head is not None, "checked by the caller"
        config = await repository.config(repository.head)
        scope = config.scope(record.scope)
        if scope is None or await repository.content_id(repository.head, scope) != wanted.held:
            return None
        branch = f"ipr/revert-{record.scope}-{run.run[:8]}"
        for pull in await forge.pulls():
            if pull.head == branch and pull.state is PullState.OPEN:
                return pull.number
        title = f"Revert {record.scope} to {wanted.good[:8]}"
        commit = await repository.mirror.restore_paths(
            repository.head,
            wanted.good,
            ["" if scope.path == "." else scope.path],
            f"{title}\n\n{wanted.why}",
            Author("ALMA", "alma@localhost", int(self._clock.wall().timestamp())),
        )
        if branch not in (await repository.mirror.refs()).branches:  # a process that died may have pushed it already
            await repository.mirror.push(commit, branch, None)
        body = f"{wanted.why} This brings its files back to `{wanted.good[:12]}`. {_taken_back(run)}".rstrip()
        return (await forge.open_pull(branch, title, body)).number


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
