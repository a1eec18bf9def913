"""The run as a pure machine: whatever fails, in whatever order, it keeps its promises (engine.md, I11, I13, I15)."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.change import Plan
from controller.plan.codec import from_json, to_json
from controller.plan.step import Action
from controller.runtime.run import Begun, Cancelled, Event, Intended, LegFailed, LegKind, OpRef, RunState, RunWord
from controller.runtime.run_machine import advance, after_superseding, at_barrier, inheritance, open_intents, todos
from tests.controller.runtime.machine import CUT, RETIRE, STAGE, Driven, Fate, a_change, a_plan, phase_of, plans

often = settings(max_examples=150, deadline=None)
seeds = st.integers(0, 2**32)


def driven(plan: Plan, seed: int, **risks: float) -> Driven:
    return Driven.begin(Begun("run-1", plan), Fate(random.Random(seed), **risks)).to_the_end()


def barriers_of(state: RunState, ref: OpRef) -> int:
    """The place of a forward op on the way."""
    kinds = {STAGE: (LegKind.STAGE, LegKind.LATE), CUT: (LegKind.CUT,), RETIRE: (LegKind.RETIRE,)}
    for place, barrier in enumerate(state.program):
        for leg in barrier.legs:
            if leg.work == ref.work and leg.kind in kinds[phase_of(state, ref)]:
                return place
    raise AssertionError(f"{ref} is in no barrier")


@often
@given(plans(), seeds)
def test_without_a_failure_every_run_is_done_and_every_step_sent_once(plan: Plan, seed: int) -> None:
    run = driven(plan, seed)
    assert run.state.word is RunWord.DONE
    expected = {OpRef(w, n) for w, c in enumerate(plan.changes) for n, _ in enumerate(c.effect.steps)}
    assert sorted(run.sent) == sorted(expected)


@often
@given(plans(), seeds)
def test_equal_events_give_equal_states_also_from_the_journal(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.1, check=0.1, undo=0.1, cancel=0.01)
    state: RunState | None = None
    for event, after in zip(run.events, run.states, strict=True):
        state, todo = advance(state, stored(event))
        assert state == after
        assert todo == todos(after)


def stored(event: Event) -> Event:
    """As the journal gives it back."""
    return from_json(type(event), to_json(event))


@often
@given(plans(), seeds)
def test_a_wave_begins_when_the_one_before_is_cut_and_checked_and_staging_comes_first(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.05, check=0.1)
    forward = [ref for ref in run.sent if ref.undo < 0]
    places = [barriers_of(run.state, ref) for ref in forward]
    assert places == sorted(places)
    waves = [run.state.works[r.work].change.wave for r in forward if phase_of(run.state, r) is CUT]
    assert waves == sorted(waves)


@often
@given(plans(), seeds)
def test_nothing_is_retired_before_every_check_of_the_run(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.05, check=0.2)
    checks = {leg for barrier in run.state.program for leg in barrier.legs if leg.kind is LegKind.CHECK}
    for event, before in zip(run.events[1:], run.states, strict=False):
        if isinstance(event, Intended) and event.ref.undo < 0 and phase_of(before, event.ref) is RETIRE:
            assert checks <= before.done
            assert before.failure is None


@often
@given(plans(), seeds)
def test_a_failed_retire_is_reported_and_undoes_nothing(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, retire=0.5)
    assert run.state.word is RunWord.DONE
    assert all(ref.undo < 0 for ref in run.sent)
    failed = sum(isinstance(e, LegFailed) for e in run.events)
    assert len(run.state.warnings) == failed


@often
@given(plans(), seeds)
def test_a_failed_run_takes_back_every_step_that_may_have_acted_and_no_other(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.15, check=0.2)
    if run.state.word is RunWord.DONE:
        return
    assert run.state.word is RunWord.UNDONE
    acted = {r for r in run.state.ops if r.undo < 0}
    undone = {OpRef(r.work, r.step) for r, op in run.state.ops.items() if r.undo >= 0 and op.over}
    assert undone == acted
    assert all(phase_of(run.state, r) is not RETIRE for r in acted)


@often
@given(plans(), seeds)
def test_undo_goes_back_the_way_it_came(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.1, check=0.3)
    back = [r for r in run.sent if r.undo >= 0]
    for earlier, later in ((a, b) for i, a in enumerate(back) for b in back[i + 1 :]):
        if earlier.work == later.work:
            assert earlier.step > later.step
        elif phase_of(run.state, earlier) is CUT and phase_of(run.state, later) is CUT:
            assert barriers_of(run.state, earlier) >= barriers_of(run.state, later)


@often
@given(plans(), seeds)
def test_nothing_new_starts_after_a_failure_or_a_cancel(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.1, check=0.2, cancel=0.02)
    for state in run.states:
        if state.draining or state.word.ended:
            assert todos(state) == ()
        if state.word is RunWord.UNDOING:
            assert {leg.kind for leg in todos(state)} <= {LegKind.UNDO, LegKind.RECHECK, LegKind.CLEAN}


@often
@given(plans(), seeds)
def test_a_cancelled_run_is_undone_unless_it_is_retiring(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, cancel=0.05)
    turned = any(a.cancelled_by and not b.cancelled_by for a, b in zip(run.states[1:], run.states, strict=False))
    assert run.state.word is (RunWord.UNDONE if turned else RunWord.DONE)
    for event, before in zip(run.events[1:], run.states, strict=False):
        if isinstance(event, Cancelled) and before.word is RunWord.RETIRING:
            assert not turned


@often
@given(plans(), seeds)
def test_an_inverse_that_fails_parks_the_run_and_the_rest_is_still_taken_back(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, check=0.5, undo=0.3)
    back = (LegKind.UNDO, LegKind.RECHECK)
    failed = [e for e in run.events if isinstance(e, LegFailed) and e.leg.kind in back]
    if not failed:
        assert run.state.word in (RunWord.DONE, RunWord.UNDONE)
        return
    assert run.state.word is RunWord.PARKED
    stuck = {e.leg.work for e in failed}
    for ref in run.state.ops:
        if ref.undo < 0 and ref.work not in stuck:
            assert run.state.ops[OpRef(ref.work, ref.step, 0)].over
    assert run.state.stuck == tuple(e.reason for e in failed)


@often
@given(plans(), plans(), seeds)
def test_what_was_cut_passes_to_the_newer_run_and_what_was_only_staged_is_taken_away(
    plan: Plan, newer: Plan, seed: int
) -> None:
    old = driven(plan, seed, supersede=0.3)
    if old.state.word is not RunWord.SUPERSEDED:
        assert old.state.word is RunWord.DONE
        return
    cut = {r.work for r in old.state.ops if phase_of(old.state, r) is CUT}
    staged = {r for r in old.state.ops if r.undo < 0 and r.work not in cut}
    assert all(old.state.ops[OpRef(r.work, r.step, 0)].over for r in staged)
    assert not any(r.undo >= 0 and r.work in cut for r in old.state.ops)
    works, ops = inheritance(old.state)
    assert [old.state.works[w] for w in sorted(cut)] == list(works)
    assert all(r.undo < 0 for r, _ in ops)
    good = Driven.begin(after_superseding("run-2", newer, old.state), Fate(random.Random(seed))).to_the_end()
    retired = sorted(good.state.works[r.work].number for r in good.sent if inherited(good, r))
    assert good.state.word is RunWord.DONE
    assert retired == [w.number for w in works if any(s.phase is RETIRE for s in w.change.effect.steps)]


def inherited(run: Driven, ref: OpRef) -> bool:
    """An op of this run on a work of the one before."""
    return ref.work >= run.state.own


@often
@given(plans(), plans(), seeds)
def test_a_newer_run_that_fails_goes_back_to_where_the_older_one_began(plan: Plan, newer: Plan, seed: int) -> None:
    old = driven(plan, seed, supersede=0.5)
    if old.state.word is not RunWord.SUPERSEDED:
        return
    begun = after_superseding("run-2", newer, old.state)
    new = Driven.begin(begun, Fate(random.Random(seed), step=0.2, check=0.3)).to_the_end()
    if new.state.word is RunWord.DONE:
        return
    owned = [inherited(new, r) for r in new.sent if r.undo >= 0]
    assert owned == sorted(owned), "its own first, then what it inherited"
    taken_back = {(r.work, r.step) for r in new.state.ops if r.undo >= 0 and inherited(new, r)}
    assert taken_back == {(r.work, r.step) for r, _ in begun.ops}


@often
@given(plans(), seeds)
def test_open_intents_are_those_without_an_answer(plan: Plan, seed: int) -> None:
    run = driven(plan, seed, step=0.3, check=0.1)
    open_now: set[OpRef] = set()
    for event, state in zip(run.events[1:], run.states[1:], strict=True):
        if isinstance(event, Intended):
            open_now.add(event.ref)
        elif hasattr(event, "ref"):
            open_now.discard(event.ref)
        assert set(open_intents(state)) == open_now
    assert not open_now


def test_an_empty_plan_is_done_at_once() -> None:
    state, todo = advance(None, Begun("run-1", a_plan()))
    assert (state.word, todo) == (RunWord.DONE, ())


def test_a_newer_revision_takes_over_between_waves_and_never_within_one() -> None:
    plan = a_plan(a_change(0, 0, Action.UPDATE, (CUT, CUT)), a_change(1, 1, Action.UPDATE, (CUT,)))
    run = Driven.begin(Begun("run-1", plan), Fate(random.Random(1)))
    taken = []
    while not run.state.word.ended:
        taken.append((run.state.word, at_barrier(run.state), len(run.sent)))
        run.turn()
    within = {(word, sent) for word, there, sent in taken if word is RunWord.RUNNING and not there}
    assert within == {(RunWord.RUNNING, 1), (RunWord.RUNNING, 2), (RunWord.RUNNING, 3)}
    assert (RunWord.VERIFYING, True, 2) in taken
