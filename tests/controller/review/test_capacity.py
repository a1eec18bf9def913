"""What a target has, before and after: exact where the platform tells, silent where it does not."""

from __future__ import annotations

from dataclasses import replace

from controller.plan.change import Change, Plan
from controller.plan.resource import Capacity, Claim, ClaimKind, Snapshot
from controller.review.capacity import Load, Measure, amount_text, loads, together
from tests.controller.review.making import change, plan

GIB = 2**30


def memory(amount: int) -> frozenset[Claim]:
    return frozenset({Claim(ClaimKind.MEMORY, "x", amount=amount)})


def taking(claims: int, frees: int = 0) -> Change:
    one = change()
    return replace(
        one, effect=replace(one.effect, claims=memory(claims), frees=memory(frees) if frees else frozenset())
    )


def of(made: Plan, capacity: Capacity) -> dict[Measure, Load]:
    return {load.measure: load for load in loads(made, {"edge-1": Snapshot(capacity=capacity)})}


def test_a_plan_takes_what_its_changes_claim_less_what_they_free() -> None:
    got = of(plan(taking(8 * GIB, 2 * GIB)), Capacity(memory_bytes=64 * GIB, memory_bytes_free=24 * GIB))
    assert got[Measure.MEMORY] == Load("edge-1", Measure.MEMORY, 64 * GIB, 40 * GIB, 6 * GIB)
    assert (got[Measure.MEMORY].after, got[Measure.MEMORY].share) == (46 * GIB, 46 / 64)


def test_a_hidden_figure_is_no_zero() -> None:
    got = of(plan(taking(8 * GIB)), Capacity(memory_bytes=64 * GIB))
    assert (got[Measure.MEMORY].before, got[Measure.MEMORY].after, got[Measure.MEMORY].share) == (None, None, None)
    assert of(plan(taking(8 * GIB)), Capacity())[Measure.MEMORY].total is None


def test_changes_on_other_targets_do_not_count() -> None:
    other = replace(taking(8 * GIB), target="edge-2")
    assert of(plan(other), Capacity(memory_bytes=GIB, memory_bytes_free=GIB))[Measure.MEMORY].change == 0


def test_scopes_on_one_target_are_added_up_on_one_reading() -> None:
    one = Load("edge-1", Measure.CPU, 8000, 2000, 1000)
    assert together([one, replace(one, change=500)]) == (replace(one, change=1500),)
    assert together([replace(one, before=None), one]) == (replace(one, change=2000),)


def test_amounts_read_in_the_words_of_their_measure() -> None:
    assert amount_text(Measure.CPU, 2500) == "2.5 cores"
    assert amount_text(Measure.MEMORY, 3 * GIB) == "3 GiB"
    assert amount_text(Measure.DISK, 466 * GIB) == "466 GiB"
    assert amount_text(Measure.DISK, None) == "?"
