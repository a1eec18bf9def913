"""The inverse of each step, from what was read right before it (`Prior`) and what came back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.blueprint.value import Value
from controller.plan.step import Expect, Phase, Prior, Receipt, Step
from engines.proxmox import guest, observe, rules
from engines.proxmox.guest import Change
from engines.proxmox.steps import Call, frozen

Request = Mapping[str, Value]
_MASK = "**********"


def inverse(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """The steps that put `prior` back. What a guest was given since it was made goes with it; a volume that grew and
    what RETIRE removed have no way back; an image stays."""
    call = Call(str(step.request["call"]))
    if step.phase is Phase.RETIRE or call not in _INVERSES:
        return ()
    return _INVERSES[call](step, prior, receipt)


def change_of(request: Request) -> Change:
    """What a configuration step changes."""
    fields, unset, remove = request.get("set"), request.get("unset"), request.get("remove")
    return Change(
        fields if isinstance(fields, Mapping) else {},
        tuple(map(str, unset)) if isinstance(unset, tuple | list) else (),
        tuple(map(str, remove)) if isinstance(remove, tuple | list) else (),
    )


def _step(step: Step, call: Call, uid: str | None, more: Request) -> Step:
    request: dict[str, Value] = {"call": call.value, "resource": step.request.get("resource"), **more}
    if uid is None and "vmid" in step.request:
        request["vmid"] = step.request["vmid"]
    return replace(step, phase=Phase.CUT, expects=Expect(uid=uid), request=frozen(request), check=None, reversible=True)


def _again(step: Step, more: Request) -> Step:
    """The same call with other values."""
    return _step(step, Call(str(step.request["call"])), step.expects.uid, {**step.request, **more})


def _made(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """It is told by the op that made it, whether or not its answer arrived."""
    uid = f"{step.request['vmid']}.{receipt.op}"
    fields = step.request.get("set")
    gone = _step(step, Call.DESTROY, uid, {"undo": True})
    if not (isinstance(fields, Mapping) and fields.get("protection")):
        return (gone,)
    return (_step(step, Call.CONFIG, uid, {"raw": {"protection": "0"}, "delete": (), "undo": True}), gone)


def _config(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """Every key that the step touched, as it was; a disk it added is destroyed with its volume, as it held nothing."""
    then = prior.state.get("then")
    assert isinstance(then, Mapping)
    kind = guest.KINDS[step.key.kind]
    if "raw" in step.request:
        return ()
    keys = guest.touched(kind, change_of(step.request), then) | {"description", "tags", guest.name_key(kind)}
    raw = {k: then[k] for k in sorted(keys) if k in then and then[k] != _MASK}
    delete = tuple(sorted(k for k in keys if k not in then))
    uid = step.expects.uid
    if uid is not None and step.request.get("mark") is None:
        uid = str(observe.vmid_of(uid))  # it was forgotten, and with the marker its birth
    return (_step(step, Call.CONFIG, uid, {"raw": raw, "delete": delete}),)


def _started(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """What this run has made itself may be cut off; what was there before is asked."""
    stop = step.request.get("stop")
    own = isinstance(stop, Mapping) and stop.get("own")
    return (_step(step, Call.STOP if own else Call.SHUTDOWN, step.expects.uid, {"stop": stop}),)


def _shut_down(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    """Started again; before that the disks go back to the snapshot where the policy says so."""
    if prior.state.get("runs") is not True:
        return ()
    stop = step.request.get("stop")
    shot = stop.get("rollback") if isinstance(stop, Mapping) else None
    back = (_step(step, Call.ROLLBACK, step.expects.uid, {"snapshot": shot}),) if shot else ()
    return (*back, _step(step, Call.START, step.expects.uid, {"stop": stop}))


def _snapshot(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    more: dict[str, Value] = {"snapshot": step.request["snapshot"], "undo": True}
    return (_step(step, Call.DELETE_SNAPSHOT, step.expects.uid, more),)


def _member(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_again(step, {"pool": step.request["from"], "from": step.request["pool"]}),)


def _ha(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_again(step, {"ha": step.request["from"], "from": step.request["ha"]}),)


def _firewall(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_again(step, {"set": step.request["from"], "from": step.request["set"]}),)


def _rule(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    known = ("edit", "pos", "before", "after", "rule", "to", "enable")
    bare = replace(step, request={k: v for k, v in step.request.items() if k not in known})
    return tuple(_again(bare, edit) for edit in rules.inverse(step.request))


def _made_pool(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.REMOVE_POOL, f"{step.key.name}.{receipt.op}", {"undo": True}),)


def _made_job(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    return (_step(step, Call.REMOVE_JOB, f"{step.key.name}.{receipt.op}", {"undo": True}),)


def _updated(step: Step, prior: Prior, receipt: Receipt) -> tuple[Step, ...]:
    uid = step.expects.uid
    if uid is not None and step.request.get("mark") is None:
        uid = step.key.name
    return (_step(step, Call(str(step.request["call"])), uid, {"raw": prior.state["row"]}),)


_INVERSES: Mapping[Call, Callable[[Step, Prior, Receipt], tuple[Step, ...]]] = {
    Call.CREATE: _made,
    Call.CLONE: _made,
    Call.CONFIG: _config,
    Call.START: _started,
    Call.SHUTDOWN: _shut_down,
    Call.SNAPSHOT: _snapshot,
    Call.MEMBER: _member,
    Call.HA: _ha,
    Call.FIREWALL: _firewall,
    Call.RULE: _rule,
    Call.CREATE_POOL: _made_pool,
    Call.UPDATE_POOL: _updated,
    Call.CREATE_JOB: _made_job,
    Call.UPDATE_JOB: _updated,
}
