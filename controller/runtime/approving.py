"""Required approvals (I3): by people who approved exactly this head and plan, and neither wrote it nor asked for it.

No forge tells for sure who pushed last, so whoever stands as author or committer in any commit of the pull request
counts as having written it; where an address belongs to nobody known, nobody's approval counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from controller.errors import AlmaError
from controller.forges.forge import Account, Approval, Forge, ForgeError
from controller.git.history import CommitInfo
from controller.git.repository import Mirror
from controller.plan.change import Plan
from controller.runtime.records import IprRecord, Reviewed, RunRecord, ScopeRecord, SeenApproval
from controller.runtime.scope_head import ScopeHead

_COMMITS_MAX = 1_000
_NOREPLY = re.compile(r"(?:[0-9]+\+)?([A-Za-z0-9_-]+)@users\.noreply\.[A-Za-z0-9.-]+")
_FORGES = frozenset({"noreply@github.com"})  # as committer of what was merged or edited at the forge; its author stays


@dataclass(frozen=True, slots=True)
class Approver:
    """Someone whose approval may count. `names`: their login, and their teams as `org/team` and `team`."""

    login: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class ApprovalPlace:
    """One repository. `approver` looks up an account's rights now; None without the right to operate."""

    forge: Forge
    mirror: Mirror
    approver: Callable[[Account], Awaitable[Approver | None]]


class Merged(Protocol):
    """Merged pull requests that a revision brings into a scope."""

    async def merged(self, record: ScopeRecord, revision: str) -> list[tuple[IprRecord, Reviewed]]: ...


class Approving:
    """Of all repositories. `people`: address in lower case → login."""

    def __init__(self, places: Mapping[str, ApprovalPlace], merged: Merged, people: Mapping[str, str]) -> None:
        self._places, self._merged, self._people = places, merged, people

    async def lacking(self, record: ScopeRecord, head: ScopeHead, plan: Plan, waiting: RunRecord | None) -> str:
        """What `plan` lacks to run, and who can give it; empty where nothing. No answer is no approval."""
        policy, place = head.policy, self._places.get(record.repository)
        if not policy.approvals and not policy.owners:
            return ""
        if place is None:
            return "approvals are required, and its repository is configured no more"
        try:
            return await self._lacking(place, record, head, plan, waiting)
        except (AlmaError, ForgeError) as e:
            return f"approvals are required, and cannot be looked up now: {str(e)[:200]}"

    async def _lacking(
        self, place: ApprovalPlace, record: ScopeRecord, head: ScopeHead, plan: Plan, waiting: RunRecord | None
    ) -> str:
        merged = await self._merged.merged(record, head.revision)
        fitting = [ipr for ipr, reviewed in merged if reviewed.digest == plan.digest]
        if not fitting:
            return await self._without_pull(place, record, head, plan, waiting)
        ipr = fitting[-1]
        commits = await place.mirror.log("", ipr.base_sha, ipr.head_sha, _COMMITS_MAX)
        writers, unknown = self._writers(commits, ipr.proposed)
        if unknown:
            return f"#{ipr.number}: {unknown}"
        pull = await place.forge.pull(ipr.number)
        if pull is None:
            return f"#{ipr.number} is at its forge no more"
        barred = writers | {pull.author.login.lower(), *(r.lower() for r in ipr.requested_by)}
        counted = await self._counted(place, ipr, barred)
        paths = await place.mirror.changed_paths(ipr.base_sha, ipr.head_sha)
        return _told(f"#{ipr.number}", head, paths, _with_confirmation(counted, barred, head, plan, waiting))

    async def _without_pull(
        self, place: ApprovalPlace, record: ScopeRecord, head: ScopeHead, plan: Plan, waiting: RunRecord | None
    ) -> str:
        """A push past all pull requests, a plan that nobody was shown, a rollback: someone else confirms the run."""
        since = record.good_revision
        writers, unknown = self._writers(await place.mirror.log("", since, head.revision, _COMMITS_MAX), {})
        if unknown:
            return f"no pull request showed this plan, and {unknown}"
        by = record.pin.by.rpartition(":")[2].lower() if head.pinned and record.pin else ""
        paths = await place.mirror.changed_paths(since, head.revision) if since else ("",)
        counted = _with_confirmation({}, writers | {by}, head, plan, waiting)
        return _told("this plan, which no pull request showed,", head, paths, counted)

    async def _counted(self, place: ApprovalPlace, ipr: IprRecord, barred: set[str]) -> dict[str, Approver]:
        """Login → approver, of the approvals that count for what the merged pull request showed."""
        shown, counted = plan_shown(ipr), dict[str, Approver]()
        for approval in await place.forge.approvals(ipr.number):
            login = approval.account.login.lower()
            if approval.account.bot or login in barred or approval.head_sha != ipr.head_sha:
                continue
            seen = next((s for s in ipr.approvals if s.is_of(approval)), None)
            if seen is not None and seen.plan != shown:
                continue  # given for a plan that is no longer there
            approver = await place.approver(approval.account)
            if approver is not None:
                counted[login] = approver
        return counted

    def _writers(self, commits: Sequence[CommitInfo], proposed: Mapping[str, str]) -> tuple[set[str], str]:
        """Logins of everyone whose address is in a commit, and why they are not all known. A commit of ours was
        written by who asked for it."""
        if len(commits) >= _COMMITS_MAX:
            return set(), f"it has more than {_COMMITS_MAX} commits"
        writers = set()
        for commit in commits:
            if commit.id in proposed:
                writers.add(proposed[commit.id].lower())
                continue
            for email in {commit.author_email.lower(), commit.committer_email.lower()} - _FORGES:
                login = self._people.get(email) or _login_in(email)
                if login is None:
                    return set(), f"commit {commit.id[:12]} has an address that `people` of the server does not name"
                writers.add(login.lower())
        return writers, ""


def plan_shown(ipr: IprRecord) -> str:
    """Stands for the plan that the comment showed last; empty where it showed none."""
    digests = sorted(f"{r.scope} {r.digest}" for r in ipr.reviewed if r.digest)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16] if digests else ""


def seen_now(ipr: IprRecord, approvals: Iterable[Approval]) -> IprRecord:
    """The record with every approval that is new bound to what the comment showed until now; those that are gone are
    forgotten."""
    known = {(s.account, s.head, s.stamp): s for s in ipr.approvals}
    shown = plan_shown(ipr)
    made = tuple(
        known.get((a.account.id, a.head_sha, a.stamp))
        or SeenApproval(a.account.id, a.head_sha, a.stamp, shown if a.head_sha == ipr.head_sha else "")
        for a in approvals
    )
    return replace(ipr, approvals=made)


def _login_in(email: str) -> str | None:
    found = _NOREPLY.fullmatch(email)
    return found[1] if found else None


def _with_confirmation(
    counted: Mapping[str, Approver], barred: Iterable[str], head: ScopeHead, plan: Plan, waiting: RunRecord | None
) -> Mapping[str, Approver]:
    """A confirmation of exactly this plan is one approval. Where several are needed it is none: at the forge and on
    this machine one person may have two names."""
    if waiting is None or waiting.confirmed_digest != plan.digest or head.policy.approvals > 1:
        return counted
    login = waiting.confirmed_name.lower()
    if not login or login in set(barred):
        return counted
    return {**counted, login: Approver(login, frozenset({login}))}


def _told(what: str, head: ScopeHead, paths: Sequence[str], counted: Mapping[str, Approver]) -> str:
    needed = head.policy.approvals
    if len(counted) < needed:
        return (
            f"{what} has {len(counted)} of {needed} approvals of this head and plan, by people who may operate and"
            " neither wrote it nor asked for it"
        )
    for pattern, owners in head.policy.owners:
        touched = any(not p or fnmatchcase(p, pattern) for p in paths)
        if touched and not any(a.names & {o.lower() for o in owners} for a in counted.values()):
            return f"{what} changes {pattern} and needs an approval by {' or '.join(owners)}, who did not write it"
    return ""
