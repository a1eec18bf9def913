"""What is over leaves the records after a while: ended runs, and pull requests whose last word is said.

Only documents go, each pruning with an event that names them, in the commit that deletes them. The events themselves
stay: they are the audit chain (I46), and a chain with holes could be verified by nobody. So the disk still holds every
run (`alma journal export`), while what each look reads stays small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from controller.forges.forge import PullState
from controller.journal.projections import Document, Entry
from controller.runtime.clock import Clock
from controller.runtime.records import IprRecord, Records, RunRecord, ScopeRecord
from controller.runtime.run import RunWord

_log = structlog.get_logger("retention")
_TOGETHER = 200  # deleted in one commit
_VERIFIED_KEPT = 2  # distinct contents that were verified: the present one, and the one `rollback` goes back to


@dataclass(frozen=True, slots=True)
class Keep:
    """At least `days` days, and at least the newest `runs` runs of each scope."""

    days: int = 90
    runs: int = 100


class Deployed(Protocol):
    async def includes(self, repository: str, older: str, newer: str) -> bool:
        """True if the commit `older` is reachable from `newer`."""
        ...


class Retention:
    """Prunes the records of one install."""

    def __init__(self, records: Records, git: Deployed, clock: Clock, keep: Keep = Keep()) -> None:
        self._records, self._git, self._clock, self._keep = records, git, clock, keep

    async def prune(self) -> int:
        """How many runs and pull requests went. A kill in between leaves the rest for the next time."""
        since = self._clock.wall() - timedelta(days=self._keep.days)
        iprs = await self._records.all(IprRecord)
        scopes = {s.scope: s for s in await self._records.all(ScopeRecord)}
        runs = prunable_runs(await self._records.all(RunRecord), scopes, iprs, self._keep, since)
        said = [i for i in iprs if is_over(i, since) and await self._is_deployed(i, scopes)]
        await self._drop("journal.runs-pruned", [r.run for r in runs], ("run", "takeover"))
        await self._drop("journal.iprs-pruned", [i.key for i in said], ("ipr", "review"))
        if runs or said:
            _log.info("records pruned", runs=len(runs), pull_requests=len(said))
        return len(runs) + len(said)

    async def _is_deployed(self, ipr: IprRecord, scopes: Mapping[str, ScopeRecord]) -> bool:
        """False while what the merge cleared may still be needed: a scope has not verified it yet (I2)."""
        if ipr.state != PullState.MERGED or not ipr.merge_sha:
            return True
        for reviewed in ipr.reviewed:
            scope = scopes.get(reviewed.scope)
            if scope is None or scope.repository != ipr.repository or scope.orphaned:
                continue
            good = scope.good_revision
            if good is None or not await self._git.includes(ipr.repository, ipr.merge_sha, good):
                return False
        return True

    async def _drop(self, event: str, keys: Sequence[str], kinds: Sequence[str]) -> None:
        for begin in range(0, len(keys), _TOGETHER):
            some = keys[begin : begin + _TOGETHER]
            gone = [Document(kind, key, None) for key in some for kind in kinds]
            await self._records.journal.append("retention", [Entry(event, {"keys": list(some)})], gone)


def prunable_runs(
    runs: Sequence[RunRecord],
    scopes: Mapping[str, ScopeRecord],
    iprs: Sequence[IprRecord],
    keep: Keep,
    since: datetime,
) -> list[RunRecord]:
    """Runs that ended before `since`, are not among the newest of their scope, and that nothing needs any more."""
    needed = {run for scope in scopes.values() for run in (scope.run, scope.waiting, scope.parked, scope.revert_due)}
    needed |= {run for ipr in iprs if not ipr.final for run in ipr.runs}
    unfinished = {(ipr.repository, ipr.number) for ipr in iprs if not ipr.final}
    by_scope: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda r: r.created, reverse=True):
        by_scope.setdefault(run.scope, []).append(run)
    found = []
    for name, newest_first in by_scope.items():
        spoken_for = needed | set(_of_content(newest_first, scopes.get(name)))
        found += [
            run
            for run in newest_first[keep.runs :]
            if run.word.ended and run.run not in spoken_for and _ended(run) < since
            if not any((run.repository, number) in unfinished for number in run.pulls)
        ]
    return found


def _of_content(newest_first: Sequence[RunRecord], scope: ScopeRecord | None) -> Iterator[str]:
    """The newest run of each content in quarantine, and of those that were verified last."""
    held = set(scope.quarantine) if scope else set()
    verified: set[str] = set()
    for run in newest_first:
        if run.fingerprint in held:
            held.discard(run.fingerprint)
            yield run.run
        is_good = run.word is RunWord.DONE and not run.heal and run.fingerprint not in verified
        if is_good and len(verified) < _VERIFIED_KEPT:
            verified.add(run.fingerprint)
            yield run.run


def is_over(ipr: IprRecord, since: datetime) -> bool:
    """Its last word was said before `since`."""
    return ipr.final and ipr.state != PullState.OPEN and bool(ipr.final_at) and _at(ipr.final_at) < since


def _ended(run: RunRecord) -> datetime:
    return _at(run.ended or run.created)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
