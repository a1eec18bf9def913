"""Every call of a run meets every fault of the simulated platform, and the end is always the target or the start."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from controller.blueprint.entry import Entry, Probe, ProbeKind
from controller.errors import InvalidInput, Unreachable
from controller.plan.graph import DesiredGraph
from controller.plan.health import HealthState
from controller.plan.planner import make_plan
from controller.plan.resource import ObjectKey, Part, Snapshot
from controller.plan.step import OpId, Phase, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, Engine, EngineError, FoundState, Refused, Transient, Unclear
from engines.simulation import SimulationEngine
from engines.simulation.tamper import tamper
from engines.simulation.world import World
from tests.engines.conformance import SCOPE, Stage, entry, steps_of
from tests.engines.running import Done, Held, Runner, StepFailed, ordered
from tests.engines.simulated import SimulatedPlatform, binding

Report = Callable[..., None]
ERRORS = {"transient": Transient, "conflict": Conflict, "refused": Refused, "unclear": Unclear}
FAULTS = [(error, when) for error in (*ERRORS, "hang") for when in ("before", "after")]
WEB = {"image": "web:1", "memory": "1GB", "ports": ["8080:80"]}
VM = {"image": "debian-13", "memory": "2GB"}
FIRST = (
    entry("web", "container", specs=WEB),
    entry("vm", "vm", specs=VM),
    entry("data", "volume", specs={"size": "2GB"}),
    entry("map", "manifest", specs={"kind": "A"}),
)
SECOND = (
    entry("web", "container", specs={**WEB, "image": "web:2"}),
    entry("vm", "vm", specs={**VM, "memory": "4GB"}),
    entry("data", "volume", specs={"size": "1GB"}),
    entry("map", "manifest", specs={"kind": "B"}),
)
RUNS: Mapping[str, tuple[tuple[Entry, ...], tuple[Entry, ...]]] = {
    "create": ((), FIRST),
    "change": (FIRST, SECOND),
    "destroy": (SECOND, ()),
}


@pytest.fixture(autouse=True)
def no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power, so none waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def a_stage(folder: Path, **config: Any) -> Stage:
    harness = SimulatedPlatform(folder, config)
    engine = SimulationEngine.open(binding(folder, **config))
    return Stage(harness, engine, Runner(engine, run="swept"))


async def started(folder: Path, start: tuple[Entry, ...]) -> Stage:
    stage = a_stage(folder)
    await stage.bring(start)
    return stage


def again(template: Path, folder: Path) -> Stage:
    """Another platform just like `template`."""
    if template.exists():
        shutil.copytree(template, folder)
    return a_stage(folder)


async def planned(folder: Path, start: tuple[Entry, ...], end: tuple[Entry, ...]) -> list[tuple[str, Step]]:
    stage = await started(folder, start)
    return ordered(await stage.effects(end), "swept")


async def asked(engine: Engine, runner: Runner, step: Step, op: OpId, prior: Prior) -> Receipt:
    """`do`, where no answer for a while is a lost answer, as the executor's bound makes it."""
    call = asyncio.ensure_future(engine.do(op, step, prior, runner.values(), Held()))
    for _ in range(50):
        await asyncio.sleep(0)
        if call.done():
            return call.result()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    raise Unclear("no answer")


async def persisted(stage: Stage, step: Step, resource: str) -> Done:
    """One step as the executor brings it to its end: an error is answered by `find`, and by one more try."""
    op = stage.runner.next_op(step.key)
    for _ in range(2):
        prior = await stage.engine.prior(step, stage.runner.seal)
        try:
            receipt = await asked(stage.engine, stage.runner, step, op, prior)
        except EngineError:
            found = await (await stage.fresh()).find(op, step)
            if found.state is FoundState.ACTED and found.receipt is not None:
                receipt = found.receipt
            else:
                assert found.state is FoundState.NOT_YET, found
                continue
        receipt = await stage.runner.ended(receipt)
        stage.runner.outputs.update({(resource, k): v for k, v in receipt.outputs.items()})
        return Done(op, step, prior, receipt)
    raise AssertionError("the fault happens once")


def likeness(stage: Stage) -> object:
    """The world without what differs from one platform to the next."""
    assert isinstance(stage.harness, SimulatedPlatform)
    objects = stage.harness.data()["objects"]
    return {k: {**r, "mark": {**(r["mark"] or {}), "op": ""}, "uid": "", "version": 0} for k, r in objects.items()}


@pytest.mark.parametrize("name", RUNS)
async def test_each_call_and_each_fault_end_at_the_target_with_one_effect(
    name: str, tmp_path: Path, report_n: Report
) -> None:
    start, end = RUNS[name]
    calm = await started(tmp_path / "calm", start)
    await calm.bring(end)
    length = len(await planned(tmp_path / "start", start, end))
    for number in range(1, length + 1):
        for error, when in FAULTS:
            folder = tmp_path / f"{number}-{error}-{when}"
            stage = again(tmp_path / "start", folder)
            calls = SimulatedPlatform(folder).data()["calls"] if start else 0
            rule = {"call": calls + number, "when": when, "error": error}
            faulty = a_stage(folder, fail=[rule])
            sent = [await persisted(faulty, s, r) for r, s in ordered(await stage.effects(end), "swept")]
            assert all(d.receipt.state is ReceiptState.DONE for d in sent)
            assert likeness(faulty) == likeness(calm), (number, error, when)
            platform = SimulatedPlatform(folder)
            ledger = platform.data()["ledger"][-length:]
            assert [row["op"] for row in ledger] == [d.op for d in sent], "one accepted mutation per op (W)"
            assert sum(platform.data()["fired"].values()) == 1
            report_n("B1 simulation", 1)


@pytest.mark.parametrize("name", ["create", "change"])
async def test_a_call_that_stays_refused_is_undone_to_the_start(name: str, tmp_path: Path, report_n: Report) -> None:
    start, end = RUNS[name]
    length = len([s for _, s in await planned(tmp_path / "length", start, end) if s.phase is not Phase.RETIRE])
    for number in range(1, length + 1):
        folder = tmp_path / str(number)
        stage = again(tmp_path / "length", folder)
        before, steps = likeness(stage), ordered(await stage.effects(end), "swept")
        done: list[Done] = []
        refused = a_stage(folder, fail=[{"match": _text(steps[number - 1][1]), "error": "refused", "times": 0}])
        with pytest.raises(Refused):
            for resource, step in steps:
                done.append(await refused.runner.send(step, resource))
        stage.runner.seal = refused.runner.seal
        stage.runner.run = "undo"
        await stage.runner.undo(done)
        assert likeness(stage) == before, number
        report_n("B1 simulation", 1)


def _text(step: Step) -> str:
    return f"{step.request['call']} {step.key.name.replace('.swept.new', '').replace('.swept.old', '')}"


@pytest.mark.parametrize("call", ["create", "start"])
async def test_what_is_half_made_is_taken_away_again(call: str, tmp_path: Path, report_n: Report) -> None:
    """B4: the object is there and its creation or its start failed, at once or after some polls."""
    for polls in (0, 3):
        stage = a_stage(tmp_path / f"{call}{polls}")
        before = await stage.portrait()
        one = entry("web", "container", specs={**WEB, "simulate": {"fail": call, "task_polls": polls}})
        with pytest.raises(StepFailed, match="simulated failure"):
            await stage.bring((one,))
        assert [s.health.state for s in (await stage.look()).objects] == [HealthState.DEGRADED]
        await stage.runner.undo(stage.runner.done)
        assert await stage.portrait() == before
        report_n("B4 simulation", 1)


READ_FAULTS = [{"match": "observe", "error": e, "times": 0} for e in (*ERRORS, "gap")]


@pytest.mark.parametrize("rule", READ_FAULTS, ids=lambda r: str(r["error"]))
async def test_a_read_that_fails_is_never_an_empty_platform(
    rule: dict[str, Any], tmp_path: Path, report_n: Report
) -> None:
    stage = await started(tmp_path, FIRST)
    before = await stage.harness.world()
    faulty = a_stage(tmp_path, fail=[rule])
    for wanted in ((), FIRST, SECOND):
        await _nothing_follows(faulty, wanted)
        report_n("B2 simulation", 1)
    assert await stage.harness.world() == before


def _cut(blob: bytes, part: int) -> bytes:
    return blob[: len(blob) * part // 20]


DAMAGES: Mapping[str, Callable[[bytes], bytes | None]] = {
    **{f"cut at {part} of 20": lambda blob, part=part: _cut(blob, part) for part in range(20)},  # type: ignore[misc]  # lambda default
    "gone": lambda blob: None,
    "other format": lambda blob: blob.replace(b"simulation/v1", b"simulation/v9"),
    "objects are a list": lambda blob: orjson.dumps({**orjson.loads(blob), "objects": []}),
    "objects are gone": lambda blob: orjson.dumps({k: v for k, v in orjson.loads(blob).items() if k != "objects"}),
    "an object is text": lambda blob: _with_object(blob, "text"),
    "an object is empty": lambda blob: _with_object(blob, {}),
    "an object has no fields": lambda blob: _with_object(blob, {"kind": "simulation/vm", "name": "x", "mark": None}),
    "not UTF-8": lambda blob: blob.replace(b"web", b"w\xffb"),
}


def _with_object(blob: bytes, record: object) -> bytes:
    data = orjson.loads(blob)
    data["objects"]["simulation/vm:prod-shop-vm"] = record
    return orjson.dumps(data)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_platform_is_never_an_empty_one(damage: str, tmp_path: Path, report_n: Report) -> None:
    stage = await started(tmp_path, FIRST)
    path = SimulatedPlatform(tmp_path).path
    damaged = DAMAGES[damage](path.read_bytes())
    path.unlink() if damaged is None else path.write_bytes(damaged)
    for wanted in ((), FIRST, SECOND):
        await _nothing_follows(await _reopened(stage), wanted)
        report_n("B2 simulation", 1)
    assert (path.read_bytes() if path.exists() else None) == damaged


async def _reopened(stage: Stage) -> Stage:
    assert isinstance(stage.harness, SimulatedPlatform)
    return a_stage(stage.harness.folder)


async def _nothing_follows(stage: Stage, entries: tuple[Entry, ...]) -> None:
    """Either the reading fails, or its gap makes the plan fail: no step comes of it (I9)."""
    try:
        snapshot: Snapshot = await stage.look(stage.wanted(entries))
    except EngineError:
        return
    assert snapshot.gaps
    wanted = stage.wanted(entries)
    effects = await stage.engine.preview(wanted, snapshot, SCOPE)
    graph = DesiredGraph(SCOPE, entries, {"one": wanted})
    with pytest.raises(Unreachable):
        make_plan(graph, {"one": snapshot}, {"one": effects}, "0" * 40)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("verb", ["about", "preview", "prior *", "find *", "poll", "check *"])
async def test_every_question_can_fail_without_changing_anything(
    verb: str, error: str, tmp_path: Path, report_n: Report
) -> None:
    stage = await started(tmp_path, FIRST)
    step = steps_of(await stage.effects(SECOND))[0].for_run("swept")
    before = await stage.harness.world()
    faulty = a_stage(tmp_path, fail=[{"match": verb, "error": error}]).engine
    questions: Mapping[str, Callable[[], Any]] = {
        "about": faulty.about,
        "preview": lambda: faulty.preview((), Snapshot(), SCOPE),
        "prior *": lambda: faulty.prior(step, stage.runner.seal),
        "find *": lambda: faulty.find(OpId("neverseenop1"), step),
        "poll": lambda: faulty.poll(Receipt(OpId("neverseenop1"), ReceiptState.RUNNING)),
        "check *": lambda: faulty.check(step.key, Probe(ProbeKind.RUNNING)),
    }
    with pytest.raises(ERRORS[error]):
        await questions[verb]()
    await questions[verb]()  # it happens once
    assert await stage.harness.world() == before
    report_n("B2 simulation", 1)


async def test_a_task_outlives_the_process_that_began_it(tmp_path: Path, report_n: Report) -> None:
    """A5: another process finds the task running, polls it to its end, and the object is free again."""
    stage = a_stage(tmp_path)
    one = entry("web", "container", specs={**WEB, "simulate": {"task_polls": 2}})
    ((_, step), *_) = ordered(await stage.effects((one,)), "swept")
    op = OpId("longtask1111")
    prior = await stage.engine.prior(step, stage.runner.seal)
    begun = await stage.engine.do(op, step, prior, stage.runner.values(), Held())
    assert (begun.state, begun.task) == (ReceiptState.RUNNING, op)
    other = await stage.fresh()
    found = await other.find(op, step)
    assert found.receipt and found.receipt.state is ReceiptState.RUNNING
    (busy,) = (await stage.look()).objects
    assert busy.task == op
    (effect,) = await stage.effects((replace(one, specs=WEB),))
    assert effect.steps == (), "what is being worked on is neither drift nor missing"
    states = [await other.poll(found.receipt) for _ in range(3)]
    assert [s.state for s in states] == [ReceiptState.RUNNING, ReceiptState.DONE, ReceiptState.DONE]
    assert states[0].progress == 50
    (free,) = (await stage.look()).objects
    assert free.task is None
    report_n("A5 simulation", 4)


async def test_any_write_between_prior_and_do_is_a_conflict_that_a_second_try_mends(tmp_path: Path) -> None:
    """Also of a field that the step does not touch: the version is what `do` writes against (I14)."""
    stage = await started(tmp_path, FIRST[:1])
    (step,) = steps_of(await stage.effects((entry("web", "container", specs={**WEB, "memory": "2GB"}),)))
    prior = await stage.engine.prior(step, stage.runner.seal)
    await tamper(World(SimulatedPlatform(tmp_path).path), step.key, "hostname", "by-hand")
    with pytest.raises(Conflict):
        await stage.engine.do(OpId("toolateop111"), step, prior, stage.runner.values(), Held())
    await stage.runner.send(step)
    (seen,) = (await stage.look()).objects
    assert (seen.fields["memory"], seen.fields["hostname"]) == ("2GB", "by-hand")


@pytest.mark.parametrize("when", ["before prior", "before do"])
async def test_what_lost_our_mark_since_the_plan_is_not_removed(when: str, tmp_path: Path) -> None:
    """Somebody took it over by hand: the same object, and not ours any more (I16)."""
    stage = await started(tmp_path, FIRST[2:3])
    step = next(s for s in steps_of(await stage.effects(())) if s.request["call"] == "remove")
    if when == "before do":
        prior = await stage.engine.prior(step, stage.runner.seal)
    await unmarked(World(SimulatedPlatform(tmp_path).path), step.key)
    before = await stage.harness.world()
    with pytest.raises(Conflict):
        if when == "before prior":
            prior = await stage.engine.prior(step, stage.runner.seal)
        await stage.engine.do(OpId("nolongerours"), step, prior, stage.runner.values(), Held())
    assert await stage.harness.world() == before


async def unmarked(world: World, key: ObjectKey) -> None:
    """A hand that takes the mark away and leaves no trace of that."""
    async with world.writing() as data:
        data["objects"][str(key)]["mark"] = None
        world.save(data)


async def test_a_rename_that_is_taken_back_is_a_part_of_its_run_again(tmp_path: Path) -> None:
    stage = await started(tmp_path, FIRST[:1])
    planned = ordered(await stage.effects(SECOND[:1]), "swept")
    parts: list[set[Part]] = []
    for resource, step in planned[:4]:  # create beside, stop, old aside, new in its place
        await stage.runner.send(step, resource)
        parts.append({s.part for s in (await stage.look()).objects})
    swept = stage.runner.done[-4:]
    for one in reversed(swept[1:]):
        parts.pop()
        await stage.runner.undo([one])
        assert {s.part for s in (await stage.look()).objects} == parts[-1]


async def test_capacity_is_counted_and_refused(tmp_path: Path) -> None:
    stage = a_stage(tmp_path, capacity={"memory": "3GB", "cpu": 4})
    await stage.bring((entry("web", "container", specs={"memory": "1GB", "replicas": 2}),))
    capacity = (await stage.look()).capacity
    assert (capacity.memory_bytes, capacity.memory_bytes_free) == (3 * 2**30, 2**30)
    assert (capacity.cpu_millicores_free, capacity.disk_bytes) == (4000, None)
    before = await stage.harness.world()
    with pytest.raises(Refused, match="short of 1073741824 memory"):
        await stage.bring((entry("web", "container", specs={"memory": "2GB", "replicas": 2}),))
    assert await stage.harness.world() == before


async def test_a_port_that_another_holds_stops_the_start(tmp_path: Path) -> None:
    stage = await started(tmp_path, (entry("one", "container", specs=WEB),))
    with pytest.raises(Refused, match="port 8080/tcp is already held by simulation/container:prod-shop-one"):
        await stage.bring((entry("one", "container", specs=WEB), entry("two", "container", specs=WEB)))


async def test_health_is_what_the_specs_and_the_target_say(tmp_path: Path) -> None:
    stage = a_stage(tmp_path, health={"prod-shop-told": "suspended"})
    wishes = {"slow": "slow", "never": "never", "healthy": "healthy", "told": "healthy"}
    entries = [entry(n, "container", specs={"simulate": {"health": w}}) for n, w in wishes.items()]
    await stage.runner.apply(await stage.effects(entries))
    probe = Probe(ProbeKind.PLATFORM)
    seen: dict[str, list[str]] = {}
    for name in wishes:
        key = ObjectKey("simulation/container", f"prod-shop-{name}")
        seen[name] = [str((await stage.engine.check(key, probe)).state) for _ in range(4)]
    assert seen == {
        "slow": ["progressing"] * 3 + ["healthy"],
        "never": ["degraded"] * 4,
        "healthy": ["healthy"] * 4,
        "told": ["suspended"] * 4,
    }


async def test_latency_is_waited_for_in_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    stage = a_stage(tmp_path, latency_ms=250)
    monkeypatch.setattr(asyncio, "sleep", wait)
    await stage.engine.about()
    await stage.look()
    assert waited == [0.25, 0.25]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"latencyms": 1}, "targets.one has no key latencyms; did you mean latency_ms?"),
        ({"latency_ms": -1}, "targets.one.latency_ms must be a whole number"),
        ({"path": 1}, "targets.one.path must be text"),
        ({"capacity": []}, "targets.one.capacity must be a map"),
        ({"capacity": {"ram": "1GB"}}, "targets.one.capacity has no key ram"),
        ({"capacity": {"memory": 1}}, "targets.one.capacity: 1 is no size"),
        ({"fail": {}}, "targets.one.fail must be a list"),
        ({"fail": [{}]}, "targets.one.fail.0 needs either call or match"),
        ({"fail": [{"call": 1, "match": "x"}]}, "targets.one.fail.0 needs either call or match"),
        ({"fail": [{"call": 0}]}, "targets.one.fail.0.call must be a whole number"),
        ({"fail": [{"match": "x", "when": "later"}]}, "targets.one.fail.0.when must be before or after"),
        ({"fail": [{"match": "x", "error": "bang"}]}, "targets.one.fail.0.error must be one of transient"),
        ({"fail": [{"match": "x", "times": -1}]}, "targets.one.fail.0.times must be a whole number"),
        ({"health": {"web": "fine"}}, "targets.one.health.web must be one of healthy"),
    ],
)
def test_a_mistake_in_the_target_is_told(tmp_path: Path, config: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SimulationEngine.open(binding(tmp_path, **config))
    assert text in str(caught.value)


async def test_the_state_file_is_where_the_target_says(tmp_path: Path) -> None:
    stage = a_stage(tmp_path, path=str(tmp_path / "here.json"))
    await stage.bring((entry("web", "container"),))
    assert (tmp_path / "here.json").exists()
