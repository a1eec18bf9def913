"""What stands on a Docker host, asked one object at a time: before a step (`prior`), after a crash (`find`), while long
work goes on (`poll`). Decided from name, mark and uid on the host, never from memory. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import ObjectKey
from controller.plan.step import OpId, Prior, Receipt, ReceiptState, Step
from engines.docker import config_files, container, marks, network, observe, volume
from engines.docker.client import Client, NotFound
from engines.docker.pulls import Pulls
from engines.docker.steps import Call as Verb
from engines.engine import Conflict, Found, FoundState

Raw = Mapping[str, Any]
_NOT_YET = Found(FoundState.NOT_YET)


class Lookup:
    """The reading half of one Docker host's steps."""

    def __init__(self, client: Client, pulls: Pulls, install: str) -> None:
        self._client = client
        self._pulls = pulls
        self._install = install

    async def prior(self, step: Step) -> Prior:
        """What stands there now. Raises Conflict if it is not what the step expects."""
        verb = Verb(str(step.request["call"]))
        if verb is Verb.PULL or step.request.get("note") or step.request.get("made_by"):
            return Prior()
        if step.expects.absent:
            if (found := await self.named(step.key)) is not None:
                raise Conflict(f"{step.key} is there already (id {uid_of(step.key, found)})")
            return Prior()
        found = await self.addressed(step)
        check_fields(step, found)
        return _prior(step, found)

    async def named(self, key: ObjectKey) -> Raw | None:
        """The object that bears this name, or None. Docker also takes the beginning of an id for a name: not us."""
        try:
            if key.kind == container.KIND:
                found = await self._client.inspect(f"/containers/{key.name}/json")
                return found if observe.name_of(found) == key.name else None
            if key.kind == network.KIND:
                found = await self._client.inspect(f"/networks/{key.name}")
                return found if found.get("Name") == key.name else None
            return await self._client.inspect(f"/volumes/{key.name}", "Name")
        except NotFound:
            return None

    async def addressed(self, step: Step) -> Raw:
        """The object the step is about. Raises Conflict if it is gone, another, or not ours."""
        uid = step.expects.uid
        if uid is None:
            found = await self.named(step.key)
            if found is None:
                raise Conflict(f"{step.key} is not there")
            return self._own(step, found)
        if step.key.kind == volume.KIND:
            found = await self.named(step.key)
        else:
            where = "containers/{}/json" if step.key.kind == container.KIND else "networks/{}"
            found = await self.by_id(f"/{where.format(uid)}")
        if found is None or uid_of(step.key, found) != uid:
            raise Conflict(f"{step.key} with the id {uid[:80]} is not there any more")
        return found

    async def by_id(self, path: str) -> Raw | None:
        """What answers at `path`, or None for a 404."""
        try:
            return await self._client.inspect(path)
        except NotFound:
            return None

    def _own(self, step: Step, found: Raw) -> Raw:
        """`found`, if this run's resource is what it is marked as (I16)."""
        mark = marks.read((found.get("Config") or {}).get("Labels"), self._install)
        if mark is None or mark.resource != step.request.get("resource"):
            raise Conflict(f"{step.key} is not what this run has made")
        return found

    async def has_image(self, reference: str) -> bool:
        """True if the image lies on the host."""
        return await self.by_id(f"/images/{reference}/json") is not None

    async def started(self, op: OpId, uid: str) -> Receipt:
        """The receipt of a start, with what others may refer to."""
        found = await self._client.inspect(f"/containers/{uid}/json")
        told = observe.outputs(found, self._client.address.host)
        return Receipt(op, ReceiptState.DONE, uid=uid, outputs=told)

    async def made_by(self, step: Step) -> str | None:
        """Id of what a request made whose answer was lost, told by its op; None if it made nothing."""
        found = await self.named(step.key)
        if found is None or labels_of(found).get(marks.OP) != step.request.get("made_by"):
            return None
        return uid_of(step.key, found)

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`, once no thread is busy with it any more."""
        await self._client.settled(op)
        verb = Verb(str(step.request["call"]))
        if verb in (Verb.CREATE, Verb.CREATE_NETWORK, Verb.CREATE_VOLUME, Verb.NOTE):
            return await self._find_made(op, step)
        if verb is Verb.PULL:
            return await self._find_pull(op, step)
        found = await self._there(step)
        uid = step.expects.uid if found is None else uid_of(step.key, found)
        if verb is Verb.PUT:
            reached = found is not None and await self._was_put(op, step, found)
        else:
            reached = stands(verb, step.request, found)
        if not reached:
            return Found(FoundState.TAKEN) if await self._is_taken(step, found) else _NOT_YET
        if verb is Verb.START and uid:
            return Found(FoundState.ACTED, await self.started(op, uid))
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid))

    async def _there(self, step: Step) -> Raw | None:
        try:
            return await self.renamed(step) or await self.addressed(step)
        except Conflict:
            return None

    async def renamed(self, step: Step) -> Raw | None:
        """What this run has made, when it bears the name already that the step gives it."""
        if step.request["call"] != Verb.RENAME or step.expects.uid is not None:
            return None
        if await self.named(step.key) is not None:
            return None
        found = await self.named(ObjectKey(step.key.kind, str(step.request["to"])))
        return None if found is None else self._own(step, found)

    async def _was_put(self, op: OpId, step: Step, found: Raw) -> bool:
        """True if every file bears the time that only this op gives."""
        files = step.request["files"]
        assert isinstance(files, Mapping)
        for path in files:
            try:
                content = await self._client.get_bytes(f"/containers/{found['Id']}/archive", {"path": path})
            except NotFound:
                return False
            file = config_files.unpacked(content)
            if file is None or file.time_s != config_files.time_of(op):
                return False
        return True

    async def _is_taken(self, step: Step, found: Raw | None) -> bool:
        """True if another object bears the name that the step is about, or gives."""
        if step.request["call"] == Verb.RENAME and found is not None:
            other = await self.named(ObjectKey(step.key.kind, str(step.request["to"])))
            return other is not None and uid_of(step.key, other) != uid_of(step.key, found)
        if found is not None or step.expects.uid is None:
            return False
        return await self.named(step.key) is not None

    async def _find_made(self, op: OpId, step: Step) -> Found:
        found = await self.named(step.key)
        if found is None:
            return _NOT_YET
        labels = labels_of(found)
        if labels.get(marks.OP) != op or labels.get(marks.INSTALL) != self._install:
            return Found(FoundState.TAKEN)
        told = network.outputs(found) if step.key.kind == network.KIND else {}
        receipt = Receipt(op, ReceiptState.DONE, uid=uid_of(step.key, found), outputs=told)
        return Found(FoundState.ACTED, receipt)

    async def _find_pull(self, op: OpId, step: Step) -> Found:
        if self._pulls.knows(op):
            return Found(FoundState.ACTED, self._pulls.poll(op))
        if await self.has_image(str(step.request["image"])):
            return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, task=op, progress=100))
        return _NOT_YET

    async def poll(self, receipt: Receipt) -> Receipt:
        """How long work stands: a pull, or a removal another request had begun."""
        if receipt.state is not ReceiptState.RUNNING:
            return receipt
        task = receipt.task or ""
        if not task.startswith("remove:"):
            return self._pulls.poll(receipt.op)
        still = await self.by_id(f"/containers/{task.removeprefix('remove:')}/json")
        return receipt if still else Receipt(receipt.op, ReceiptState.DONE, uid=receipt.uid)


def labels_of(found: Raw) -> Mapping[str, str]:
    """Labels of a container, network or volume."""
    return (found.get("Config") or found).get("Labels") or {}


def uid_of(key: ObjectKey, found: Raw) -> str:
    """The platform's identity of what was found under `key`."""
    return volume.uid(found) if key.kind == volume.KIND else str(found["Id"])


def networks_of(found: Raw) -> Mapping[str, Any]:
    """Networks a container has joined."""
    return (found.get("NetworkSettings") or {}).get("Networks") or {}


def check_fields(step: Step, found: Raw) -> None:
    """Raises Conflict if a field the step was planned against has moved."""
    fields = container.live(found) if step.expects.fields else {}
    for path, planned in step.expects.fields.items():
        if fields.get(path) != planned:
            raise Conflict(f"{step.key}: {path} has changed since the plan")


def _prior(step: Step, found: Raw) -> Prior:
    uid = uid_of(step.key, found)
    if step.key.kind != container.KIND:
        return Prior(uid=uid)
    fields = container.live(found)
    touched = step.request.get("fields")
    before = {p: fields.get(p) for p in touched} if isinstance(touched, Mapping) else {}
    if "limits.memory" in before and fields.get("limits.swap"):
        before["limits.swap"] = fields["limits.swap"]
    state: dict[str, Value] = {
        "name": observe.name_of(found),
        "running": bool((found.get("State") or {}).get("Running")),
        "stop_grace_s": fields["stop_grace_s"],
        "fields": before,
    }
    return Prior(uid=uid, state=state)


def stands(verb: Verb, request: Mapping[str, Value], found: Raw | None) -> bool:
    """True if the object already stands as the request wants it."""
    if verb in (Verb.REMOVE, Verb.REMOVE_NETWORK, Verb.REMOVE_VOLUME):
        return found is None
    if found is None:
        return False
    state = found.get("State") or {}
    if verb is Verb.START:
        return bool(state.get("Running"))
    if verb is Verb.STOP:
        return not state.get("Running")
    if verb is Verb.UNPAUSE:
        return not state.get("Paused")
    if verb is Verb.RENAME:
        return observe.name_of(found) == request["to"]
    if verb is Verb.CONNECT:
        return request["network"] in networks_of(found)
    if verb is Verb.UPDATE:
        fields, wanted = container.live(found), request["fields"]
        return isinstance(wanted, Mapping) and all(fields.get(p) == v for p, v in wanted.items())
    return False  # a put leaves no mark of itself; to send it again has the same effect
