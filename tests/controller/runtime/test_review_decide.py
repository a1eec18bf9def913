"""The budget of destruction and `strict` hold for every way to a run (I2, I17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from controller.blueprint.entry import Disruption
from controller.plan.change import Change, ClearedBy, Plan
from controller.plan.limits import Allowance, Gate, Listed
from controller.plan.resource import ObjectKey, ResourceId
from controller.plan.step import Action, Effect, Expect, Phase, Step
from controller.runtime.decide import Circumstances, ScopePolicy, Verdict, decide
from controller.runtime.records import ScopeRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORD = ScopeRecord("prod", "infra", good_revision="r", good_fingerprint="good")


def plan(number: int, action: Action, disruption: Disruption, fingerprint: str) -> Plan:
    changes = []
    for i in range(number):
        key = ObjectKey("simulation/volume", f"v{i}")
        steps = (Step(Phase.RETIRE, key, Expect(), {}),)
        effect = Effect(ResourceId("prod", "shop", f"v{i}"), key, action, disruption, uid=f"u{i}", steps=steps)
        changes.append(Change(effect, "sim", 0))
    return Plan("prod", "r", tuple(changes), "e" * 64, fingerprint, total=number + 1, wanted=1)


def allowed(about: Plan, by: ClearedBy, digest: str = "") -> Circumstances:
    listed = frozenset(Listed.of(c) for c in about.changes)
    return Circumstances(NOW, (Allowance(by, "gitea:1", "run", listed, digest),))


def test_a_heal_that_deletes_more_than_the_limits_waits_though_a_merged_review_listed_it() -> None:
    many = plan(15, Action.DESTROY, Disruption.DATA_LOSS, "good")
    decision = decide(many, RECORD, ScopePolicy(), allowed(many, ClearedBy.REVIEW))
    assert decision.verdict is Verdict.WAIT and decision.over_budget


def test_strict_runs_the_plan_that_was_confirmed_and_no_other() -> None:
    one = plan(1, Action.UPDATE, Disruption.RESTART, "new")
    strict, about = ScopePolicy(gate=Gate.STRICT), allowed(one, ClearedBy.CONFIRM, one.digest)
    assert decide(one, RECORD, strict, about).verdict is Verdict.GO
    assert decide(replace(one, digest="0" * 64), RECORD, strict, about).verdict is Verdict.WAIT
