"""What is true of an estate, told so that two of them can be compared, and what must never be true of any (H1 … H9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Any

from controller.forges.local import LocalForge
from controller.journal.projections import SEALED_OP
from controller.plan.resource import ObjectKey
from controller.plan.step import OpId, Receipt, ReceiptState, op_id
from controller.runtime.records import IprRecord, RunRecord
from controller.runtime.run import Intended, RunState, RunWord
from controller.runtime.run_machine import advance, open_intents
from engines.simulation import tamper as by_hand
from engines.simulation.world import World
from tests.controller.runtime.estate import Estate

_CALM = frozenset((RunWord.DONE, RunWord.UNDONE, RunWord.SUPERSEDED, RunWord.CANCELLED))


async def story(home: Estate) -> dict[str, Any]:
    """What people can see, without what differs from time to time (ids, versions, times)."""
    scope = await home.scope()
    return {
        "world": {key: _plain(record) for key, record in home.world.items()},
        "sync": scope.sync,
        "quarantined": len(scope.quarantine),
        "ends": sorted({r.word for r in await home.runs() if r.word is not RunWord.SUPERSEDED}),
        "superseded": sum(r.word is RunWord.SUPERSEDED for r in await home.runs()),
        "pulls": [await _pull(home, record) for record in await _pulls(home)],
        "branches": sorted(Counter(b.rpartition("-")[0] or b for b in await _branches(home)).items()),
    }


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("fields", "pending", "part", "running", "task", "broken")
    mark = record["mark"] or {}
    return {k: record[k] for k in kept} | {"mark": {k: v for k, v in mark.items() if k != "op"}}


async def _pulls(home: Estate) -> list[IprRecord]:
    return sorted(await home.controller.install.records.all(IprRecord), key=lambda r: r.number)


async def _branches(home: Estate) -> list[str]:
    return sorted((await home.controller.mirrors["infra"].refs()).branches)


async def _pull(home: Estate, record: IprRecord) -> dict[str, Any]:
    forge = home.controller.forges["infra"]
    assert isinstance(forge, LocalForge)
    bodies = [c.body for c in await forge.comments(record.number)]
    words = [w for b in bodies for w in RunWord if f"Final state: {w}" in b]
    statuses = {s.context: s.state for s in await forge.statuses(record.head_sha)}
    return {
        "state": record.state,
        "comments": len(bodies),
        "finals": sum(b.count("Final state:") for b in bodies),
        "said": words,
        "statuses": dict(sorted(statuses.items())),
    }


async def wrongs(home: Estate) -> list[str]:
    """What no kill may leave behind."""
    return [*_objects(home), *[w async for w in _runs(home)], *[w async for w in _journal(home)]]


def _objects(home: Estate) -> Iterator[str]:
    """H1: no twin. H9: nothing of a run is left on the target, and no half-written file beside it."""
    resources = Counter(r["mark"]["resource"] for r in home.world.values() if r["mark"])
    for resource, count in resources.items():
        if count > 1:
            yield f"{count} objects of {resource}"
    for key, record in home.world.items():
        if record["part"] != "current" or record["task"]:
            yield f"{key} is {record['part']}, task {record['task']}"
    for left in _leftovers(home):
        yield f"{left} is left"


def _leftovers(home: Estate) -> Iterator[str]:
    for file in home.state.rglob("*"):
        if file.name.startswith("tmp_") or (file.suffix in (".new", ".lock") and "mirrors" in file.parts):
            yield file.name


async def _runs(home: Estate) -> AsyncIterator[str]:
    """H2: every run is at an end, every op known. H8: nothing stands in the way of the next one."""
    install = home.controller.install
    for run in await home.runs():
        if run.word not in _CALM:
            yield f"run {run.run} is {run.word}: {run.reason}"
        state = await _state(home, run)
        if state is not None and (not state.word.ended or open_intents(state)):
            yield f"run {run.run} has open intents {open_intents(state)}, machine {state.word}"
    scope = await home.scope()
    if scope.run or scope.parked or scope.waiting:
        yield f"scope holds run {scope.run}, parked {scope.parked}, waiting {scope.waiting}"
    install.leases.take("prod").release()


async def open_ops(home: Estate) -> list[str]:
    """Ops that were sent, and whose end nobody knows."""
    states = [(run.run, await _state(home, run)) for run in await home.runs()]
    return [f"{run}: {ref}" for run, state in states if state is not None for ref in open_intents(state)]


async def _journal(home: Estate) -> AsyncIterator[str]:
    """H5: the chain holds. I27: no prior state is kept that no undo can need."""
    journal = home.controller.install.journal
    report = await journal.verify()
    for damage in report.damages:
        yield f"journal: {damage}"
    for op in await journal.documents(SEALED_OP):
        yield f"prior state of {op} is still sealed in the journal"


async def unannounced(home: Estate) -> list[str]:
    """H6: requests the platform accepted whose intent was not durable before."""
    known: set[OpId] = set()
    for run in await home.controller.install.records.all(RunRecord):
        known |= {op async for op in _intents(home, run)}
    ledger = World(home.state / "simulation" / "sim.json").read()["ledger"]
    return [f"{row['call']} {row['key']} was sent without an intent" for row in ledger if row["op"] not in known]


async def _state(home: Estate, run: RunRecord) -> RunState | None:
    state: RunState | None = None
    for event in await home.controller.install.log.read(run.run):
        state, _ = advance(state, event)
    return state


async def _intents(home: Estate, run: RunRecord) -> AsyncIterator[OpId]:
    state: RunState | None = None
    for event in await home.controller.install.log.read(run.run):
        state, _ = advance(state, event)
        if isinstance(event, Intended):
            yield _op(home, state, event)


def _op(home: Estate, state: RunState, event: Intended) -> OpId:
    ref = event.ref
    work = state.works[ref.work]
    step = work.change.effect.steps[ref.step].for_run(work.short)
    forward = op_id(work.run, work.change.target, step.key, ref.step)
    if ref.undo < 0:
        return forward
    sent = state.ops[replace(ref, undo=-1)]
    receipt = sent.receipt or Receipt(forward, ReceiptState.VANISHED)
    inverse = home.controller.install.engines[work.change.target].inverse(step, sent.prior, receipt)[ref.undo]
    return op_id(work.run, work.change.target, inverse.key, ref.step * 100 + ref.undo, undo=True)


async def still_heals(home: Estate) -> list[str]:
    """H8: the next run starts and does its work: an object taken away by hand comes back."""
    victim = next((k for k in sorted(home.world) if "/container:" in k), None)
    if victim is None:
        return []
    kind, _, name = victim.partition(":")
    await by_hand.remove(World(home.state / "simulation" / "sim.json"), ObjectKey(kind, name))
    await home.ask("reconcile", scope="prod")
    await home.settle(60)
    return [] if victim in home.world else [f"{victim} was not healed afterwards: {(await home.scope()).message}"]
