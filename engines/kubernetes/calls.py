"""Carries out one step: fills and judges its body, then sends exactly one request. The same op twice has one effect."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from controller.blueprint.value import Value, replace
from controller.plan.diff import covers
from controller.plan.resource import Mark, ResourceId
from controller.plan.step import Fence, OpId, Prior, Receipt, ReceiptState, Sealed, Step
from engines.engine import Conflict, EngineError, Refused, Transient, Values
from engines.kubernetes import inventory, lookup, marks, policy, shape
from engines.kubernetes.client import APPLY, MERGE, Client, NotFound, apply_params
from engines.kubernetes.client import Call as Request
from engines.kubernetes.lookup import Lookup
from engines.kubernetes.managed import MANAGER
from engines.kubernetes.objects import place_of
from engines.kubernetes.settings import Settings
from engines.kubernetes.steps import Call, lifecycle_of

# No object ever has this version, so an apply that names it can only create (seen on 1.34: 201, else 409).
CREATE_ONLY = "1"


class Calls:
    """The mutating half of one cluster."""

    def __init__(self, client: Client, found: Lookup, settings: Settings, install: str) -> None:
        self._client = client
        self._lookup = found
        self._settings = settings
        self._install = install

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends the step's request once. The filled body is judged right before (I38), and the fence (I14)."""
        verb = Call(str(step.request["call"]))
        if verb is Call.DELETE:
            return await self._delete(op, step, prior, fence)
        if verb is Call.APPLY:
            call = await self._applying(op, step, prior, values)
        else:
            call = await self._marking(op, step, prior, verb)
        _hold(fence)
        try:
            found = await self._client.write(op, call)
        except NotFound as error:
            # Its kind or namespace may be on its way; the object itself would be made by the apply.
            coming = verb is Call.APPLY and prior.uid is None
            return await self._earlier(op, step, Transient(str(error), retry_after_s=1.0) if coming else error)
        except Conflict as error:
            return await self._earlier(op, step, error)
        return lookup.done(op, found, step.key)

    async def _earlier(self, op: OpId, step: Step, error: EngineError) -> Receipt:
        """Refused as a conflict: our own earlier request did it already, or it is somebody else's object."""
        found = await self._lookup.find(op, step)
        if found.receipt is None:
            raise error
        return found.receipt

    async def _applying(self, op: OpId, step: Step, prior: Prior, values: Values) -> Request:
        body = await self._filled(step, values)
        if step.key != await self._record(step):
            refused = policy.judge(body, values.allow, ResourceId.parse(str(step.request["resource"])).scope)
            refused += policy.fenced(body, self._settings)
            if refused:
                raise Refused("; ".join(f"{path}: {why}" for path, why in refused))
        marked(body, self._mark(op, step))
        if prior.uid is None:
            body["metadata"]["resourceVersion"] = CREATE_ONLY
        else:
            body["metadata"] |= {"uid": prior.uid, "resourceVersion": prior.version}
        resource = await self._lookup.resource(step.key, str(body["apiVersion"]))
        path = resource.path(*place_of(step.key))
        return Request("PATCH", path, apply_params(), body, APPLY, user=self._lookup.user(step))

    async def _record(self, step: Step) -> object:
        scope = ResourceId.parse(str(step.request["resource"])).scope
        return inventory.key(await self._client.namespace(), self._install, scope)

    async def _filled(self, step: Step, values: Values) -> dict[str, Any]:
        body = replace(values.fill(step.request["body"]), lambda leaf: _opened(leaf, values))
        assert isinstance(body, dict)
        kept = step.request.get("kept")
        if isinstance(kept, tuple | list) and kept and step.expects.uid:
            live = await self._lookup.named(step.key, self._lookup.user(step), str(body["apiVersion"]))
            body = shape.with_kept(body, live or {}, lambda p: any(covers(str(k), p) for k in kept))
        body["metadata"] = dict(body.get("metadata") or {})
        return encoded(body)

    def _mark(self, op: OpId, step: Step) -> Mark:
        resource, secrets = str(step.request["resource"]), step.request.get("secrets") or ()
        assert isinstance(secrets, tuple | list)
        scope = ResourceId.parse(resource).scope
        named = frozenset(str(s) for s in secrets)
        return Mark(self._install, scope, resource, op, lifecycle_of(step.request), secrets=named)

    async def _marking(self, op: OpId, step: Step, prior: Prior, verb: Call) -> Request:
        """The mark alone, taken off or put back; never by apply, which would give our fields up with it."""
        label: str | None = marks.ALMA if verb is Call.REMARK else None
        said: Mapping[str, str | None] = dict.fromkeys(marks.OWN)
        if verb is Call.REMARK:
            said = marks.said_by(self._mark(op, step))
        metadata = {
            "uid": prior.uid,
            "resourceVersion": prior.version,
            "labels": {marks.LABEL: label},
            "annotations": said,
        }
        path = (await self._lookup.resource(step.key)).path(*place_of(step.key))
        params = {"fieldManager": f"{MANAGER}-mark"}
        return Request("PATCH", path, params, {"metadata": metadata}, MERGE, user=self._lookup.user(step))

    async def _delete(self, op: OpId, step: Step, prior: Prior, fence: Fence) -> Receipt:
        uid = step.expects.uid or prior.uid
        if uid is None:
            return Receipt(op, ReceiptState.DONE)
        # What is planned away goes whatever its status does meanwhile; what is made again must still read as planned.
        moved = {"resourceVersion": prior.version} if step.expects.fields and prior.version else {}
        preconditions = {"uid": uid, **moved}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": step.request["propagation"],
        }
        try:
            path = (await self._lookup.resource(step.key)).path(*place_of(step.key))
            _hold(fence)
            found = await self._client.write(op, Request("DELETE", path, body=body, user=self._lookup.user(step)))
        except NotFound:
            return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)
        except Conflict as error:
            return await self._earlier(op, step, error)
        if (found.get("metadata") or {}).get("deletionTimestamp"):
            return lookup.deleting(op, found, step.key, step.expects.uid)
        return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)


def marked(body: dict[str, Any], mark: Mark) -> None:
    """Writes `mark` into a body that is about to be applied."""
    metadata = body["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), marks.LABEL: marks.ALMA}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks.said_by(mark)}


def encoded(body: dict[str, Any]) -> dict[str, Any]:
    """A Secret's `stringData` as `data`: the server's own merging would leave keys behind that are dropped later."""
    if not marks.is_secret(body) or "stringData" not in body:
        return body
    rest = {k: v for k, v in body.items() if k != "stringData"}
    texts = {k: base64.b64encode(str(v).encode()).decode() for k, v in body["stringData"].items()}
    return {**rest, "data": {**(body.get("data") or {}), **texts}}


def _opened(leaf: Value, values: Values) -> Value:
    if not isinstance(leaf, Sealed):
        return leaf
    if values.unseal is None:
        raise Refused("sealed prior state cannot be opened here: there is no key_file")
    opened: Value = orjson.loads(values.unseal(leaf))
    return opened


def _hold(fence: Fence) -> None:
    if not fence.holds():
        raise Transient("the right to change this scope is not surely held any more; nothing was sent")
