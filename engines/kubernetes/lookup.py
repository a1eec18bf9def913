"""What stands on a cluster, asked one object at a time: before a step (`prior`), after a crash (`find`), while a
deletion goes on (`poll`). Decided from key, mark and uid on the cluster, never from memory. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from controller.blueprint.value import Value
from controller.plan.resource import Masked, ObjectKey
from controller.plan.step import Expect, OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, Found, FoundState, Refused, Seal
from engines.kubernetes import health, managed, marks, observe, shape
from engines.kubernetes.client import Call as Request
from engines.kubernetes.client import Client, Denied, NotFound
from engines.kubernetes.discovery import Discovery, Resource
from engines.kubernetes.objects import Raw, flat, frozen, kind_of, place_of, uid_of
from engines.kubernetes.settings import Settings
from engines.kubernetes.steps import Call

_NOT_YET = Found(FoundState.NOT_YET)
_TAKEN = Found(FoundState.TAKEN)
_TASK = "delete"


class Lookup:
    """The reading half of one cluster's steps."""

    def __init__(
        self, client: Client, discovery: Discovery, settings: Settings, install: str, mask: observe.Mask
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._settings = settings
        self._install = install
        self._mask = mask

    def user(self, step: Step) -> str:
        """Who the requests of a step are made as: its scope's account, or ourselves for the scope's record."""
        scope, blueprint, _ = str(step.request["resource"]).split("/")
        return "" if blueprint == "alma" else self._settings.user(scope)

    async def resource(self, key: ObjectKey, api_version: str = "") -> Resource:
        """How the kind of `key` is served. Raises Conflict where it is not."""
        kind = kind_of(key)
        served = await self._discovery.served([kind])
        found = served.resource(kind, api_version)
        if found is None:
            raise NotFound(f"the cluster serves no {kind}{f' in {api_version}' if api_version else ''}")
        return found

    async def named(self, key: ObjectKey, user: str, api_version: str = "") -> Raw | None:
        """The object under `key`, or None."""
        try:
            path = (await self.resource(key, api_version)).path(*place_of(key))
            found: Raw = await self._client.object(Request("GET", path, user=user))
        except NotFound:
            return None
        return found

    async def prior(self, step: Step, seal: Seal) -> Prior:
        """What stands there now. Raises Conflict if it is not what the step expects. What must be absent is not looked
        for: the request itself can only create, which no reading before it could promise."""
        if step.expects.absent:
            return Prior()
        found = await self.named(step.key, self.user(step), _version(step))
        if step.request.get("made_by"):
            mine = found is not None and marks.op_of(found) == step.request["made_by"]
            return Prior(uid=uid_of(found)) if found is not None and mine else Prior()
        live = self._expected(step, found)
        return Prior(uid_of(live), str(live["metadata"]["resourceVersion"]), self._state(step, live, seal))

    def _expected(self, step: Step, found: Raw | None) -> Raw:
        """`found`, if it is what the step was planned against."""
        if found is None:
            raise Conflict(f"{step.key} is gone")
        mark = marks.read(found, self._install)
        if step.expects.uid is None:
            if mark is None or mark.resource != step.request["resource"]:
                raise Conflict(f"{step.key} is not what this run has made")
        elif uid_of(found) != step.expects.uid:
            raise Conflict(f"{step.key} is now another object: {uid_of(found)}, planned was {step.expects.uid}")
        verb = Call(str(step.request["call"]))
        if verb is not Call.DELETE and found["metadata"].get("deletionTimestamp"):
            raise Conflict(f"{step.key} is being deleted")
        if verb in (Call.DELETE, Call.UNMARK) and mark is None:
            raise Conflict(f"{step.key} is not ours any more")
        self._check_fields(step.expects, step.key, found)
        return found

    def _check_fields(self, expects: Expect, key: ObjectKey, found: Raw) -> None:
        live = observe.fields_of(found, self._mask) if expects.fields else {}
        for path, planned in expects.fields.items():
            if not _same(planned, live.get(path)):
                raise Conflict(f"{key}: {path} has changed since the plan")

    def _state(self, step: Step, live: Raw, seal: Seal) -> dict[str, Value]:
        """Our own fields as they are, what others had set where this step writes, and the mark."""
        own = managed.own(live)
        ours = flat(own)
        body = step.request.get("body") or {}
        theirs = shape.picked(body, live, lambda p: p not in ours and bool(managed.others(live, p)))
        restored = shape.laid_over(own, _content(theirs or {}))
        mark = marks.read(live, self._install)
        return {
            "body": frozen(_sealed(_named(_content(restored), step.key, live), live, seal)),
            "mark": None
            if mark is None
            else {
                "resource": mark.resource,
                "protect": mark.lifecycle.protect,
                "on_delete": mark.lifecycle.on_delete.value,
                "secrets": tuple(sorted(mark.secrets)) if not marks.is_secret(live) else (),
            },
        }

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`, once no request of it is under way any more."""
        await self._client.settled(op)
        found = await self.named(step.key, self.user(step), _version(step))
        verb = Call(str(step.request["call"]))
        if verb is Call.DELETE:
            return self._find_deleted(op, step, found)
        if found is not None and marks.op_of(found) == op and marks.read(found, self._install):
            return Found(FoundState.ACTED, done(op, found, step.key))
        if found is None:
            return _NOT_YET
        if step.expects.absent:
            return _TAKEN
        if step.expects.uid is not None and uid_of(found) != step.expects.uid:
            return _TAKEN
        if verb is Call.UNMARK and marks.read(found, self._install) is None:
            return Found(FoundState.ACTED, done(op, found, step.key))
        return _NOT_YET

    def _find_deleted(self, op: OpId, step: Step, found: Raw | None) -> Found:
        uid, made_by = step.expects.uid, step.request.get("made_by")
        mine = found is not None and (uid_of(found) == uid if uid else not made_by or marks.op_of(found) == made_by)
        if found is None or not mine:
            return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid))
        if found["metadata"].get("deletionTimestamp"):
            return Found(FoundState.ACTED, deleting(op, found, step.key, uid))
        return _NOT_YET

    async def poll(self, receipt: Receipt) -> Receipt:
        """How far a deletion has come; a finalizer that holds it is named."""
        word, _, rest = (receipt.task or "").partition("|")
        if receipt.state is not ReceiptState.RUNNING:
            return receipt
        if word != _TASK:
            return Receipt(receipt.op, ReceiptState.VANISHED, receipt.task)
        kind, name, uid = rest.split("|")
        found = await self.anyone(ObjectKey(kind, name))
        if found is None or uid_of(found) != uid:
            return Receipt(receipt.op, ReceiptState.DONE, receipt.task, receipt.uid)
        return Receipt(receipt.op, ReceiptState.RUNNING, receipt.task, receipt.uid, message=health.of(found).reason)

    async def anyone(self, key: ObjectKey) -> Raw | None:
        """The object under `key`, read with whichever of our rights reach it."""
        for user in self._settings.users():
            try:
                return await self.named(key, user)
            except Denied as error:
                last = error
        raise Refused(str(last))


def done(op: OpId, found: Raw, key: ObjectKey) -> Receipt:
    """The receipt of a write, with what others may refer to."""
    return Receipt(op, ReceiptState.DONE, uid=uid_of(found), outputs=observe.outputs(found, key))


def deleting(op: OpId, found: Raw, key: ObjectKey, uid: str | None) -> Receipt:
    """The receipt of a deletion that still goes on."""
    task = "|".join((_TASK, key.kind, key.name, uid_of(found)))
    return Receipt(op, ReceiptState.RUNNING, task, uid, message=health.of(found).reason)


def _version(step: Step) -> str:
    body = step.request.get("body")
    return str(body.get("apiVersion", "")) if isinstance(body, Mapping) else ""


def _same(planned: Value, live: Value) -> bool:
    if isinstance(planned, Masked) and isinstance(live, Masked):
        return planned.keyed_hash is None or live.keyed_hash is None or planned == live
    return bool(_listed(planned) == _listed(live))


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def _content(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without marks, status and what only the platform says."""
    metadata = body.get("metadata") or {}
    kept = {}
    for name in ("labels", "annotations"):
        said = {k: v for k, v in (metadata.get(name) or {}).items() if not marks.is_own(f"metadata.{name}.{k}")}
        if said:
            kept[name] = said
    rest = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {**rest, "metadata": kept}


def _named(body: dict[str, Any], key: ObjectKey, live: Raw) -> dict[str, Any]:
    namespace, name = place_of(key)
    where = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **where, **body["metadata"]}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], **body, "metadata": metadata}


def _sealed(body: dict[str, Any], live: Raw, seal: Seal) -> dict[str, Any]:
    """Secret values only as sealed text (I27)."""
    secret = marks.secret_paths(live)
    if marks.is_secret(live):
        return {**body, "data": seal.seal(orjson.dumps(body["data"]))} if body.get("data") else body
    if not secret:
        return body
    sealed: dict[str, Any] = shape.mapped(body, lambda p, v: seal.seal(orjson.dumps(v)) if p in secret else v)
    return sealed
