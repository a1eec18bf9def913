"""Everything a pull request is told, as data: what each scope would do, how it is judged, and how its run goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from controller.blueprint.entry import Disruption
from controller.errors import Problem
from controller.plan.change import Plan
from controller.plan.step import Action, TaskRef
from controller.review.audit import Audit
from controller.review.capacity import Load
from controller.review.compliance import Compliance
from controller.review.cost import BudgetResult, Cost
from controller.review.finding import Severity
from controller.review.wording import many, money_text, seconds_text

UNREVIEWED = "it was merged before it was reviewed"


class Verdict(StrEnum):
    """What a reviewer is told first. The order of definition is the order of precedence."""

    BLOCKED = "blocked"  # invalid, refused by policy, too severe a finding, over budget
    UNREADABLE = "unreadable"  # a target did not answer: tried again
    WAITS = "waits"  # may be merged; the run then waits for a person
    UNTOUCHED = "untouched"
    UNREVIEWED = "unreviewed"  # merged before anyone could look at it
    NOTHING = "nothing"  # touches a scope and changes nothing
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ScopeReview:
    """One scope of a pull request. At most one of `plan`, `problems`, `refused` and `unreadable` says what came of
    planning; the texts are redacted. `waits`: what the run will wait for, one reason each."""

    name: str
    plan: Plan | None = None
    audit: Audit | None = None
    cost: Cost | None = None
    loads: tuple[Load, ...] = ()
    compliance: tuple[Compliance, ...] = ()
    new: bool = False
    problems: tuple[Problem, ...] = ()
    refused: str = ""
    unreadable: str = ""
    waits: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return bool(self.problems or self.refused)


@dataclass(frozen=True, slots=True)
class Narrative:
    """Prose about a review, and who wrote it (`rules` or a model's name). Shown only if `narrative.admitted`."""

    text: str
    author: str = "rules"


@dataclass(frozen=True, slots=True)
class Review:
    """A pull request at one head commit, judged. `links`: label → URL of ours. `commands`: command → what it does."""

    scopes: tuple[ScopeReview, ...] = ()
    head: str = ""
    base: str = ""
    fail_on: Severity | None = None
    budget: BudgetResult | None = None
    narrative: Narrative | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    footer: str = ""
    unreviewed: bool = False  # it was merged before it was reviewed: its scopes have no plan here
    nothing_ran: bool = False  # merged and over, and no run was needed

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(s.plan for s in self.scopes if s.plan)

    @property
    def verdict(self) -> Verdict:
        if any(s.failed for s in self.scopes) or self.audit_fails or self.over_budget:
            return Verdict.BLOCKED
        if any(s.unreadable for s in self.scopes):
            return Verdict.UNREADABLE
        if any(s.waits for s in self.scopes):
            return Verdict.WAITS
        if not self.scopes:
            return Verdict.UNTOUCHED
        if self.unreviewed:
            return Verdict.UNREVIEWED
        return Verdict.READY if any(p.changes for p in self.plans) else Verdict.NOTHING

    @property
    def audit_fails(self) -> bool:
        return any(s.audit and s.audit.fails(self.fail_on) for s in self.scopes)

    @property
    def over_budget(self) -> bool:
        return self.budget is not None and not self.budget.fits

    @property
    def disruption(self) -> Disruption:
        return max((p.disruption for p in self.plans), key=lambda d: d.rank, default=Disruption.NONE)

    @property
    def down_s(self) -> int:
        """The longest announced gap of one change."""
        return max((c.effect.down_s or 0 for p in self.plans for c in p.changes), default=0)

    def count(self, action: Action) -> int:
        return sum(p.count(action) for p in self.plans)

    @property
    def cost_change(self) -> Mapping[str, Decimal]:
        """Currency → change per month over all scopes."""
        sums: dict[str, Decimal] = {}
        for s in self.scopes:
            if s.cost:
                sums[s.cost.currency] = sums.get(s.cost.currency, Decimal(0)) + s.cost.delta
        return sums

    @property
    def findings(self) -> int:
        """Open findings over all scopes, notes (`info`) not counted."""
        return sum(len(s.audit.notable) for s in self.scopes if s.audit)

    @property
    def worst(self) -> Severity | None:
        """The worst severity among them."""
        found = (f.severity for s in self.scopes if s.audit for f in s.audit.notable)
        return max(found, key=lambda s: s.rank, default=None)


def counts_text(counts: Mapping[Action, int]) -> str:
    """`1 to create, 2 to update`, or `no changes`."""
    return ", ".join(f"{n:,} to {a.value}" for a, n in counts.items() if n) or "no changes"


def counts_of(plans: Sequence[Plan]) -> dict[Action, int]:
    return {a: sum(p.count(a) for p in plans) for a in Action}


def disruption_text(review: Review) -> str:
    """`restart (about 2 s)`. No tilde: GitLab would read `~2` as a label."""
    down = f" (about {seconds_text(review.down_s)})" if review.down_s else ""
    return f"{review.disruption.value}{down}"


def findings_text(review: Review) -> str:
    """`1 finding (medium)`, `3 findings (worst high)`, `no findings`."""
    if not review.worst:
        return "no findings"
    worst = review.worst.value if review.findings == 1 else f"worst {review.worst.value}"
    return f"{many(review.findings, 'finding')} ({worst})"


def cost_text(review: Review) -> str:
    """`+4.20 EUR/month`, one per currency; empty where nothing was priced."""
    return ", ".join(f"{money_text(d, c, signed=True)}/month" for c, d in sorted(review.cost_change.items()))


class RunState(StrEnum):
    """States of a run (engine.md); the last five are final."""

    QUEUED = "queued"
    PLANNING = "planning"
    WAITING = "waiting"
    RUNNING = "running"
    VERIFYING = "verifying"
    RETIRING = "retiring"
    UNDOING = "undoing"
    DONE = "done"
    UNDONE = "undone"
    PARKED = "parked"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({RunState.DONE, RunState.UNDONE, RunState.PARKED, RunState.SUPERSEDED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunRow:
    """One change of a run. `result` is one word (`done`, `running`, `undone`, `failed`, `waiting`)."""

    resource: str
    action: Action
    result: str
    seconds: float | None = None
    tasks: tuple[TaskRef, ...] = ()


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How a run of one scope goes; `run` is empty for one that has not begun. `diagnosis` is redacted; `next_step` is
    what a person does now; `confirm` is the whole command that lets a waiting run go on; `continues_in` the pull
    request whose run took this one over."""

    run: str
    scope: str
    state: RunState
    rows: tuple[RunRow, ...] = ()
    seconds: float | None = None
    diagnosis: str = ""
    next_step: str = ""
    confirm: str = ""
    revert_number: int | None = None
    revert_url: str = ""
    continues_in: int | None = None
    causes: tuple[str, ...] = ()  # what the diagnosis probably means, one sentence each
    warnings: tuple[str, ...] = ()  # what could not be removed at the end, one sentence each, redacted
