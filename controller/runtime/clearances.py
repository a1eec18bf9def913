"""Who allowed what: merged reviews since the last deployed revision, and confirmations on pull requests (I2, I17)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.forges.forge import PullRequest, PullState
from controller.plan.change import ClearedBy
from controller.plan.limits import Allowance
from controller.runtime.records import IprRecord, Records, Reviewed, ScopeRecord
from controller.runtime.source import GitSource


class MergedReviews:
    """Reads the records of pull requests; a review counts for a scope from its merge until the scope deployed it."""

    def __init__(self, records: Records, source: GitSource) -> None:
        self._records, self._source = records, source

    async def for_scope(self, record: ScopeRecord, revision: str) -> Sequence[Allowance]:
        """What merged pull requests listed for this scope, and what was confirmed on them."""
        allowances = []
        for ipr, reviewed in await self._merged(record, revision):
            reference = f"{ipr.repository}#{ipr.number}"
            allowances.append(Allowance(ClearedBy.REVIEW, ipr.author, reference, frozenset(reviewed.listed)))
            if ipr.confirmed:
                allowances.append(Allowance(ClearedBy.CONFIRM, ipr.confirmed_by, reference, frozenset(ipr.confirmed)))
        return allowances

    async def digests(self, record: ScopeRecord, revision: str) -> frozenset[str]:
        """Digests that were reviewed and merged."""
        return frozenset(reviewed.digest for _, reviewed in await self._merged(record, revision))

    async def pins(self, record: ScopeRecord, revision: str) -> Mapping[str, str]:
        """NAME:TAG → digest as the newest merged review resolved it."""
        pins: dict[str, str] = {}
        for _, reviewed in await self._merged(record, revision):
            pins.update(reviewed.pins)
        return pins

    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]:
        """Numbers of the pull requests that `revision` brings in, oldest first."""
        return tuple(ipr.number for ipr, _ in await self._merged(record, revision))

    async def _merged(self, record: ScopeRecord, revision: str) -> list[tuple[IprRecord, Reviewed]]:
        """Reachable from `revision` and not from the last good one, by number."""
        found = []
        for ipr in await self._records.all(IprRecord, f"{record.repository}/"):
            reviewed = next((r for r in ipr.reviewed if r.scope == record.scope), None)
            if reviewed is None or ipr.state != PullState.MERGED or not ipr.merge_sha:
                continue
            if await self._between(record, ipr.merge_sha, revision):
                found.append((ipr, reviewed))
        return sorted(found, key=lambda pair: pair[0].number)

    async def _between(self, record: ScopeRecord, merge: str, revision: str) -> bool:
        if not await self._source.includes(record.repository, merge, revision):
            return False
        good = record.good_revision
        return good is None or not await self._source.includes(record.repository, merge, good)


def at_merge(record: IprRecord, pull: PullRequest) -> IprRecord:
    """What is known of a merged pull request. What was shown for another head than the one that was merged, or
    confirmed there, clears nothing (I2)."""
    record = replace(record, state=pull.state, merge_sha=pull.merge_sha)
    if pull.head_sha == record.head_sha:
        return record
    nothing = tuple(replace(r, digest="", listed=(), pins={}) for r in record.reviewed)
    return replace(record, reviewed=nothing, confirmed=(), confirmed_by="")
