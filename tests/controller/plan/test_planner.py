"""Effects become a plan: order, claims, gaps, protection, ceilings (I9, I16), and a digest of exactly what is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.entry import Disruption, Lifecycle
from controller.blueprint.value import Output, Secret
from controller.errors import InvalidInput, RefusedByPolicy, Unreachable
from controller.plan.planner import digest
from controller.plan.resource import Claim, ClaimKind, Gap
from controller.plan.step import Action, Effect, Expect, Phase, Step
from tests.controller.plan.making import effect, entry, key, order, planned, seen

PORT = Claim(ClaimKind.PORT, "8080/tcp")
HERE = Claim(ClaimKind.PORT, "8080/tcp", "127.0.0.1")
THERE = Claim(ClaimKind.PORT, "8080/tcp", "10.0.0.1")
DESTROY, CREATE, UPDATE = Action.DESTROY, Action.CREATE, Action.UPDATE


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [(PORT, PORT, True), (PORT, HERE, True), (HERE, THERE, False), (HERE, HERE, True)],
)
def test_two_resources_cannot_claim_one_thing(one: Claim, other: Claim, clash: bool) -> None:
    entries = entry("a"), entry("b")
    effects = effect("a", claims=frozenset({one})), effect("b", claims=frozenset({other}))
    if not clash:
        assert len(planned(entries, effects).changes) == 2
        return
    with pytest.raises(InvalidInput, match=r"8080/tcp.*held by prod/shop/a") as raised:
        planned(entries, effects)
    assert str(raised.value.problems[0].place) == "shop.yaml:3:5"


@pytest.mark.parametrize("mine", [True, False])
def test_a_claim_of_what_stays_on_the_target_cannot_be_taken(mine: bool) -> None:
    holder = seen("other", PORT, mine=mine)
    with pytest.raises(InvalidInput, match="already held by" if mine else "not ours"):
        planned([entry("a")], [effect("a", claims=frozenset({PORT}))], [holder])


def test_shares_of_something_counted_and_shared_volumes_never_collide() -> None:
    memory, data = Claim(ClaimKind.MEMORY, "m", amount=5), Claim(ClaimKind.VOLUME, "data", shared=True)
    both = frozenset({memory, data})
    assert len(planned([entry("a"), entry("b")], [effect("a", claims=both), effect("b", claims=both)]).changes) == 2


def test_a_claim_that_only_retire_frees_needs_two_commits() -> None:
    gone = effect("old", DESTROY, uid="uid-old")
    with pytest.raises(InvalidInput, match="8080/tcp"):
        planned([entry("a")], [effect("a", claims=frozenset({PORT})), gone], [seen("old", PORT)])


def test_a_destroy_goes_before_the_one_that_takes_what_it_frees_and_else_after_all() -> None:
    gone = effect("old", DESTROY, uid="uid-old", frees=frozenset({PORT}))
    last = effect("z", DESTROY, uid="uid-z")
    taker = effect("a", claims=frozenset({PORT}))
    plan = planned(
        [entry("a")], [taker, gone, last], [seen("old", PORT), seen("z")], {"prod/shop/old": ["prod/shop/z"]}
    )
    assert [name for _, name in order(plan)] == ["old", "a", "z"]
    assert [wave for wave, _ in order(plan)] == sorted({wave for wave, _ in order(plan)})


def test_dependents_are_destroyed_first_and_without_edges_the_engine_says() -> None:
    gone = [effect(n, DESTROY, order=o) for n, o in (("db", 0), ("app", 0), ("web", 0), ("net", 1))]
    former = {"prod/shop/web": ["prod/shop/app"], "prod/shop/app": ["prod/shop/db"]}
    names = [name for _, name in order(planned([], gone, former=former))]
    assert names.index("web") < names.index("app") < names.index("db")
    assert order(planned([], gone[2:])) == [(0, "web"), (1, "net")]


def test_changes_go_in_waves_and_destroys_after_the_last() -> None:
    entries = entry("a", dependencies=("prod/shop/b",)), entry("b"), entry("c", wave=5)
    effects = [effect("old", DESTROY), *(effect(n) for n in "cab")]
    assert order(planned(entries, effects)) == [(0, "b"), (1, "a"), (5, "c"), (6, "old")]


@pytest.mark.parametrize(
    ("action", "kind", "stops"),
    [
        (CREATE, "t/thing", True),
        (DESTROY, "t/thing", True),
        (Action.RECREATE, "t/thing", True),
        (UPDATE, "t/thing", False),
        (CREATE, "t/other", False),
        (UPDATE, "*", True),
    ],
)
def test_nothing_is_created_or_deleted_where_a_gap_could_hide_it(action: Action, kind: str, stops: bool) -> None:
    gap = Gap(kind, "403")
    if stops:
        with pytest.raises(Unreachable, match="403"):
            planned([entry("a")], [effect("a", action)], gaps=[gap])
    else:
        assert planned([entry("a")], [effect("a", action)], gaps=[gap]).changes


@pytest.mark.parametrize(
    ("action", "disruption"),
    [(DESTROY, Disruption.RECREATE), (Action.RECREATE, Disruption.RECREATE), (UPDATE, Disruption.DATA_LOSS)],
)
def test_what_is_protected_is_not_lost_whether_the_mark_or_the_blueprint_says_so(
    action: Action, disruption: Disruption
) -> None:
    wanted = [] if action is DESTROY else [entry("a")]
    with pytest.raises(InvalidInput, match="is protected"):
        planned(wanted, [effect("a", action, disruption)], [seen("a", protect=True)])
    with pytest.raises(InvalidInput, match="is protected"):
        planned([entry("a", lifecycle=Lifecycle(protect=True))], [effect("a", action, disruption)], [seen("a")])
    assert planned(wanted, [effect("a", UPDATE, Disruption.RESTART)], [seen("a", protect=True)]).changes


def test_a_change_above_its_ceiling_is_refused_with_its_place() -> None:
    low = entry("a", lifecycle=Lifecycle(max_disruption=Disruption.IN_PLACE))
    with pytest.raises(RefusedByPolicy, match=r"shop.yaml:3:5.*restart"):
        planned([low], [effect("a", UPDATE, Disruption.RESTART)])
    assert planned([low], [effect("a", UPDATE, Disruption.IN_PLACE)]).changes


def test_what_needs_no_step_is_no_change_and_what_it_tells_is_a_notice() -> None:
    plan = planned([entry("a")], [effect("a", UPDATE, steps=(), reason="newer image")])
    assert plan.changes == () and [n.text for n in plan.notices] == ["newer image"]
    assert (plan.total, plan.wanted) == (1, 1)


names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


@given(names, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_inputs(chosen: list[str], chance: Any) -> None:
    entries = [entry(n, dependencies=tuple(f"prod/shop/{d}" for d in chosen[:i])) for i, n in enumerate(chosen)]
    effects = [effect(n) for n in chosen]
    expected = planned(entries, effects)
    chance.shuffle(entries)
    chance.shuffle(effects)
    again = planned(entries, effects)
    assert (again.digest, again.changes) == (expected.digest, expected.changes)


def one_digest(changed: Effect, target: str = "one") -> str:
    plan = planned([entry("a")], [changed])
    return digest([replace(c, target=target) for c in plan.changes])


def test_the_digest_changes_with_each_of_its_parts() -> None:
    base = effect("a", UPDATE, Disruption.RESTART)
    others = [
        one_digest(base, "two"),
        one_digest(replace(base, key=key("b"))),
        one_digest(replace(base, action=CREATE)),
        one_digest(replace(base, disruption=Disruption.REBOOT)),
        one_digest(effect("a", UPDATE, Disruption.RESTART, request={"call": "y"})),
        one_digest(effect("a", UPDATE, Disruption.RESTART, request={"call": "x", "n": Output("prod/shop/b", "id")})),
        one_digest(effect("a", UPDATE, Disruption.RESTART, request={"call": "x", "n": Secret("env:A")})),
        one_digest(replace(base, steps=base.steps * 2)),
    ]
    assert len({one_digest(base), *others}) == len(others) + 1


def test_the_digest_knows_no_identity_and_no_value_of_a_secret() -> None:
    base = effect("a", UPDATE, request={"call": "x", "n": Secret("env:A", "hash-1")})
    same = [
        effect("a", UPDATE, request={"call": "x", "n": Secret("env:A", "hash-2")}),
        replace(base, uid="other", reason="other", lost=("x",)),
        replace(base, steps=tuple(replace(s, expects=Expect(uid="u2")) for s in base.steps)),
    ]
    assert {one_digest(e) for e in same} == {one_digest(base)}


def test_a_removed_entry_has_no_place_and_a_wanted_one_its_own() -> None:
    plan = planned([entry("a")], [effect("a"), effect("old", DESTROY)])
    assert [c.place is None for c in plan.changes] == [False, True]
    assert plan.disruption is Disruption.NONE and plan.count(DESTROY) == 1


def test_a_step_is_filled_with_the_run_and_its_operation_is_always_the_same() -> None:
    step = Step(Phase.STAGE, key("a.${run}.new"), Expect(), {"call": "x", "to": "b.${run}.old", "list": ("${run}",)})
    filled = step.for_run("abc")
    assert filled.key.name == "prod-shop-a.abc.new"
    assert filled.request == {"call": "x", "to": "b.abc.old", "list": ("abc",)}


def test_a_record_comes_before_everything_and_is_never_counted() -> None:
    """Its RETIRE is therefore the last one, and no limit of deletions knows it."""
    record = effect("record", Action.UPDATE, bookkeeping=True)
    plan = planned([entry("web")], [effect("web"), record, effect("old", Action.DESTROY)])
    assert order(plan) == [(-1, "record"), (0, "web"), (1, "old")]
    assert (plan.count(Action.UPDATE), plan.total) == (0, 2)
