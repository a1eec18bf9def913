"""PURE: may this plan run now? Pauses, quarantine, limits, gate and windows, in the order people expect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controller.plan.change import Change, ClearedBy, Plan
from controller.plan.limits import (
    Allowance,
    Gate,
    PruneLimits,
    Window,
    asked_for,
    clear,
    digest_differs,
    heal_must_wait_for,
    opens_at,
    over_budget,
    uncleared,
)
from controller.plan.step import Action
from controller.review.report import counts_text
from controller.runtime.records import ScopeRecord


@dataclass(frozen=True, slots=True)
class ScopePolicy:
    """What the tracked branch and the server say about one scope."""

    gate: Gate = Gate.DESTRUCTIVE
    prune: PruneLimits = PruneLimits()
    windows: tuple[Window, ...] = ()
    approvals: int = 0  # how many people other than who wrote it (I3)
    owners: tuple[tuple[str, tuple[str, ...]], ...] = ()  # pattern of paths → teams or logins, one of whom approves
    self_heal: bool = True
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else counts, looked up right before."""

    now: datetime
    allowances: tuple[Allowance, ...] = ()
    reviewed_digests: frozenset[str] = frozenset()
    observe_only: str = ""  # why nothing may be applied at all (`--observe`, a read-only target)
    unready: str = ""  # a scope it depends on that is not synced and healthy at this revision
    owns_before_journal: bool = False  # live marks, and a journal that knows nothing of them
    unapproved: str = ""  # which approvals are missing (I3)
    heal_delay: str = ""  # healing again so soon is held back (I18)
    glass: str = ""  # who broke it for this very plan, and why (I7)


class Verdict(StrEnum):
    SYNCED = "synced"
    GO = "go"
    WAIT = "wait"  # a run that a person, a window or a dependency lets go
    HOLD = "hold"  # no run: paused, quarantined, contested, observe only


class WaitsFor(StrEnum):
    NOTHING = ""
    CONFIRM = "confirm"
    WINDOW = "window"
    SCOPE = "scope"


@dataclass(frozen=True, slots=True)
class Decision:
    """`plan` carries the clearances. `reason` and `next_step` are for people."""

    verdict: Verdict
    plan: Plan
    reason: str = ""
    next_step: str = ""
    waits_for: WaitsFor = WaitsFor.NOTHING
    blocking: tuple[Change, ...] = field(default=())
    over_budget: bool = False
    glass: str = ""


def decide(plan: Plan, record: ScopeRecord, policy: ScopePolicy, about: Circumstances) -> Decision:
    """Whether `plan` may run now, and if not, what it waits for and who can help."""
    plan = clear(plan, about.allowances)
    if not plan.changes:
        return Decision(Verdict.SYNCED, plan)
    return (
        _held(plan, record, about)
        or (_heal(plan, policy, about) if is_heal(plan, record) else _deploy(plan, record, policy, about))
        or Decision(Verdict.GO, plan, glass=about.glass)
    )


def is_heal(plan: Plan, record: ScopeRecord) -> bool:
    """The content is what was verified last: what differs is drift."""
    return record.good_fingerprint is not None and plan.fingerprint == record.good_fingerprint


def _held(plan: Plan, record: ScopeRecord, about: Circumstances) -> Decision | None:
    def hold(reason: str, next_step: str) -> Decision:
        return Decision(Verdict.HOLD, plan, reason, next_step)

    if about.observe_only:
        return hold(f"{about.observe_only}; planned: {_counted(plan)}", "")
    if record.orphaned:
        return hold("the scope is in no alma.yaml any more", f"alma destroy --scope {plan.scope}")
    if record.pause:
        until = f" until {record.pause.until}" if record.pause.until else ""
        return hold(f"paused by {record.pause.by}{until}: {record.pause.reason}", f"alma resume {plan.scope}")
    if record.parked:
        return hold(f"run {record.parked} is parked", f"alma unlock {record.parked}")
    if plan.fingerprint in record.quarantine:
        return hold("this content failed before and is quarantined", f"change it, or alma retry {plan.scope}")
    if about.owns_before_journal:
        return hold(
            "the journal knows nothing of this scope, and its objects are there already",
            f"look at the plan, then: alma reconcile {plan.scope}",
        )
    return None


def _counted(plan: Plan) -> str:
    return counts_text({action: plan.count(action) for action in Action})


def _heal(plan: Plan, policy: ScopePolicy, about: Circumstances) -> Decision | None:
    if not policy.self_heal:
        return Decision(Verdict.HOLD, plan, "drifted, and self_heal is off", f"alma reconcile {plan.scope}")
    if about.heal_delay:
        return Decision(
            Verdict.HOLD, plan, about.heal_delay, f"find who else changes it, then alma resume {plan.scope}"
        )
    too_much = over_budget(plan, policy.prune)
    if too_much and not _all_cleared_by_hand(plan, about.allowances):
        return _confirm(plan, plan.changes, too_much, True)
    beyond = tuple(c for c in heal_must_wait_for(plan) if c.cleared_by is None)
    if beyond:
        return _confirm(plan, beyond, "healing would be more disruptive than a restart", False)
    return None


def _deploy(plan: Plan, record: ScopeRecord, policy: ScopePolicy, about: Circumstances) -> Decision | None:
    if record.rewritten:
        return Decision(Verdict.HOLD, plan, record.rewritten, f"look at the history, then: alma reconcile {plan.scope}")
    if about.unready:
        return Decision(Verdict.WAIT, plan, about.unready, "", WaitsFor.SCOPE)
    too_much = over_budget(plan, policy.prune)
    if about.unapproved:
        return _confirm(plan, plan.changes, about.unapproved, bool(too_much))
    if too_much and not _all_cleared_by_hand(plan, about.allowances):
        return _confirm(plan, plan.changes, too_much, True)
    seen = {*about.reviewed_digests, *(a.digest for a in about.allowances if a.digest)}
    if digest_differs(plan, policy.gate, seen):
        return _confirm(plan, plan.changes, "the plan is not the one that was reviewed", False)
    blocking = uncleared(plan, policy.gate)
    if blocking:
        names = ", ".join(sorted({str(c.effect.resource) for c in blocking})[:5])
        reason = asked_for(blocking) or f"destructive and listed by no merged review: {names}"
        return _confirm(plan, blocking, reason, False)
    opens = None if about.glass else opens_at(plan, policy.windows, about.now)
    if opens:
        when = opens.isoformat(timespec="minutes")
        return Decision(Verdict.WAIT, plan, f"waits for the window that opens at {when}", "", WaitsFor.WINDOW)
    return None


def _confirm(plan: Plan, blocking: Sequence[Change], reason: str, budget: bool) -> Decision:
    return Decision(Verdict.WAIT, plan, reason, "", WaitsFor.CONFIRM, tuple(blocking), budget)


def _all_cleared_by_hand(plan: Plan, allowances: Collection[Allowance]) -> bool:
    """I17 and `strict`: one confirmation that lists every change of the plan that removes or replaces something, given
    for exactly these; never in advance for an empty desired state (the confirmation then names this run)."""
    return any(
        all(any(listed.covers(c) for listed in a.listed) for c in plan.changes)
        for a in allowances
        if a.by is not ClearedBy.REVIEW and a.listed and (plan.wanted > 0 or a.reference == "run")
    )
