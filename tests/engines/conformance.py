"""The contract of engine.md as tests: every engine is held to it by a subclass of `EngineConformance`.

An engine's test module gives a `Harness` (how to make, look at and disturb its platform) and cases (states a scope may
want, one after another); nothing here knows a platform.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import pytest

from controller.blueprint.entry import Entry, Lifecycle, OnDelete, Probe, ProbeKind
from controller.errors import Place
from controller.plan.codec import from_json, to_json
from controller.plan.health import HealthState
from controller.plan.resource import Allow, Desired, Expanding, ObjectKey, Part, Seen, Snapshot
from controller.plan.step import Action, Effect, OpId, Phase, Receipt, ReceiptState, Step
from engines.engine import Ask, Conflict, Engine, EngineError, FoundState
from tests.engines.running import Done, Held, MemorySeal, Runner, ordered

INSTALL = "conformance"
SCOPE = "prod"
CANARY = "c4n4ry-Zq9-value"
SECRET_REF = "env:CONFORMANCE_SECRET"
CHECKS_MAX = 200
Report = Callable[..., None]


class Harness(Protocol):
    """One platform under test, empty but for what others own when a test begins."""

    allow: Allow

    async def open(self) -> Engine:
        """A new engine on the same platform, as a new process would open it, bound to INSTALL."""
        ...

    async def world(self) -> Mapping[str, str]:
        """Every object of the platform, ours and foreign → a text that differs whenever the object does. Read past
        the engine."""
        ...

    async def tamper(self, key: ObjectKey, path: str) -> None:
        """Give one field of an object another value by hand."""
        ...

    async def foreign(self, wanted: Desired) -> str:
        """Make an object under the name of `wanted` that bears no mark, near enough to be adopted; its uid."""
        ...

    async def twin(self, key: ObjectKey) -> str:
        """Take the object away by hand and put a foreign one under its name; the uid of that one."""
        ...

    def unreadable(self) -> AbstractAsyncContextManager[None]:
        """While it is entered, the platform cannot be read."""
        ...

    async def pause(self) -> None:
        """Between two polls or checks."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A state a scope may want, and what it is changed to. `tampered`: a field that the change touches and a hand can
    alter; `dropped`: a field that the first state sets and the second leaves out."""

    label: str
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]
    tampered: str | None = None
    dropped: str | None = None

    def __str__(self) -> str:
        return self.label


def entry(name: str, type_: str, **more: Any) -> Entry:
    """A resource `prod/shop/NAME` as the loader would hand it over."""
    return Entry(SCOPE, "shop", name, type_, Place("shop.yaml"), **more)


@dataclass(slots=True)
class Stage:
    """One test's platform with an engine and a runner on it."""

    harness: Harness
    engine: Engine
    runner: Runner
    runs: Any = field(default_factory=lambda: itertools.count(1))

    def wanted(self, entries: Sequence[Entry]) -> tuple[Desired, ...]:
        """The entries expanded by the engine's kinds; a problem in them is a mistake in the case."""
        kinds = self.engine.kinds
        keys = {e.name: kinds[e.type].key(e, SCOPE) for e in entries}
        about = Expanding(SCOPE, "one", self.harness.allow, keys)
        found: list[Desired] = []
        for one in entries:
            objects, problems = kinds[one.type].expand(one, about)
            assert not problems, problems
            found += objects
        return tuple(found)

    async def look(self, wanted: Sequence[Desired] = (), everything: bool = False) -> Snapshot:
        claims = frozenset(c for d in wanted for c in d.claims)
        ask = Ask(INSTALL, frozenset({SCOPE}), frozenset(d.key for d in wanted), claims, everything)
        return await self.engine.observe(ask)

    async def effects(self, entries: Sequence[Entry]) -> tuple[Effect, ...]:
        wanted = self.wanted(entries)
        return await self.engine.preview(wanted, await self.look(wanted), SCOPE)

    async def bring(self, entries: Sequence[Entry]) -> list[Done]:
        """Plan and carry out, as one run of its own, until what it made is healthy."""
        effects = await self.effects(entries)
        self.runner.run = f"run{next(self.runs)}"
        done = await self.runner.apply(effects)
        for effect in effects:
            if effect.steps and effect.probe and effect.action not in (Action.DESTROY, Action.FORGET):
                await self.healthy(effect.key, effect.probe)
        return done

    async def healthy(self, key: ObjectKey, probe: Probe) -> None:
        for _ in range(CHECKS_MAX):
            health = await self.engine.check(key, probe)
            if health.state is HealthState.HEALTHY:
                return
            await self.harness.pause()
        raise AssertionError(f"{key} never became healthy: {health}")

    async def portrait(self) -> list[object]:
        """What the scope owns, as far as a person would call it the same: no op, no version, no health in passing."""
        objects = (await self.look()).objects
        return sorted((portrait(s) for s in objects), key=str)

    async def fresh(self) -> Engine:
        """Another process's engine."""
        return await self.harness.open()


def portrait(seen: Seen, uid: bool = True) -> object:
    """One object without what every write changes."""
    mark = replace(seen.mark, op="") if seen.mark else None
    return to_json(replace(seen, uid=seen.uid if uid else None, version=None, mark=mark, health=SAME, outputs={}))


def portrait_text(seen: Seen) -> str:
    """A portrait that may lie in a set."""
    return json.dumps(portrait(seen), sort_keys=True)


SAME = Seen(ObjectKey("", ""), None, None, None, Part.CURRENT, frozenset(), {}).health


def counted(effects: Sequence[Effect]) -> list[Effect]:
    """Without the records an engine keeps for itself."""
    return [e for e in effects if not e.bookkeeping]


def steps_of(effects: Sequence[Effect]) -> list[Step]:
    return [s for e in effects for s in e.steps]


class EngineConformance:
    """Subclass it as `Test…`, set `cases` and the few below, and give a fixture `harness`."""

    cases: ClassVar[Sequence[Case]]  # at least: in place, replacement; one entry each is best
    secret: ClassVar[tuple[Entry, ...]]  # one resource with {secret: SECRET_REF} somewhere
    linked: ClassVar[tuple[Entry, ...]]  # the second uses an output of the first
    alone: ClassVar[Entry]  # a resource that stands for itself, adoptable, with health
    renamed: ClassVar[Entry]  # `alone` under another name, formerly=(its id,)
    unmarked_calls: ClassVar[frozenset[str]] = frozenset()  # calls that may count as acted before they are sent (pull)
    row: ClassVar[str] = "conformance"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=str)

    @pytest.fixture
    async def stage(self, harness: Harness) -> AsyncIterator[Stage]:
        engine = await harness.open()
        runner = Runner(engine, secrets={SECRET_REF: CANARY}, allow=harness.allow, pause=harness.pause)
        yield Stage(harness, engine, runner)
        await engine.close()

    # --- plan and apply -------------------------------------------------------------------------------------------

    async def test_applied_state_previews_to_no_step(self, case: Case, stage: Stage, report_n: Report) -> None:
        for entries in (case.before, case.after, case.before, ()):
            await stage.bring(entries)
            left = steps_of(await stage.effects(entries))
            assert not left, left
            report_n(self.row, 1)

    async def test_every_effect_that_changes_something_says_what(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        for effect in await stage.effects(case.after):
            if effect.steps and effect.action is not Action.DESTROY:
                assert effect.fields, effect

    async def test_destroying_leaves_the_world_as_it_was(self, case: Case, stage: Stage) -> None:
        before = await stage.harness.world()
        await stage.bring(case.before)
        await stage.bring(())
        assert await stage.harness.world() == before

    async def test_reading_changes_nothing(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        before = await stage.harness.world()
        await stage.engine.about()
        await stage.look(everything=True)
        steps = steps_of(await stage.effects(case.after))
        assert steps, "the case changes something"
        await stage.engine.prior(steps[0].for_run("run9"), MemorySeal())
        await stage.engine.find(OpId("neverseenop1"), steps[0].for_run("run9"))
        assert await stage.harness.world() == before

    async def test_preview_draws_nothing_at_random(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        assert await stage.effects(case.after) == await stage.effects(case.after)

    async def test_a_field_that_was_dropped_is_unset(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        old = {s.key: dict(s.fields) for s in (await stage.look()).objects}
        await stage.bring(case.after)
        for seen in (await stage.look()).objects:
            if case.dropped and seen.key in old and case.dropped in old[seen.key]:
                assert seen.fields.get(case.dropped) != old[seen.key][case.dropped]
                assert seen.mark and case.dropped not in seen.mark.fields

    async def test_drift_is_seen_and_healed(self, case: Case, stage: Stage) -> None:
        if case.tampered is None:
            assert any(c.tampered for c in self.cases), "one case at least must show drift"
            return
        await stage.bring(case.before)
        key = stage.wanted(case.before)[-1].key
        await stage.harness.tamper(key, case.tampered)
        drifted = await stage.effects(case.before)
        assert case.tampered in {c.path for e in drifted for c in e.fields}
        await stage.bring(case.before)
        assert not steps_of(await stage.effects(case.before))

    # --- one effect per request -----------------------------------------------------------------------------------

    async def test_the_same_op_twice_has_one_effect(self, case: Case, stage: Stage, report_n: Report) -> None:
        for entries in (case.before, case.after, ()):
            stage.runner.run = f"run{next(stage.runs)}"
            for resource, step in ordered(await stage.effects(entries), stage.runner.run):
                done = await stage.runner.send(step, resource)
                once = await stage.harness.world()
                args = (done.op, step, done.prior, stage.runner.values(), Held())
                again = await stage.runner.ended(await (await stage.fresh()).do(*args))
                assert (again.state, again.uid) == (ReceiptState.DONE, done.receipt.uid)
                assert await stage.harness.world() == once
                report_n(self.row, 1)

    async def test_find_tells_a_lost_answer_from_a_lost_request(
        self, case: Case, stage: Stage, report_n: Report
    ) -> None:
        for entries in (case.before, case.after, ()):
            stage.runner.run = f"run{next(stage.runs)}"
            for resource, step in ordered(await stage.effects(entries), stage.runner.run):
                never = await stage.engine.find(OpId("neverseenop1"), step)
                if step.request["call"] not in self.unmarked_calls:
                    assert never.state is FoundState.NOT_YET, step
                done = await stage.runner.send(step, resource)
                found = await (await stage.fresh()).find(done.op, step)
                assert found.state is FoundState.ACTED, step
                assert found.receipt and found.receipt.uid == done.receipt.uid
                report_n(self.row, 2)

    async def test_a_task_nobody_knows_has_vanished(self, stage: Stage) -> None:
        lost = Receipt(OpId("neverseenop1"), ReceiptState.RUNNING, "neverseenop1")
        assert (await stage.engine.poll(lost)).state is ReceiptState.VANISHED

    async def test_a_fence_that_does_not_hold_stops_every_call(self, case: Case, stage: Stage) -> None:
        for entries in (case.before, case.after, ()):
            stage.runner.run = f"run{next(stage.runs)}"
            for resource, step in ordered(await stage.effects(entries), stage.runner.run):
                before = await stage.harness.world()
                prior = await stage.engine.prior(step, stage.runner.seal)
                with pytest.raises(EngineError):
                    await stage.engine.do(OpId("fencedoff111"), step, prior, stage.runner.values(), Held(held=False))
                assert await stage.harness.world() == before, "I14"
                await stage.runner.send(step, resource)

    # --- undo -----------------------------------------------------------------------------------------------------

    async def test_the_inverse_of_every_prefix_restores_what_was(
        self, case: Case, stage: Stage, report_n: Report
    ) -> None:
        for start, end in (((), case.before), (case.before, case.after), (case.after, ())):
            await stage.bring(start)
            length = len([s for s in steps_of(await stage.effects(end)) if s.phase is not Phase.RETIRE])
            for cut in range(1, length + 1):
                effects = await stage.effects(end)
                before = await self._restorable(stage, effects)
                stage.runner.run = f"run{next(stage.runs)}"
                done = [await stage.runner.send(s, r) for r, s in ordered(effects, stage.runner.run)[:cut]]
                await stage.runner.undo(done)
                after = await self._restorable(stage, effects)
                assert after == before, f"{cut} of {length}"
                assert steps_of(await stage.effects(end)) == steps_of(effects) or self._loses(effects)
                report_n(self.row, 1)

    async def _restorable(self, stage: Stage, effects: Sequence[Effect]) -> list[object]:
        objects = (await stage.look()).objects
        return sorted((portrait(s, uid=not self._loses(effects)) for s in objects), key=str)

    @staticmethod
    def _loses(effects: Sequence[Effect]) -> bool:
        return any("uid" in line for e in effects for line in e.lost)

    async def test_parts_of_a_run_are_never_planned(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        stage.runner.run = f"run{next(stage.runs)}"
        for resource, step in ordered(await stage.effects(case.after), stage.runner.run):
            if step.phase is Phase.RETIRE:
                break
            await stage.runner.send(step, resource)
            objects = (await stage.look()).objects
            parts = {s.key for s in objects if s.part is not Part.CURRENT}
            planned = {e.key for e in await stage.effects(case.after)}
            assert not planned & parts
            assert not {e.key for e in await stage.effects(()) if e.action is Action.DESTROY} & parts

    # --- the sweep ------------------------------------------------------------------------------------------------

    async def test_the_sweep_ends_what_a_run_left_that_nobody_remembers(
        self, case: Case, stage: Stage, report_n: Report
    ) -> None:
        await stage.bring(case.before)
        length = len([s for s in steps_of(await stage.effects(case.after)) if s.phase is not Phase.RETIRE])
        for cut in range(1, length + 1):
            uids = {s.key: s.uid for s in (await stage.look()).objects if s.part is Part.CURRENT}
            await self._left_behind(stage, case.after, cut)
            before = await stage.look()
            swept = await stage.engine.sweep(before, SCOPE)
            assert {e.uid for e in swept} == {s.uid for s in before.objects if s.part is not Part.CURRENT}
            self._disrupts_no_current_object(swept, before)
            await stage.runner.apply(swept)
            after = await stage.look()
            self._is_swept(swept, before, after, uids)
            assert not steps_of(await stage.engine.sweep(after, SCOPE)), "sweeping again has nothing left to do"
            await stage.bring(case.before)
            report_n(self.row, 1)

    async def test_sweep_steps_sent_twice_have_one_effect_and_are_found_again(
        self, case: Case, stage: Stage, report_n: Report
    ) -> None:
        async for swept in self._sweeps(case, stage):
            for resource, step in ordered(swept, stage.runner.run):
                assert (await stage.engine.find(OpId("neverseenop1"), step)).state is FoundState.NOT_YET, step
                done = await stage.runner.send(step, resource)
                once = await stage.harness.world()
                assert (await (await stage.fresh()).find(done.op, step)).state is FoundState.ACTED
                args = (done.op, step, done.prior, stage.runner.values(), Held())
                again = await stage.runner.ended(await (await stage.fresh()).do(*args))
                assert again.state is ReceiptState.DONE
                assert await stage.harness.world() == once
                report_n(self.row, 2)

    async def test_a_sweep_that_fails_leaves_the_parts_as_they_were(
        self, case: Case, stage: Stage, report_n: Report
    ) -> None:
        async for swept in self._sweeps(case, stage):
            planned = [x for x in ordered(swept, stage.runner.run) if x[1].phase is not Phase.RETIRE]
            for cut in range(1, len(planned) + 1):
                before = await stage.portrait()
                await stage.runner.undo([await stage.runner.send(s, r) for r, s in planned[:cut]])
                assert await stage.portrait() == before
                report_n(self.row, 1)
            await stage.runner.apply(swept)

    async def test_parts_of_another_scope_or_install_are_not_swept(self, case: Case, stage: Stage) -> None:
        async for swept in self._sweeps(case, stage):
            seen = await stage.look()
            assert await stage.engine.sweep(seen, "another") == ()
            others = [replace(s, mark=replace(s.mark, install="another") if s.mark else None) for s in seen.objects]
            foreign = [replace(s, mark=None) for s in seen.objects]
            assert await stage.engine.sweep(replace(seen, objects=tuple(others)), SCOPE) == ()
            assert await stage.engine.sweep(replace(seen, objects=tuple(foreign)), SCOPE) == ()
            await stage.runner.apply(swept)

    async def _sweeps(self, case: Case, stage: Stage) -> AsyncIterator[tuple[Effect, ...]]:
        """What is to be swept after each cut of a run that leaves parts; whoever asks carries it out."""
        await stage.bring(case.before)
        length = len([s for s in steps_of(await stage.effects(case.after)) if s.phase is not Phase.RETIRE])
        for cut in range(1, length + 1):
            await self._left_behind(stage, case.after, cut)
            swept = await stage.engine.sweep(await stage.look(), SCOPE)
            if steps_of(swept):
                yield swept
            await stage.bring(case.before)

    @staticmethod
    async def _left_behind(stage: Stage, entries: Sequence[Entry], cut: int) -> None:
        """A run towards `entries` dies after `cut` steps, and its journal with it."""
        stage.runner.run = f"run{next(stage.runs)}"
        for resource, step in ordered(await stage.effects(entries), stage.runner.run)[:cut]:
            await stage.runner.send(step, resource)
        stage.runner.run = f"run{next(stage.runs)}"

    @staticmethod
    def _disrupts_no_current_object(swept: Sequence[Effect], before: Snapshot) -> None:
        current = {s.uid for s in before.objects if s.part is Part.CURRENT}
        parts = {s.uid: s for s in before.objects if s.part is not Part.CURRENT}
        for effect in swept:
            assert effect.uid not in current
            assert {s.expects.uid for s in effect.steps} <= {effect.uid}, "bound to what was seen"
            assert not effect.lost
            if parts[effect.uid].part is Part.STAGED:
                assert (effect.action, effect.disruption.rank) == (Action.DESTROY, 0)
                assert effect.key == parts[effect.uid].key

    @staticmethod
    def _is_swept(
        swept: Sequence[Effect], before: Snapshot, after: Snapshot, uids: Mapping[ObjectKey, str | None]
    ) -> None:
        """Nothing staged is left, what had no current object has it again, and the rest is as it was."""
        left = {s.uid: s for s in after.objects if s.part is not Part.CURRENT}
        current = {s.key: s for s in after.objects if s.part is Part.CURRENT}
        assert set(left) == {e.uid for e in swept if not e.steps}
        assert all(s.part is Part.KEPT for s in left.values())
        for effect in swept:
            if effect.action is Action.CREATE:
                assert current[effect.key].uid == effect.uid == uids[effect.key]
                assert current[effect.key].fields.get("running") in (True, None)
            if not effect.steps:
                assert left[effect.uid].key.name in effect.reason and "by hand" in effect.reason
        same = {s.key for s in before.objects if s.part is Part.CURRENT}
        assert {portrait_text(current[k]) for k in same} == {
            portrait_text(s) for s in before.objects if s.part is Part.CURRENT
        }

    # --- what is not ours, and what moved -------------------------------------------------------------------------

    async def test_a_foreign_object_under_our_name_is_never_touched(self, stage: Stage, report_n: Report) -> None:
        (wanted,) = stage.wanted((self.alone,))
        await stage.harness.foreign(wanted)
        before = await stage.harness.world()
        sent = 0
        for effect in counted(await stage.effects((self.alone,))):
            assert effect.action is Action.CREATE
            for step in effect.steps:
                real = step.for_run("run1")
                with pytest.raises((Conflict, EngineError)):
                    prior = await stage.engine.prior(real, stage.runner.seal)
                    if real.key != wanted.key:
                        raise Conflict("a step beside the object")
                    await stage.engine.do(OpId("takenname111"), real, prior, stage.runner.values(), Held())
                if real.expects.absent and real.key == wanted.key:
                    found = await stage.engine.find(OpId("takenname111"), real)
                    assert found.state is FoundState.TAKEN
                sent += 1
        assert sent
        assert await stage.harness.world() == before, "I16"
        assert not counted(await stage.effects(())), "nobody's object is not ours to destroy"
        report_n(self.row, sent)

    async def test_a_twin_under_the_same_name_is_a_conflict(self, case: Case, stage: Stage) -> None:
        await stage.bring(case.before)
        planned = [*steps_of(await stage.effects(case.after)), *steps_of(await stage.effects(()))]
        bound = [s.for_run("run1") for s in planned if s.expects.uid is not None]
        keys = {d.key for d in stage.wanted(case.before)}
        bound = [s for s in bound if s.key in keys]
        assert bound, "a change or a destroy is bound to a uid"
        for key in {s.key for s in bound}:
            await stage.harness.twin(key)
        before = await stage.harness.world()
        for step in bound:
            with pytest.raises(Conflict):
                await stage.engine.prior(step, stage.runner.seal)
            assert (await stage.engine.find(OpId("neverseenop1"), step)).state is not FoundState.NOT_YET
        assert await stage.harness.world() == before

    async def test_a_plan_against_an_object_that_was_made_again_is_a_conflict(self, case: Case, stage: Stage) -> None:
        """The same name, the same owner, the same fields: still another object."""
        await stage.bring(case.before)
        planned = [*steps_of(await stage.effects(case.after)), *steps_of(await stage.effects(()))]
        bound = [s.for_run("run1") for s in planned if s.expects.uid is not None]
        await stage.bring(())
        await stage.bring(case.before)
        keys = {s.key for s in (await stage.look()).objects}
        for step in (s for s in bound if s.key in keys):
            with pytest.raises(Conflict):
                await stage.engine.prior(step, stage.runner.seal)

    async def test_a_planned_field_that_moved_is_a_conflict(self, case: Case, stage: Stage) -> None:
        if case.tampered is None:
            assert any(c.tampered for c in self.cases)
            return
        await stage.bring(case.before)
        planned = [s.for_run("run1") for s in steps_of(await stage.effects(case.after)) if s.expects.fields]
        assert planned, "a step says which fields it was planned against"
        await stage.harness.tamper(planned[0].key, case.tampered)
        with pytest.raises(Conflict):
            await stage.engine.prior(planned[0], stage.runner.seal)

    async def test_a_write_between_prior_and_do_is_a_conflict(self, case: Case, stage: Stage) -> None:
        """What `prior` read is what `do` writes against, as late as the platform allows (I14)."""
        if case.tampered is None:
            return
        await stage.bring(case.before)
        planned = [s.for_run("run1") for s in steps_of(await stage.effects(case.after)) if s.expects.fields]
        prior = await stage.engine.prior(planned[0], stage.runner.seal)
        await stage.harness.tamper(planned[0].key, case.tampered)
        before = await stage.harness.world()
        with pytest.raises(Conflict):
            await stage.engine.do(OpId("toolateop111"), planned[0], prior, stage.runner.values(), Held())
        assert await stage.harness.world() == before

    async def test_another_scope_neither_sees_nor_loses_ours(self, stage: Stage) -> None:
        await stage.bring((self.alone,))
        everything = await stage.look(everything=True)
        assert await stage.engine.preview((), everything, "staging") == ()
        other = await stage.engine.observe(Ask(INSTALL, frozenset({"staging"})))
        assert not [s for s in other.objects if s.mark and s.mark.scope == SCOPE]

    async def test_a_gap_is_told_when_the_platform_cannot_be_read(self, stage: Stage, report_n: Report) -> None:
        await stage.bring((self.alone,))
        steps = [s.for_run("run1") for s in steps_of(await stage.effects(()))]
        async with stage.harness.unreadable():
            try:
                snapshot = await stage.look()
            except EngineError:
                pass
            else:
                assert snapshot.gaps, "unknown is not absent (I9)"
            for step in steps:
                with pytest.raises(EngineError) as prior:
                    await stage.engine.prior(step, stage.runner.seal)
                assert not isinstance(prior.value, Conflict)
                with pytest.raises(EngineError):
                    await stage.engine.find(OpId("neverseenop1"), step)
        assert not steps_of(await stage.effects((self.alone,)))
        report_n(self.row, 1 + 2 * len(steps))

    # --- names and owners -----------------------------------------------------------------------------------------

    async def test_formerly_moves_the_mark(self, stage: Stage) -> None:
        await stage.bring((self.alone,))
        owned = len(await stage.portrait())
        (effect,) = counted(await stage.effects((self.renamed,)))
        assert (effect.action, effect.fields[0].path) == (Action.UPDATE, "id")
        await stage.bring((self.renamed,))
        assert not steps_of(await stage.effects((self.renamed,)))
        assert len(await stage.portrait()) == owned
        (seen,) = [s for s in (await stage.look()).objects if s.key == effect.key]
        assert seen.mark and seen.mark.resource == self.renamed.id

    async def test_adopting_needs_the_uid_a_person_named(self, stage: Stage) -> None:
        (wanted,) = stage.wanted((self.alone,))
        uid = await stage.harness.foreign(wanted)
        wrong = replace(self.alone, adopt=f"{uid[:-1]}{'0' if uid[-1] != '0' else '1'}")
        assert [e.action for e in counted(await stage.effects((wrong,)))] == [Action.CREATE]
        named = replace(self.alone, adopt=uid)
        (effect,) = counted(await stage.effects((named,)))
        assert (effect.action, effect.uid) == (Action.ADOPT, uid)
        await stage.bring((named,))
        assert not steps_of(await stage.effects((named,)))
        assert not steps_of(await stage.effects((self.alone,))), "the line may go once it is ours"

    async def test_what_is_retained_is_forgotten_and_stays(self, stage: Stage) -> None:
        kept = replace(self.alone, lifecycle=Lifecycle(on_delete=OnDelete.RETAIN))
        await stage.bring((kept,))
        before = set(await stage.harness.world())
        (effect,) = counted(await stage.effects(()))
        assert effect.action is Action.FORGET
        await stage.bring(())
        assert not counted(await stage.effects(()))
        assert before <= set(await stage.harness.world())
        seen = [s for s in (await stage.look(everything=True)).objects if s.key == effect.key]
        assert [s.mark for s in seen] == [None], "a forgotten object is foreign"

    async def test_a_lifecycle_changes_without_touching_the_object(self, stage: Stage) -> None:
        await stage.bring((self.alone,))
        guarded = replace(self.alone, lifecycle=Lifecycle(protect=True))
        (effect,) = counted(await stage.effects((guarded,)))
        assert (effect.action, effect.disruption.rank) == (Action.UPDATE, 0)
        await stage.bring((guarded,))
        assert not steps_of(await stage.effects((guarded,)))
        (seen,) = [s for s in (await stage.look()).objects if s.key == effect.key]
        assert seen.mark and seen.mark.lifecycle.protect

    async def test_what_is_not_there_is_missing(self, stage: Stage) -> None:
        (wanted,) = stage.wanted((self.alone,))
        health = await stage.engine.check(wanted.key, Probe(ProbeKind.RUNNING))
        assert health.state is HealthState.MISSING

    # --- secrets, outputs, codec ----------------------------------------------------------------------------------

    async def test_a_secret_never_comes_back(self, stage: Stage, report_n: Report) -> None:
        crossed = await self._crossing(stage, (self.secret, (), self.secret, ()))
        for value in crossed:
            text = repr(value) + json.dumps(to_json(value))
            assert not leaks(text), type(value)
        assert len(crossed) > 10
        report_n(self.row, len(crossed))

    async def test_outputs_of_one_reach_another(self, stage: Stage) -> None:
        await stage.bring(self.linked)
        first, second = stage.wanted(self.linked)
        assert not steps_of(await stage.effects(self.linked))
        objects = {s.key: s for s in (await stage.look()).objects}
        given = objects[first.key].outputs
        assert set(given) <= stage.engine.kinds[self.linked[0].type].outputs
        assert any(str(v) in str(objects[second.key].fields) for v in given.values())

    async def test_all_that_crosses_survives_the_codec(self, case: Case, stage: Stage, report_n: Report) -> None:
        crossed = await self._crossing(stage, (case.before, case.after, ()))
        for value in crossed:
            assert from_json(type(value), json.loads(json.dumps(to_json(value)))) == value
        report_n(self.row, len(crossed))

    async def _crossing(self, stage: Stage, states: Sequence[Sequence[Entry]]) -> list[object]:
        """Everything the engine hands out while these states are applied, one after another, each undone once."""
        crossed: list[object] = [await stage.engine.about()]
        for entries in states:
            wanted = stage.wanted(entries)
            snapshot = await stage.look(wanted)
            effects = await stage.engine.preview(wanted, snapshot, SCOPE)
            crossed += [snapshot, *snapshot.objects, *effects]
            crossed += await self._undone_once(stage, effects)
            for one in await stage.bring(entries):
                found = await stage.engine.find(one.op, one.step)
                crossed += [one.step, one.prior, one.receipt, found]
        return crossed

    async def _undone_once(self, stage: Stage, effects: Sequence[Effect]) -> list[object]:
        stage.runner.run = f"run{next(stage.runs)}"
        planned = [x for x in ordered(effects, stage.runner.run) if x[1].phase is not Phase.RETIRE]
        done = [await stage.runner.send(s, r) for r, s in planned]
        inverses: list[object] = [s for one in done for s in stage.engine.inverse(one.step, one.prior, one.receipt)]
        await stage.runner.undo(done)
        return inverses


def leaks(text: str) -> bool:
    """True if the canary stands in `text`, plain, reversed or encoded."""
    raw = CANARY.encode()
    forms = [CANARY, raw.hex(), *(base64.b64encode(b"x" * i + raw)[4:-4].decode() for i in range(3))]
    return any(form in text for form in forms)


__all__ = [
    "CANARY",
    "INSTALL",
    "SCOPE",
    "SECRET_REF",
    "Case",
    "EngineConformance",
    "Harness",
    "Stage",
    "entry",
    "leaks",
]
