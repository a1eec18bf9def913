"""PURE: the shape of a run without its content. A workflow decides by it, and its history, which many may read, holds
no request, no field and no prior state of anything (I26).

`advance` over outlined events moves through the same words, barriers and legs as over the whole ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.blueprint.entry import Probe, ProbeKind
from controller.blueprint.value import Output, markers
from controller.plan.change import Change, Plan
from controller.plan.step import Effect, Expect, Prior, Receipt, Step
from controller.runtime.run import Acted, Begun, Ended, Event, Intended, Op, OpRef, Work

_NOTHING = Prior()
_CHECKED = Probe(ProbeKind.PLATFORM)  # that something is waited for, not what


def outlined(event: Event) -> Event:
    """`event` with all that only engines need taken out. Reasons of failures stay: they are redacted words."""
    match event:
        case Begun(run, plan, inherited, ops):
            return Begun(run, _plan(plan), tuple(map(_work, inherited)), tuple(_ops(ops)))
        case Intended(ref):
            return Intended(ref, _NOTHING)
        case Acted(ref, receipt):
            return Acted(ref, _receipt(receipt))
        case Ended(ref, receipt):
            return Ended(ref, _receipt(receipt))
        case _:
            return event


def _work(work: Work) -> Work:
    return replace(work, change=_change(work.change))


def _ops(ops: Iterable[tuple[OpRef, Op]]) -> Iterable[tuple[OpRef, Op]]:
    for ref, op in ops:
        yield ref, Op(_NOTHING, _receipt(op.receipt) if op.receipt else None, op.over)


def _receipt(receipt: Receipt) -> Receipt:
    return Receipt(receipt.op, receipt.state)


def _plan(plan: Plan) -> Plan:
    return Plan(plan.scope, plan.revision, tuple(map(_change, plan.changes)), plan.digest, plan.fingerprint)


def _change(change: Change) -> Change:
    effect = change.effect
    shape = Effect(
        resource=effect.resource,
        key=effect.key,
        action=effect.action,
        disruption=effect.disruption,
        steps=tuple(map(_step, effect.steps)),
        probe=_CHECKED if effect.probe else None,
    )
    return Change(shape, change.target, change.wave)


def _step(step: Step) -> Step:
    """Of the request only that it waits for an output of another resource, which decides when it runs."""
    waits = next((m for m in markers(step.request) if isinstance(m, Output)), None)
    return Step(step.phase, step.key, Expect(), {"waits": waits} if waits else {}, step.reversible)
