"""Who allowed what: merged reviews since the last deployed revision, and confirmations on pull requests (I2, I17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.forges.forge import PullRequest, PullState
from controller.plan.change import ClearedBy
from controller.plan.limits import Allowance
from controller.runtime.records import IprRecord, Records, Reviewed, ScopeRecord
from controller.runtime.source import GitSource


class MergedReviews:
    """Reads the records of pull requests; a review counts for a scope from its merge until the scope deployed it."""

    def __init__(self, records: Records, source: GitSource) -> None:
        self._records, self._source = records, source
        self._deployed: dict[str, set[str]] = {}  # scope → merges that a verified revision included

    async def for_scope(self, record: ScopeRecord, revision: str) -> Sequence[Allowance]:
        """What merged pull requests listed for this scope, and what was confirmed on them."""
        allowances = []
        for ipr, reviewed in await self.merged(record, revision):
            reference = f"{ipr.repository}#{ipr.number}"
            allowances.append(Allowance(ClearedBy.REVIEW, ipr.author, reference, frozenset(reviewed.listed)))
            if ipr.confirmed:
                allowances.append(Allowance(ClearedBy.CONFIRM, ipr.confirmed_by, reference, frozenset(ipr.confirmed)))
        return allowances

    async def digests(self, record: ScopeRecord, revision: str) -> frozenset[str]:
        """Digests that were reviewed and merged."""
        return frozenset(reviewed.digest for _, reviewed in await self.merged(record, revision))

    async def pins(self, record: ScopeRecord, revision: str) -> Mapping[str, str]:
        """NAME:TAG → digest as the newest merged review resolved it."""
        pins: dict[str, str] = {}
        for _, reviewed in await self.merged(record, revision):
            pins.update(reviewed.pins)
        return pins

    async def pulls(self, record: ScopeRecord, revision: str) -> tuple[int, ...]:
        """Numbers of the pull requests that `revision` brings in, oldest first."""
        return tuple(ipr.number for ipr, _ in await self.merged(record, revision))

    async def merged(self, record: ScopeRecord, revision: str) -> list[tuple[IprRecord, Reviewed]]:
        """Reachable from `revision` and not from the last good one, by number."""
        found = []
        for ipr in await self._records.where(IprRecord, f"{record.repository}/", self._may_count(record)):
            reviewed = next((r for r in ipr.reviewed if r.scope == record.scope), None)
            if reviewed and ipr.merge_sha and await self._between(record, ipr.merge_sha, revision):
                found.append((ipr, reviewed))
        return sorted(found, key=lambda pair: pair[0].number)

    def _may_count(self, record: ScopeRecord) -> Callable[[Mapping[str, Any]], bool]:
        """Merged and not known to be deployed: told from the stored text, because there may be thousands."""
        if record.pin or record.rewritten:
            self._deployed.pop(record.scope, None)  # the verified revision may have gone back
        over = self._deployed.setdefault(record.scope, set())
        return lambda body: (
            body["state"] == PullState.MERGED and bool(body["merge_sha"]) and body["merge_sha"] not in over
        )

    async def _between(self, record: ScopeRecord, merge: str, revision: str) -> bool:
        good = record.good_revision
        if good is not None and await self._source.includes(record.repository, merge, good):
            self._deployed[record.scope].add(merge)
            return False
        return await self._source.includes(record.repository, merge, revision)


def at_merge(record: IprRecord, pull: PullRequest) -> IprRecord:
    """What is known of a merged pull request. What was shown for another head than the one that was merged, or
    confirmed there, clears nothing (I2)."""
    record = replace(record, state=pull.state, merge_sha=pull.merge_sha)
    if pull.head_sha == record.head_sha:
        return record
    nothing = tuple(replace(r, digest="", listed=(), pins={}) for r in record.reviewed)
    return replace(record, reviewed=nothing, confirmed=(), confirmed_by="")
