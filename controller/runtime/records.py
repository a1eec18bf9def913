"""What the loop remembers of scopes, runs and pull requests: documents of the journal, replaceable from the world.

The journal is a cache (design.md 7): losing these loses history, quarantine and pauses, never ownership.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from controller.blueprint.value import Output
from controller.forges.forge import Approval
from controller.journal.projections import Document, Entry
from controller.plan.codec import from_json, to_json
from controller.plan.health import HealthState, SyncState
from controller.plan.limits import Listed
from controller.plan.step import TaskRef
from controller.runtime.run import RunWord

if TYPE_CHECKING:  # commands that only read documents load no database
    from controller.journal.journal import Journal

R = TypeVar("R", "ScopeRecord", "RunRecord", "IprRecord", "RepositoryRecord")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person stopped a scope: nothing is changed until `until` (ISO, UTC) or `resume`."""

    by: str
    reason: str
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """`rollback`: the scope runs this revision until its content on the branch is no longer `held_tree`."""

    revision: str
    by: str
    reason: str
    held_tree: str


@dataclass(frozen=True, slots=True)
class DriftItem:
    """One object that is not as we left it."""

    resource: str
    kind: str
    target: str
    fields: tuple[str, ...]
    since: str  # ISO, UTC
    by: tuple[str, ...] = ()  # who changed it, and when, where the platform tells it


@dataclass(frozen=True, slots=True)
class ScopeRecord:
    """All that is remembered of one scope. `good` is the last verified revision: what healing heals to."""

    scope: str
    repository: str
    path: str = "."
    good_revision: str | None = None
    good_fingerprint: str | None = None
    good_tree: str | None = None
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen_revision: str | None = None
    seen_at: str | None = None
    tried_tree: str | None = None  # content the last pass looked at: equal content needs no new pass
    quarantine: tuple[str, ...] = ()
    pause: Pause | None = None
    pin: Pin | None = None
    orphaned: bool = False
    accepted: bool = False  # live objects are known: a run has begun, or a person asked to go on with what was there
    rewritten: str = ""  # the tracked branch was force-pushed: other content waits for `alma reconcile`
    run: str | None = None  # begun and not ended
    waiting: str | None = None  # a run that waits for a person, a window or a dependency
    parked: str | None = None
    revert_due: str | None = None  # a run whose revert pull request could not be opened when it ended
    sync: SyncState = SyncState.UNKNOWN
    health: HealthState = HealthState.UNKNOWN
    message: str = ""
    drift: tuple[DriftItem, ...] = ()
    contested: bool = False  # someone keeps undoing our heals (I18)
    outputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # resource id → outputs
    targets: tuple[str, ...] = ()  # where a verified revision had objects: looked at even when no longer named
    exports: Mapping[str, Output] = field(default_factory=dict)  # what alma.yaml lets other scopes use
    restart_pending: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.scope

    def taken_from(self, repository: str) -> str:
        """Why `repository`, which names this scope too, gets nothing done under that name; empty if it is its own."""
        if repository == self.repository:
            return ""
        return (
            f"scope {self.scope} belongs to repository {self.repository}, and {repository} names it too: nothing is"
            f" done for it from {repository}; give it another name in one of the two alma.yaml"
        )

    def exported(self, name: str) -> object:
        """The present value of a declared output; None where it is not known."""
        source = self.exports.get(name)
        return self.outputs.get(source.resource, {}).get(source.key) if source else None


def merged(mine: ScopeRecord, base: ScopeRecord, stored: ScopeRecord) -> ScopeRecord:
    """`mine`, with every field that someone else changed in `stored` since `base` as they left it."""
    theirs = {
        f.name: getattr(stored, f.name) for f in fields(stored) if getattr(stored, f.name) != getattr(base, f.name)
    }
    return replace(mine, **theirs)


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """One line of a run's report."""

    resource: str
    kind: str
    target: str
    action: str
    disruption: str
    result: str = "waiting"  # waiting | running | done | failed | undone | kept
    seconds: float | None = None
    tasks: tuple[TaskRef, ...] = ()  # of the platform, in the order they were begun


@dataclass(frozen=True, slots=True)
class Breaker:
    """One of the two people who let a run go past what it waits for (I7). `at`: ISO time; `revision`, `digest`: of the
    plan they looked at."""

    by: str
    name: str
    reason: str
    at: str
    revision: str
    digest: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One attempt to bring a scope to a revision."""

    run: str
    scope: str
    repository: str
    revision: str
    word: RunWord
    digest: str = ""
    fingerprint: str = ""
    tree: str = ""
    heal: bool = False
    rollback: bool = False
    created: str = ""
    ended: str = ""
    reason: str = ""  # why it waits, failed or parked
    next_step: str = ""
    listed: tuple[Listed, ...] = ()
    destructive: tuple[Listed, ...] = ()  # those of `listed` that must be cleared
    changes: tuple[ChangeResult, ...] = ()
    pulls: tuple[int, ...] = ()
    confirmed_by: str = ""
    confirmed: tuple[Listed, ...] = ()
    confirmed_name: str = ""  # what `confirmed_by` is called
    confirmed_digest: str = ""  # of the plan that was confirmed; the present one may differ since
    over_budget: bool = False
    breakers: tuple[Breaker, ...] = ()
    glass: str = ""  # who broke it for this run, and why
    superseded_by: str = ""
    warnings: tuple[str, ...] = ()
    revert_pull: int | None = None

    @property
    def key(self) -> str:
        return self.run

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people must see beside how it ended."""
        return (*filter(None, (self.glass,)), *self.warnings)


@dataclass(frozen=True, slots=True)
class SeenApproval:
    """An approval as it was when it was first seen. `plan` stands for what the comment showed then; empty: another
    head."""

    account: str
    head: str
    stamp: str
    plan: str

    def is_of(self, approval: Approval) -> bool:
        return (self.account, self.head, self.stamp) == (approval.account.id, approval.head_sha, approval.stamp)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a pull request's comment showed for one scope."""

    scope: str
    digest: str
    fingerprint: str
    listed: tuple[Listed, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    tree: str = ""


@dataclass(frozen=True, slots=True)
class IprRecord:
    """One pull request and what we said about it. Everything from the forge in it is hostile text."""

    repository: str
    number: int
    title: str = ""
    head_branch: str = ""
    head_sha: str = ""
    base_sha: str = ""
    author: str = ""
    state: str = "open"
    merge_sha: str | None = None
    comment_id: str | None = None
    stamp: str = ""  # the forge's `updated` we looked at last
    reviewed: tuple[Reviewed, ...] = ()
    answered: tuple[str, ...] = ()  # ids of comments seen
    pending: Mapping[str, str] = field(default_factory=dict)  # comment → answer not yet sent; empty: begun, not over
    confirmed: tuple[Listed, ...] = ()  # I17: given before the merge
    confirmed_by: str = ""
    asked: tuple[str, ...] = ()  # what people of this machine had done at the forge in our name
    requested_by: tuple[str, ...] = ()  # people of this machine who had it opened: as good as its author (I3)
    proposed: Mapping[str, str] = field(default_factory=dict)  # our commits on its branch → who asked for each (I3)
    approvals: tuple[SeenApproval, ...] = ()
    runs: tuple[str, ...] = ()
    final: bool = False
    final_at: str = ""  # ISO, UTC: since when its last word is said
    world: str = ""  # hash of what the review was made from: base, live state, policy
    body_hash: str = ""

    @property
    def key(self) -> str:
        return f"{self.repository}/{self.number}"


@dataclass(frozen=True, slots=True)
class RepositoryRecord:
    """Refs as they were at the last look."""

    repository: str
    head: str | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    problem: str = ""
    taken: tuple[str, ...] = ()  # scopes it names that belong to another repository
    told_at: str | None = None  # where the tracked branch was when the forge last told of its pull requests

    @property
    def key(self) -> str:
        return self.repository


_KINDS: Mapping[type[Any], str] = {
    ScopeRecord: "scope",
    RunRecord: "run",
    IprRecord: "ipr",
    RepositoryRecord: "repository",
}


@dataclass(frozen=True, slots=True)
class Records:
    """Typed access to the documents. Every `save` is an event in the journal and the new document in one commit."""

    journal: Journal

    async def get(self, cls: type[R], key: str) -> R | None:
        body = await self.journal.document(_KINDS[cls], key)
        return None if body is None else from_json(cls, body)

    async def all(self, cls: type[R], prefix: str = "") -> tuple[R, ...]:
        """In key order."""
        found = await self.journal.documents(_KINDS[cls], prefix)
        return tuple(from_json(cls, found[key]) for key in sorted(found))

    async def where(self, cls: type[R], prefix: str, holds: Callable[[Mapping[str, Any]], bool]) -> tuple[R, ...]:
        """Those whose stored form `holds`, in key order; the others are never decoded."""
        found = await self.journal.documents(_KINDS[cls], prefix)
        return tuple(from_json(cls, found[key]) for key in sorted(found) if holds(found[key]))

    async def save(self, event: str, *records: ScopeRecord | RunRecord | IprRecord | RepositoryRecord) -> None:
        """Append `event` (`scope.paused`, `run.waiting`, …) about the records and store them, in one commit."""
        entries, documents = told(event, *records)
        await self.journal.append(f"{_KINDS[type(records[0])]}:{records[0].key}", entries, documents)


def told(
    event: str, *records: ScopeRecord | RunRecord | IprRecord | RepositoryRecord
) -> tuple[list[Entry], list[Document]]:
    """What a commit that stores `records` because of `event` holds."""
    documents = [Document(_KINDS[type(r)], r.key, to_json(r)) for r in records]
    return [Entry(event, {"key": r.key, **_telling(r)}) for r in records], documents


def _telling(record: object) -> Mapping[str, Any]:
    """What an event says of its record: enough for a person, never a whole plan."""
    match record:
        case ScopeRecord():
            return {"scope": record.scope, "sync": record.sync, "health": record.health, "message": record.message}
        case RunRecord():
            return {"scope": record.scope, "word": record.word, "revision": record.revision, "reason": record.reason}
        case IprRecord():
            return {"number": record.number, "head": record.head_sha, "state": record.state}
        case _:
            return {}
