"""The inverse of each step, from what was read right before it (`Prior`) and what came back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.blueprint.value import Value
from controller.plan.resource import ObjectKey
from controller.plan.step import Expect, Phase, Prior, Receipt, Step
from engines.docker import container, volume
from engines.docker.steps import Call, frozen


def inverse(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """The steps that put `prior` back. A pull has none: the image stays. What a created container was given since goes
    with it, and what RETIRE removed is gone."""
    call = Call(str(step.request["call"]))
    if step.phase is Phase.RETIRE or call not in _INVERSES:
        return ()
    return _INVERSES[call](step, prior, receipt)


def _step(step: Step, call: Call, uid: str | None, more: Mapping[str, Value], name: str | None = None) -> Step:
    key = step.key if name is None else ObjectKey(step.key.kind, name)
    request: dict[str, Value] = {"call": call.value, **more}
    return replace(step, phase=Phase.CUT, key=key, expects=Expect(uid=uid), request=frozen(request), check=None)


def _lost(receipt: Receipt) -> dict[str, Value]:
    """Where the answer of a create was lost, its op tells what it made, if anything."""
    return {"made_by": receipt.op} if receipt.uid is None else {}


def _created(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.REMOVE, receipt.uid, {"volumes": True, **_lost(receipt)}),)


def _created_network(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.REMOVE_NETWORK, receipt.uid, _lost(receipt)),)


def _created_volume(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.REMOVE_VOLUME, receipt.uid, _lost(receipt)),)


def _noted(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    undo = _step(step, Call.REMOVE_VOLUME, receipt.uid, {"note": True})
    return (replace(undo, key=ObjectKey(volume.KIND, step.key.name)),)


def _updated(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    before = prior.state["fields"]
    assert isinstance(before, Mapping)
    body = container.limits_body(before, before)
    return (_step(step, Call.UPDATE, prior.uid, {"body": body, "fields": dict(before)}),)


def _started(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    if prior.state.get("running"):
        return ()
    return (_step(step, Call.STOP, prior.uid, {"grace_s": prior.state.get("stop_grace_s")}),)


def _stopped(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.START, prior.uid, {}),) if prior.state.get("running") else ()


def _renamed(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    now, before = str(step.request["to"]), str(prior.state["name"])
    return (_step(step, Call.RENAME, prior.uid, {"to": before}, now),)


_INVERSES: Mapping[Call, Callable[[Step, Prior, Receipt], tuple[Step, ...]]] = {
    Call.CREATE: _created,
    Call.CREATE_NETWORK: _created_network,
    Call.CREATE_VOLUME: _created_volume,
    Call.NOTE: _noted,
    Call.UPDATE: _updated,
    Call.START: _started,
    Call.STOP: _stopped,
    Call.RENAME: _renamed,
}
