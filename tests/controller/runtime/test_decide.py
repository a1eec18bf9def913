"""Whether a plan may run now: gate, budget of destruction, windows, heals, pauses, quarantine (I2, I17, I18)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controller.blueprint.entry import Disruption
from controller.plan.change import Change, ClearedBy, Plan
from controller.plan.limits import Allowance, Gate, Listed, Window
from controller.plan.resource import ObjectKey, ResourceId
from controller.plan.step import Action, Effect, Expect, FieldChange, Phase, Step
from controller.runtime.decide import Circumstances, ScopePolicy, Verdict, WaitsFor, decide
from controller.runtime.drift import HealBudget, drift_items
from controller.runtime.records import Pause, ScopeRecord
from tests.controller.runtime.clocks import START, VirtualClock

Report = Callable[..., None]
SCOPE = ScopeRecord("prod", "infra")
VERIFIED = replace(SCOPE, good_revision="old", good_fingerprint="good")
HEALED = replace(SCOPE, good_revision="old", good_fingerprint="new")
UPDATE, DESTROY, CREATE, RECREATE = Action.UPDATE, Action.DESTROY, Action.CREATE, Action.RECREATE


def change(
    action: Action = UPDATE, disruption: Disruption = Disruption.RESTART, name: str = "web", **more: Any
) -> Change:
    key = ObjectKey("t/thing", name)
    steps = (Step(Phase.CUT, key, Expect(), {"call": "x"}, reversible=more.pop("reversible", True)),)
    return Change(
        Effect(ResourceId("prod", "shop", name), key, action, disruption, steps=steps, uid="u", **more), "one", 0
    )


def plan(*changes: Change, total: int = 100, wanted: int = 50) -> Plan:
    return Plan("prod", "rev", changes, "digest", "new", total=total, wanted=wanted)


def gone(count: int, total: int = 100, wanted: int = 50) -> Plan:
    return plan(*(change(DESTROY, name=f"r{i}") for i in range(count)), total=total, wanted=wanted)


def allowed(made: Plan, by: ClearedBy = ClearedBy.REVIEW, reference: str = "infra#1") -> Allowance:
    return Allowance(by, "alice", reference, frozenset(Listed.of(c) for c in made.changes))


def about(*allowances: Allowance, now: datetime = START, **more: Any) -> Circumstances:
    return Circumstances(now, allowances, **more)


@pytest.mark.parametrize(
    ("record", "circumstances", "word"),
    [
        (replace(VERIFIED, pause=Pause("os:bob", "maintenance")), about(), "paused"),
        (replace(VERIFIED, parked="run1"), about(), "parked"),
        (replace(VERIFIED, quarantine=("new",)), about(), "quarantined"),
        (replace(VERIFIED, orphaned=True), about(), "alma.yaml"),
        (VERIFIED, about(observe_only="--observe"), "--observe"),
        (SCOPE, about(owns_before_journal=True), "journal knows nothing"),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_what_holds_a_scope_holds_every_plan(
    record: ScopeRecord, circumstances: Circumstances, word: str, confirmed: bool
) -> None:
    made = gone(1)
    given = (allowed(made, ClearedBy.CONFIRM, "run"),) if confirmed else ()
    for policy in (ScopePolicy(), ScopePolicy(gate=Gate.OFF)):
        found = decide(made, record, policy, replace(circumstances, allowances=given))
        assert found.verdict is Verdict.HOLD and word in found.reason


def test_an_empty_plan_is_in_sync_whatever_else_holds() -> None:
    assert decide(plan(), replace(VERIFIED, parked="run1"), ScopePolicy(), about()).verdict is Verdict.SYNCED


DESTRUCTIVE = [
    change(DESTROY, Disruption.RECREATE),
    change(RECREATE, Disruption.RECREATE),
    change(Action.ADOPT, Disruption.NONE),
    change(UPDATE, Disruption.DATA_LOSS),
    change(UPDATE, Disruption.RECREATE),
    change(UPDATE, Disruption.IN_PLACE, reversible=False),
]


@pytest.mark.parametrize("one", DESTRUCTIVE, ids=lambda c: f"{c.effect.action}-{c.effect.disruption}")
def test_a_destructive_change_waits_until_a_review_or_a_person_listed_it(one: Change) -> None:
    made = plan(one)
    blocked = decide(made, VERIFIED, ScopePolicy(), about())
    assert (blocked.verdict, blocked.waits_for) == (Verdict.WAIT, WaitsFor.CONFIRM)
    for given in (allowed(made), allowed(made, ClearedBy.CONFIRM, "run")):
        assert decide(made, VERIFIED, ScopePolicy(), about(given)).verdict is Verdict.GO
    assert decide(made, VERIFIED, ScopePolicy(gate=Gate.OFF), about()).verdict is Verdict.GO


OTHER: tuple[dict[str, Any], ...] = ({"resource": "o"}, {"key": "o"}, {"uid": "o"}, {"action": RECREATE})


@pytest.mark.parametrize("other_field", OTHER, ids=lambda d: next(iter(d)))
def test_a_clearance_is_for_this_object_and_this_action(other_field: dict[str, Any]) -> None:
    made = plan(change(DESTROY, Disruption.RECREATE))
    other = replace(Listed.of(made.changes[0]), **other_field)
    given = Allowance(ClearedBy.REVIEW, "alice", "infra#1", frozenset({other}))
    assert decide(made, VERIFIED, ScopePolicy(), about(given)).verdict is Verdict.WAIT


def test_a_clearance_of_something_milder_clears_nothing() -> None:
    listed = allowed(plan(change(DESTROY, Disruption.RECREATE)))
    worse = plan(change(DESTROY, Disruption.DATA_LOSS))
    assert decide(worse, VERIFIED, ScopePolicy(), about(listed)).verdict is Verdict.WAIT


def test_what_is_not_destructive_runs_unasked() -> None:
    made = plan(
        change(CREATE, Disruption.NONE), change(UPDATE, Disruption.REBOOT, "vm"), change(Action.FORGET, name="f")
    )
    assert decide(made, VERIFIED, ScopePolicy(), about()).verdict is Verdict.GO


def test_strict_runs_only_what_was_reviewed() -> None:
    made, strict = plan(change()), ScopePolicy(gate=Gate.STRICT)
    assert decide(made, VERIFIED, strict, about()).waits_for is WaitsFor.CONFIRM
    assert decide(made, VERIFIED, strict, about(reviewed_digests=frozenset({"other"}))).verdict is Verdict.WAIT
    assert decide(made, VERIFIED, strict, about(reviewed_digests=frozenset({"digest"}))).verdict is Verdict.GO
    confirmed = allowed(made, ClearedBy.CONFIRM, "run")
    assert decide(made, VERIFIED, strict, about(replace(confirmed, digest="digest"))).verdict is Verdict.GO
    assert decide(made, VERIFIED, strict, about(replace(confirmed, digest="other"))).verdict is Verdict.WAIT


MASS = {
    "empty repository": gone(5, 5, 0),
    "one object and nothing wanted": gone(1, 1, 0),
    "empty folder of two": gone(2, 2, 0),
    "11 of 40": gone(11, 40, 29),
    "11 of 1000": gone(11, 1000, 989),
    "2 of 4": gone(2, 4, 2),
    "26 %": gone(6, 23, 17),
    "another folder: all replaced": plan(
        *(change(DESTROY, name=f"o{i}") for i in range(4)),
        *(change(CREATE, Disruption.NONE, f"n{i}") for i in range(4)),
        total=8,
        wanted=4,
    ),
}


@pytest.mark.parametrize("made", MASS.values(), ids=MASS)
def test_mass_deletion_waits_for_a_person_whatever_the_gate_and_the_review(made: Plan, report_n: Report) -> None:
    for gate in (Gate.OFF, Gate.DESTRUCTIVE):
        policy = ScopePolicy(gate=gate)
        for given in ((), (allowed(made),)):
            found = decide(made, VERIFIED, policy, about(*given))
            assert (found.verdict, found.waits_for, found.over_budget) == (Verdict.WAIT, WaitsFor.CONFIRM, True)
        by_hand = allowed(made, ClearedBy.CONFIRM, "run")
        assert decide(made, VERIFIED, policy, about(by_hand)).verdict is Verdict.GO
        fewer = replace(by_hand, listed=frozenset(list(by_hand.listed)[1:]))
        assert decide(made, VERIFIED, policy, about(fewer)).verdict is Verdict.WAIT
        in_advance = replace(by_hand, reference="infra#1")
        expected = Verdict.WAIT if made.wanted == 0 else Verdict.GO
        assert decide(made, VERIFIED, policy, about(in_advance)).verdict is expected
        report_n("B3 mass deletion", 5)


def test_drift_tells_who_changed_what_and_keeps_since_when() -> None:
    fields = tuple(
        FieldChange(p, 1, 2, by=who) for p, who in (("a", "kubectl-edit at t"), ("b", ""), ("c", "kubectl-edit at t"))
    )
    (first,) = drift_items(plan(change(fields=fields)), (), START)
    assert (first.fields, first.by) == (("a", "b", "c"), ("kubectl-edit at t",))
    (later,) = drift_items(plan(change(fields=fields)), (first,), START + timedelta(hours=1))
    assert later == first


def test_what_takes_others_along_waits_for_a_person_whatever_the_gate_and_the_review() -> None:
    made = plan(change(DESTROY, Disruption.DATA_LOSS, "ns", asks=True), change())
    by_hand = allowed(made, ClearedBy.CONFIRM, "run")
    for gate in (Gate.OFF, Gate.DESTRUCTIVE):
        policy = ScopePolicy(gate=gate)
        for given in ((), (allowed(made),)):
            found = decide(made, VERIFIED, policy, about(*given))
            assert (found.verdict, found.waits_for) == (Verdict.WAIT, WaitsFor.CONFIRM)
            assert [c.effect.key.name for c in found.blocking] == ["ns"]
            assert found.reason.startswith("everything in t/thing:ns would go with it")
        assert decide(made, VERIFIED, policy, about(allowed(made), by_hand)).verdict is Verdict.GO
    another = plan(change(DESTROY, Disruption.DATA_LOSS, "ns", asks=False))
    assert decide(another, VERIFIED, ScopePolicy(gate=Gate.OFF), about()).verdict is Verdict.GO


@pytest.mark.parametrize(("count", "total"), [(10, 100), (1, 4), (2, 3), (10, 40)])
def test_a_few_deletions_that_a_review_listed_run(count: int, total: int) -> None:
    made = gone(count, total, total - count)
    assert decide(made, VERIFIED, ScopePolicy(), about(allowed(made))).verdict is Verdict.GO


NIGHT = Window("0 2 * * *", 7200, "Europe/Berlin", Disruption.IN_PLACE)


@pytest.mark.parametrize(
    ("hour", "disruption", "verdict"),
    [
        (12, Disruption.IN_PLACE, Verdict.GO),
        (12, Disruption.RESTART, Verdict.WAIT),
        (1, Disruption.RESTART, Verdict.GO),  # 02:00 in Berlin
        (2, Disruption.RESTART, Verdict.GO),
        (3, Disruption.RESTART, Verdict.WAIT),
    ],
)
def test_more_disruptive_changes_wait_for_the_window(hour: int, disruption: Disruption, verdict: Verdict) -> None:
    now = START.replace(hour=hour, minute=30)
    found = decide(plan(change(UPDATE, disruption)), VERIFIED, ScopePolicy(windows=(NIGHT,)), about(now=now))
    assert found.verdict is verdict
    assert (found.waits_for is WaitsFor.WINDOW) is (verdict is Verdict.WAIT)


def test_a_scope_waits_for_those_it_depends_on() -> None:
    found = decide(plan(change()), VERIFIED, ScopePolicy(), about(unready="waits for scope base"))
    assert (found.verdict, found.waits_for) == (Verdict.WAIT, WaitsFor.SCOPE)


@pytest.mark.parametrize(
    ("one", "goes"),
    [
        (change(CREATE, Disruption.NONE), True),
        (change(UPDATE, Disruption.RESTART), True),
        (change(UPDATE, Disruption.REBOOT), False),
        (change(DESTROY, Disruption.RECREATE), False),
        (change(RECREATE, Disruption.RECREATE), False),
        (change(UPDATE, Disruption.RESTART, reversible=False), False),
        (change(Action.FORGET, Disruption.NONE), False),
    ],
)
def test_a_heal_creates_what_is_missing_and_changes_up_to_a_restart(one: Change, goes: bool) -> None:
    found = decide(plan(one), HEALED, ScopePolicy(), about())
    assert found.verdict is (Verdict.GO if goes else Verdict.WAIT)


def test_a_heal_needs_self_heal_and_patience_and_no_open_window() -> None:
    drift = plan(change(CREATE, Disruption.NONE))
    assert decide(drift, HEALED, ScopePolicy(self_heal=False), about()).verdict is Verdict.HOLD
    assert decide(drift, HEALED, ScopePolicy(), about(heal_delay="contested")).verdict is Verdict.HOLD
    assert decide(drift, HEALED, ScopePolicy(gate=Gate.STRICT), about()).verdict is Verdict.GO


@pytest.mark.parametrize("held", [{"pause": Pause("os:bob", "maintenance")}, {"parked": "run1"}, {"orphaned": True}])
def test_what_holds_a_scope_holds_its_healing_too(held: dict[str, Any]) -> None:
    """I18: nobody's pause is worth anything if drift is healed during it."""
    drift = plan(change(CREATE, Disruption.NONE))
    assert decide(drift, HEALED, ScopePolicy(), about()).verdict is Verdict.GO
    assert decide(drift, replace(HEALED, **held), ScopePolicy(), about()).verdict is Verdict.HOLD


def test_healing_is_contested_after_six_times_in_ten_minutes(report_n: Report) -> None:
    """B21: someone flips a field every 5 s."""
    clock = VirtualClock()
    budget, heals = HealBudget(clock), []
    for _ in range(120):
        if not budget.held_back(SCOPE):
            budget.spend("prod")
            heals.append(clock.now_s())
        clock.passed_s += 5
    assert len(heals) <= 6
    gaps = [b - a for a, b in itertools.pairwise(heals)]
    assert gaps == sorted(gaps) and gaps[0] < gaps[-1]
    assert "contested" in budget.held_back(replace(SCOPE, contested=True))
    report_n("B21 drift fight", 120)


@pytest.mark.parametrize(
    "jump", [timedelta(hours=h) for h in (-1, 1)] + [timedelta(days=d) for d in (-1, 1, -3650, 3650)]
)
def test_a_wall_clock_that_jumps_neither_heals_early_nor_late(jump: timedelta, report_n: Report) -> None:
    clock = VirtualClock()
    budget = HealBudget(clock)
    budget.spend("prod")
    clock.wall_offset = jump
    assert budget.held_back(SCOPE)
    clock.passed_s += 5
    assert not budget.held_back(SCOPE)
    report_n("B13 clock", 1)
