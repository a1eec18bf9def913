"""The outline of a run decides as the run itself does, whatever happens to it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.change import Plan
from controller.runtime.run import Begun, RunState
from controller.runtime.run_machine import advance, at_barrier, open_intents, todos
from controller.temporal.messages import event_heard, events_said
from tests.controller.runtime.machine import Driven, Fate, plans


@settings(max_examples=100)
@given(plans(), st.integers(0, 2**32))
def test_an_outline_goes_through_the_same_words_legs_and_barriers(plan: Plan, seed: int) -> None:
    fate = Fate(random.Random(seed), step=0.1, check=0.1, undo=0.1, cancel=0.01, supersede=0.01)
    run = Driven.begin(Begun("run-1", plan), fate).to_the_end()
    outline: RunState | None = None
    for said, whole in zip(events_said(run.events), run.states, strict=True):
        outline, todo = advance(outline, event_heard(said))
        assert (outline.word, outline.draining, outline.done) == (whole.word, whole.draining, whole.done)
        assert (todo, at_barrier(outline), open_intents(outline)) == (
            todos(whole),
            at_barrier(whole),
            open_intents(whole),
        )
