"""What is remembered before a step, and the steps that put it back. Pure but for the seal it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from controller.blueprint.value import Value
from controller.plan.resource import ObjectKey, Part
from controller.plan.step import Expect, Phase, Prior, Receipt, ReceiptState, Step
from engines.engine import Seal
from engines.simulation.record import uid_of, values
from engines.simulation.world import Record


def remembered(record: Record | None, seal: Seal) -> Prior:
    """Everything `inverse` may need of one object. A secret's keyed hash is sealed, as a real platform's value is."""
    if record is None:
        return Prior()
    mark = record["mark"]
    secret = frozenset(mark["secrets"]) if mark else frozenset()
    state: dict[str, Value] = {
        "name": record["name"],
        "part": record["part"],
        "running": record["running"],
        "fields": _sealed(record["fields"], secret, seal),
        "pending": _sealed(record["pending"], secret, seal),
        "mark": {k: tuple(v) if isinstance(v, list) else v for k, v in mark.items()} if mark else None,
    }
    return Prior(uid=record["uid"], version=str(record["version"]), state=state)


def _sealed(stored: Mapping[str, Any], secret: frozenset[str], seal: Seal) -> dict[str, Value]:
    return {p: seal.seal(orjson.dumps(v)) if p in secret else values({p: v})[p] for p, v in stored.items()}


def inverse(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """The steps that put `prior` back; none after a RETIRE, and none where the step changed nothing."""
    if step.phase is Phase.RETIRE:
        return ()
    call = step.request["call"]
    if call == "create":
        return _unmade(step, receipt)
    if receipt.state is ReceiptState.FAILED:
        return ()  # of all calls only a create leaves something half done here
    if call == "remove":
        return _made_again(step, prior)
    if call == "rename":
        return _named_back(step, prior)
    if call in ("start", "stop"):
        return _powered_back(step, prior, was_running=prior.state.get("running") is True)
    return (_restored(step, prior),)


def _unmade(step: Step, receipt: Receipt) -> tuple[Step, ...]:
    """An answer that was lost names no uid, but the request decides it."""
    uid = receipt.uid or uid_of(receipt.op)
    return (Step(Phase.CUT, step.key, Expect(uid=uid), {"call": "remove"}),)


def _powered_back(step: Step, prior: Prior, was_running: bool) -> tuple[Step, ...]:
    if was_running is (step.request["call"] == "start"):
        return ()
    call = "start" if was_running else "stop"
    back = Step(Phase.CUT, step.key, Expect(uid=prior.uid), {"call": call})
    if call == "stop" and prior.state.get("pending"):
        return (back, _restored(step, prior))  # its start took what was pending
    return (back,)


def _named_back(step: Step, prior: Prior) -> tuple[Step, ...]:
    to = ObjectKey(step.key.kind, str(step.request["to"]))
    request: dict[str, Value] = {"call": "rename", "to": step.key.name, "part": prior.state["part"]}
    mark = prior.state["mark"]
    if "moves" in step.request and isinstance(mark, Mapping):
        request["moves"] = mark["resource"]
    return (Step(Phase.CUT, to, Expect(uid=prior.uid), request),)


def _restored(step: Step, prior: Prior) -> Step:
    """Only what this step touched: its paths, what is pending, and the mark."""
    fields = _mapping(prior.state["fields"])
    touched = _touched(step, prior)
    request: dict[str, Value] = {
        "call": "restore",
        "fields": {p: fields[p] for p in touched if p in fields},
        "unset": tuple(p for p in touched if p not in fields),
        "pending": prior.state["pending"],
        "mark": prior.state["mark"],
    }
    left = dict(_mapping(step.request.get("fields", {})))
    return Step(Phase.CUT, step.key, Expect(uid=prior.uid, fields=left), request)


def _touched(step: Step, prior: Prior) -> tuple[str, ...]:
    unset = step.request.get("unset", ())
    named = (*_mapping(step.request.get("fields", {})), *(unset if isinstance(unset, list | tuple) else ()))
    booted = _mapping(prior.state["pending"]) if step.request["call"] in ("reboot", "start") else {}
    return tuple(sorted({*map(str, named), *booted}))


def _made_again(step: Step, prior: Prior) -> tuple[Step, ...]:
    """The object from its prior state: the same in all but its uid."""
    mark = prior.state["mark"]
    if not isinstance(mark, Mapping):
        return ()
    request: dict[str, Value] = {
        "call": "create",
        "resource": mark["resource"],
        "protect": mark["protect"],
        "on_delete": mark["on_delete"],
        "fields": prior.state["fields"],
        "pending": prior.state["pending"],
        "paths": mark["fields"],
        "secrets": mark["secrets"],
        "part": prior.state.get("part", Part.CURRENT.value),
    }
    made = Step(Phase.CUT, step.key, Expect(absent=True), request)
    if prior.state.get("running") is not True:
        return (made,)
    return made, replace(made, expects=Expect(), request={"call": "start", "resource": mark["resource"]})


def _mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}
