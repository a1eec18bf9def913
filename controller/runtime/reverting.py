"""The revert pull request: a failed scope's paths back to the last verified revision."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from controller.errors import AlmaError
from controller.forges.forge import Forge, PullState
from controller.git.authoring import Author
from controller.runtime.clock import Clock
from controller.runtime.records import RunRecord, ScopeRecord
from controller.runtime.source import RepositorySource

_log = structlog.get_logger("reverting")


class RevertPulls:
    """Opens at most one revert pull request per failed scope."""

    def __init__(self, repositories: Mapping[str, RepositorySource], forges: Mapping[str, Forge], clock: Clock) -> None:
        self._repositories, self._forges, self._clock = repositories, forges, clock

    async def open(self, record: ScopeRecord, run: RunRecord) -> int | None:
        """Its number; None for a first deploy, when the branch has moved past the content that failed, or when the
        forge cannot be reached (then the comment says how to revert by hand)."""
        repository, forge = self._repositories.get(record.repository), self._forges.get(record.repository)
        if repository is None or forge is None or not record.good_revision or repository.head is None:
            return None
        try:
            return await self._open(repository, forge, record, run, record.good_revision)
        except AlmaError as e:
            _log.warning("no revert pull request", run=run.run, reason=str(e))
            return None

    async def _open(
        self, repository: RepositorySource, forge: Forge, record: ScopeRecord, run: RunRecord, good: str
    ) -> int | None:
        assert repository.head is not None, "checked by the caller"
        config = await repository.config(repository.head)
        scope = config.scope(record.scope)
        if scope is None or await repository.content_id(repository.head, scope) != run.tree:
            return None
        branch = f"ipr/revert-{record.scope}-{run.run[:8]}"
        for pull in await forge.pulls():
            if pull.head == branch and pull.state is PullState.OPEN:
                return pull.number
        title = f"Revert {record.scope} to {good[:8]}"
        commit = await repository.mirror.restore_paths(
            repository.head,
            good,
            ["" if scope.path == "." else scope.path],
            f"{title}\n\nRun {run.run} failed and was undone.",
            Author("ALMA", "alma@localhost", int(self._clock.wall().timestamp())),
        )
        if branch not in (await repository.mirror.refs()).branches:  # a process that died may have pushed it already
            await repository.mirror.push(commit, branch, None)
        brought = ", ".join(f"#{n}" for n in run.pulls) or f"commit {run.revision[:8]}"
        body = (
            f"Run `{run.run}` of scope `{record.scope}` failed and was undone. This brings its files back to the last "
            f"verified revision `{good[:12]}`. It takes back: {brought}."
        )
        return (await forge.open_pull(branch, title, body)).number
