"""A step's way to the platform: its request filled, carried out once, and its answer remembered. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from controller.blueprint.value import Secret, Value, markers
from controller.plan.codec import to_json
from controller.plan.diff import agrees
from controller.plan.resource import Fields, Masked, ObjectKey, Part
from controller.plan.step import Expect, OpId, Receipt, ReceiptState, Sealed, Step
from engines.engine import Binding, Conflict, Found, FoundState, Refused, Values
from engines.simulation.calls import Call, perform
from engines.simulation.record import outputs, seen_of, values
from engines.simulation.world import Data, Record

_FILLED = ("fields", "pending")


def filled(step: Step, given: Values, binding: Binding) -> tuple[dict[str, Any], frozenset[str]]:
    """The request as the state file takes it, and the paths of `fields` that hold secret values. A secret arrives as
    its keyed hash: the platform keeps no value (I27). Raises Refused when a value is missing."""
    request: dict[str, Any] = {}
    secrets: set[str] = set()
    for name, value in step.request.items():
        if name in _FILLED and isinstance(value, Mapping):
            request[name] = {p: _stored(v, given, binding) for p, v in value.items()}
            secrets |= {p for p, v in value.items() if _is_secret(v)}
        else:
            request[name] = to_json(given.fill(value))
    return request, frozenset(secrets)


def _is_secret(value: Value) -> bool:
    return isinstance(value, Sealed | Masked) or any(isinstance(m, Secret) for m in markers(value))


def _stored(value: Value, given: Values, binding: Binding) -> Any:
    if isinstance(value, Sealed):
        if given.unseal is None:
            raise Refused("sealed prior state cannot be opened here: there is no key_file")
        return orjson.loads(given.unseal(value))
    real = given.fill(value)
    if not _is_secret(value) or isinstance(value, Masked):
        return to_json(real)
    text = real if isinstance(real, str) else orjson.dumps(to_json(real)).decode()
    return to_json(binding.mask(text))


def must_expect(expects: Expect, step: Step, record: Record | None, install: str) -> None:
    """Raises Conflict unless what the plan was made against still stands."""
    if expects.absent:
        if record is not None:
            raise Conflict(f"{step.key} is there already: {record['uid']}")
        return
    if record is None:
        raise Conflict(f"{step.key} is gone")
    if expects.uid is None:
        _must_be_own(step, record, install)
        return
    if record["uid"] != expects.uid:
        raise Conflict(f"{step.key} is now another object: {record['uid']}, planned was {expects.uid}")
    if step.request["call"] not in ("mark", "restore") and (record["mark"] or {}).get("install") != install:
        raise Conflict(f"{step.key} is not ours any more")
    _must_read(expects.fields, step.key, record)


def _must_be_own(step: Step, record: Record, install: str) -> None:
    mark = record["mark"] or {}
    if (mark.get("install"), mark.get("resource")) != (install, step.request.get("resource")):
        raise Conflict(f"{step.key} belongs to another")


def _must_read(planned: Fields, key: ObjectKey, record: Record) -> None:
    if not planned:
        return
    live = seen_of(record)
    coming = {**live.fields, **live.pending}
    for path, value in planned.items():
        found = coming.get(path)
        if (found is None) != (value is None) or (value is not None and not agrees(value, found)):
            raise Conflict(f"{path} of {key} is not what the plan was made against")


def carry_out(data: Data, call: Call) -> Receipt:
    """Perform a call for the first time, and write it into the ledger. Raises Conflict or Refused."""
    before = data["objects"].get(str(call.key))
    uid = before["uid"] if before else None
    wish = {**(before["fields"] if before else {}), **call.request.get("fields", {})}
    fails = wish.get("simulate.fail") == call.name
    record = perform(data, call) if not fails or call.name == "create" else before
    if record is not None and fails and call.name == "create":
        record["broken"] = True
    polls = int(wish.get("simulate.task_polls") or 0)
    if record is not None and polls:
        record["task"] = call.op
    row = {"op": call.op, "call": call.name, "key": str(call.key), "uid": record["uid"] if record else uid}
    data["ledger"].append(row)
    after = f"{record['kind']}:{record['name']}" if record else row["key"]
    data["ops"][call.op] = {
        "call": call.name,
        "key": after,
        "uid": row["uid"],
        "left": polls,
        "of": polls,
        "fails": fails,
    }
    answer = receipt(data, call.op)
    assert answer is not None
    return answer


def told(record: Record | None) -> dict[str, Value]:
    """Outputs of one that others may use now; a stopped or replaced one tells none."""
    if record is None or record["running"] is False or record["part"] == Part.KEPT.value:
        return {}
    return outputs(record, values(record["fields"]))


def receipt(data: Data, op: OpId) -> Receipt | None:
    """What the platform answers about a request it got; None if it never did."""
    row = data["ops"].get(op)
    if row is None:
        return None
    if row["left"]:
        progress = 100 * (row["of"] - row["left"]) // row["of"]
        return Receipt(op, ReceiptState.RUNNING, op, row["uid"], progress=progress)
    if row["fails"]:
        text = f"simulated failure of {row['call']} (specs.simulate.fail)"
        return Receipt(op, ReceiptState.FAILED, op, row["uid"], message=text)
    record = data["objects"].get(row["key"])
    outputs_now = told(record) if record and record["uid"] == row["uid"] else {}
    return Receipt(op, ReceiptState.DONE, op, row["uid"], outputs_now, 100)


def tick(data: Data, op: OpId) -> bool:
    """One poll's worth of progress; True if that changed anything. At the end the object is free again."""
    row = data["ops"].get(op)
    if row is None or not row["left"]:
        return False
    row["left"] -= 1
    if not row["left"]:
        for record in data["objects"].values():
            if record["task"] == op:
                record["task"] = None
    return True


def found(data: Data, op: OpId, step: Step, install: str) -> Found:
    """What became of a request, read from the platform alone."""
    answer = receipt(data, op)
    if answer is not None:
        return Found(FoundState.ACTED, answer)
    record = data["objects"].get(str(step.key))
    if step.expects.absent:
        return Found(FoundState.TAKEN if record else FoundState.NOT_YET)
    if step.expects.uid is None:
        return _found_own(op, step, record, install)
    return _found_by_uid(data, op, step, record)


def _found_own(op: OpId, step: Step, record: Record | None, install: str) -> Found:
    if record is None:
        return Found(FoundState.NOT_YET)
    try:
        _must_be_own(step, record, install)
    except Conflict:
        return Found(FoundState.TAKEN)
    return _reached(op, step, record)


def _found_by_uid(data: Data, op: OpId, step: Step, record: Record | None) -> Found:
    call = step.request["call"]
    if call == "rename" and record is None:
        moved = data["objects"].get(f"{step.key.kind}:{step.request['to']}")
        if moved is not None and moved["uid"] == step.expects.uid:
            return _acted(op, moved)
    if call == "remove" and (record is None or record["uid"] != step.expects.uid):
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, op, step.expects.uid))
    if record is None:
        return Found(FoundState.NOT_YET)
    if record["uid"] != step.expects.uid:
        return Found(FoundState.TAKEN)
    return _reached(op, step, record)


def _reached(op: OpId, step: Step, record: Record) -> Found:
    """A power state already reached counts as acted: no platform keeps a mark of such a request."""
    reached = {"start": True, "stop": False}.get(str(step.request["call"]))
    return _acted(op, record) if reached is not None and record["running"] is reached else Found(FoundState.NOT_YET)


def _acted(op: OpId, record: Record) -> Found:
    done = Receipt(op, ReceiptState.DONE, op, record["uid"], told(record), 100)
    return Found(FoundState.ACTED, done)
