"""Carries out one step: reads what stands there (`prior`), sends exactly one request (`do`), and finds out after a
crash what became of it (`find`). What exists is decided from name, mark and uid on the host, never from memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Allow, ObjectKey
from controller.plan.step import Fence, OpId, Phase, Prior, Receipt, ReceiptState, Step
from engines.docker import container, marks, network, observe, policy, volume
from engines.docker.client import WRITE_TIMEOUT_S, Call, Client, Failed, NotFound, Taken
from engines.docker.pulls import Pulls
from engines.docker.steps import Call as Verb
from engines.docker.steps import mark_of
from engines.engine import Conflict, Found, FoundState, Refused, Transient, Values

Request = Mapping[str, Any]
Raw = Mapping[str, Any]
_GRACE_EXTRA_S = 30.0
_HOPELESS = re.compile(
    r"(?i)already allocated|address already in use|already in use|executable file not found|no such file"
    r"|not a directory|permission denied|invalid|no such image|oci runtime|exec format|read-only|not supported|conflict"
)
_NOT_YET = Found(FoundState.NOT_YET)


class Calls:
    """The mutating half of one Docker host."""

    def __init__(self, client: Client, pulls: Pulls, install: str) -> None:
        self._client = client
        self._pulls = pulls
        self._install = install

    # --- before ----------------------------------------------------------------------------------------------------

    async def prior(self, step: Step) -> Prior:
        """What stands there now. Raises Conflict if it is not what the step expects."""
        verb = Verb(str(step.request["call"]))
        if verb is Verb.PULL or step.request.get("note") or step.request.get("made_by"):
            return Prior()
        if step.expects.absent:
            if (found := await self._named(step.key)) is not None:
                raise Conflict(f"{step.key} is there already (id {_uid(step.key, found)})")
            return Prior()
        found = await self._addressed(step)
        _check_fields(step, found)
        return _prior(step, found)

    async def _named(self, key: ObjectKey) -> Raw | None:
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

    async def _addressed(self, step: Step) -> Raw:
        """The object the step is about. Raises Conflict if it is gone, another, or not ours."""
        uid = step.expects.uid
        if uid is None:
            found = await self._named(step.key)
            if found is None:
                raise Conflict(f"{step.key} is not there")
            return self._own(step, found)
        if step.key.kind == volume.KIND:
            found = await self._named(step.key)
        else:
            where = "containers/{}/json" if step.key.kind == container.KIND else "networks/{}"
            found = await self._by_id(f"/{where.format(uid)}")
        if found is None or _uid(step.key, found) != uid:
            raise Conflict(f"{step.key} with the id {uid[:80]} is not there any more")
        return found

    async def _by_id(self, path: str) -> Raw | None:
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

    # --- do --------------------------------------------------------------------------------------------------------

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends the step's request once. The filled body is judged right before (I38), and the fence (I14)."""
        request = values.fill(step.request)
        assert isinstance(request, dict)
        verb = Verb(request["call"])
        self._judge(verb, request, values.allow)
        _hold(fence)
        sender: Callable[[OpId, Step, Request, Fence], Awaitable[Receipt]] = _SENDERS[verb].__get__(self)
        try:
            return await sender(op, step, request, fence)
        except Failed as error:
            # The host has answered, so nothing is in flight: what is there now is the outcome.
            found = await self.find(op, step)
            if found.state is FoundState.ACTED and found.receipt:
                return found.receipt
            raise (Refused if _HOPELESS.search(str(error)) else Transient)(str(error)) from None

    def _judge(self, verb: Verb, request: Request, allow: Allow) -> None:
        judge = _JUDGES.get(verb)
        body = request.get("body") or {}
        refused = judge(body, allow) if judge else []
        if verb is Verb.CREATE and self._client.address.local:
            refused += [
                ("volumes", f"host path {source} leads to a path that is not allowed")
                for source, read_only in policy.mounted_host_paths(body)
                if not policy.host_path_allowed(os.path.realpath(source), read_only, allow)
            ]
        if refused:
            raise Refused("; ".join(f"{path}: {why}" for path, why in refused))

    async def _send(self, op: OpId, fence: Fence, call: Call) -> Any:
        _hold(fence)
        return await self._client.write(op, call)

    async def _pull(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        reference = str(request["image"])
        if not self._pulls.knows(op) and await self._has_image(reference):
            return Receipt(op, ReceiptState.DONE, task=op, progress=100)
        return self._pulls.start(op, reference)

    async def _has_image(self, reference: str) -> bool:
        return await self._by_id(f"/images/{reference}/json") is not None

    async def _create(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        body = dict(request["body"])
        await self._volumes_are_there(body)
        extra = {marks.IMAGE: str(request["image"]), marks.REFS: json.dumps(request.get("refs", {}), sort_keys=True)}
        mark = marks.labels(mark_of(request["mark"], self._install, op))
        body["Labels"] = {**(body.get("Labels") or {}), **extra, **mark}
        call = Call("POST", "/containers/create", {"name": step.key.name}, body, timeout_s=WRITE_TIMEOUT_S)
        try:
            made = await self._send(op, fence, call)
        except Taken:
            return await self._taken(op, step)
        except NotFound as error:
            raise Refused(str(error)) from None  # the image is not there
        return Receipt(op, ReceiptState.DONE, uid=made["Id"])

    async def _volumes_are_there(self, body: Request) -> None:
        """Docker would make a missing volume by itself, unmarked and under a name that another change of this wave is
        about to use."""
        for mount in (body.get("HostConfig") or {}).get("Mounts") or ():
            name = mount.get("Source")
            if mount.get("Type") == "volume" and await self._named(ObjectKey(volume.KIND, str(name))) is None:
                raise Transient(f"volume {name} is not there yet")

    async def _taken(self, op: OpId, step: Step) -> Receipt:
        """A 409 on create: our own earlier request, or somebody else's object."""
        found = await self.find(op, step)
        if found.receipt is None:
            raise Conflict(f"the name of {step.key} is taken by another object")
        return found.receipt

    async def _create_network(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        mark = marks.labels(mark_of(request["mark"], self._install, op))
        body = {**request["body"], "CheckDuplicate": True}
        body["Labels"] = {**(body.get("Labels") or {}), **mark}
        try:
            made = await self._send(op, fence, Call("POST", "/networks/create", body=body, timeout_s=WRITE_TIMEOUT_S))
        except Taken:
            return await self._taken(op, step)
        found = await self._client.inspect(f"/networks/{made['Id']}")
        return Receipt(op, ReceiptState.DONE, uid=made["Id"], outputs=network.outputs(found))

    async def _create_volume(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        mark = marks.labels(mark_of(request["mark"], self._install, op))
        return await self._make_volume(op, step, {**request["body"]}, mark, fence)

    async def _note(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        said = request["mark"]
        mark = mark_of(said, self._install, op) if said else None
        found = marks.note_labels(str(request["uid"]), int(request["number"]), mark, self._install, op)
        return await self._make_volume(op, step, {"Name": step.key.name, "Driver": "local"}, found, fence)

    async def _make_volume(
        self, op: OpId, step: Step, body: dict[str, Any], labels: Mapping[str, str], fence: Fence
    ) -> Receipt:
        """Docker answers a create of a volume that is there with the one that is there, so its op tells whose it is."""
        body["Labels"] = {**(body.get("Labels") or {}), **labels}
        made = await self._send(op, fence, Call("POST", "/volumes/create", body=body, timeout_s=WRITE_TIMEOUT_S))
        if (made.get("Labels") or {}).get(marks.OP) != op:
            raise Conflict(f"the name of {step.key} is taken by another object")
        return Receipt(op, ReceiptState.DONE, uid=volume.uid(made), outputs={"name": made["Name"]})

    async def _put(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        call = Call("PUT", f"/containers/{found['Id']}/archive", {"path": "/"}, archive(request["files"], time_of(op)))
        await self._send(op, fence, call)
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _connect(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        if request["network"] in _networks(found):
            return Receipt(op, ReceiptState.DONE, uid=found["Id"])
        body = {"Container": found["Id"], "EndpointConfig": request["endpoint"]}
        try:
            await self._send(op, fence, Call("POST", f"/networks/{request['network']}/connect", body=body))
        except NotFound as error:
            raise Transient(str(error)) from None  # made by another change of this wave
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _update(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        if not _reached(Verb.UPDATE, request, found):
            _check_fields(step, found)
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/update", body=request["body"]))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _start(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        call = Call("POST", f"/containers/{found['Id']}/start", timeout_s=WRITE_TIMEOUT_S)
        try:
            await self._send(op, fence, call)
        except NotFound as error:
            raise Transient(str(error)) from None  # a network that is not there yet, or not any more
        return await self._started(op, str(found["Id"]))

    async def _started(self, op: OpId, uid: str) -> Receipt:
        found = await self._client.inspect(f"/containers/{uid}/json")
        told = observe.outputs(found, self._client.address.host)
        return Receipt(op, ReceiptState.DONE, uid=uid, outputs=told)

    async def _unpause(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        if (found.get("State") or {}).get("Paused"):
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/unpause"))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _stop(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._addressed(step)
        grace_s = int(request.get("grace_s") or container.STOP_GRACE_S)
        path = f"/containers/{found['Id']}/stop"
        await self._send(op, fence, Call("POST", path, {"t": grace_s}, timeout_s=grace_s + _GRACE_EXTRA_S))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _rename(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._renamed(step) or await self._addressed(step)
        if observe.name_of(found) != request["to"]:
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/rename", {"name": request["to"]}))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _remove(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        uid = step.expects.uid or await self._made_by(step)
        if uid is None:
            return Receipt(op, ReceiptState.DONE)
        # What an undo removes is this run's own and may run already; RETIRE removes what was stopped in the CUT.
        params = {"v": int(bool(request.get("volumes"))), "force": int(step.phase is not Phase.RETIRE)}
        try:
            await self._send(op, fence, Call("DELETE", f"/containers/{uid}", params, timeout_s=WRITE_TIMEOUT_S))
        except NotFound:
            pass
        except Taken as error:
            if "in progress" not in str(error):
                raise
            return Receipt(op, ReceiptState.RUNNING, task=f"remove:{uid}", uid=uid)
        return Receipt(op, ReceiptState.DONE, uid=uid)

    async def _remove_network(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        uid = step.expects.uid or await self._made_by(step)
        if uid is None:
            return Receipt(op, ReceiptState.DONE)
        with contextlib.suppress(NotFound):
            await self._send(op, fence, Call("DELETE", f"/networks/{uid}", timeout_s=WRITE_TIMEOUT_S))
        return Receipt(op, ReceiptState.DONE, uid=uid)

    async def _made_by(self, step: Step) -> str | None:
        """Id of what a request made whose answer was lost, told by its op; None if it made nothing."""
        found = await self._named(step.key)
        if found is None or _labels(found).get(marks.OP) != step.request.get("made_by"):
            return None
        return _uid(step.key, found)

    async def _remove_volume(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._named(step.key)
        if found is None:
            return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)
        made_by, said = request.get("made_by"), _labels(found)
        note = bool(request.get("note")) and marks.is_note(step.key.name) and said.get(marks.INSTALL) == self._install
        if made_by and said.get(marks.OP) != made_by:
            return Receipt(op, ReceiptState.DONE)
        if not note and not made_by and volume.uid(found) != step.expects.uid:
            raise Conflict(f"{step.key} is another one than was planned against")
        await self._send(op, fence, Call("DELETE", f"/volumes/{step.key.name}", timeout_s=WRITE_TIMEOUT_S))
        return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)

    # --- after a crash ---------------------------------------------------------------------------------------------

    async def find(self, op: OpId, step: Step) -> Found:
        """What became of `op`, once no thread is busy with it any more."""
        await self._client.settled(op)
        verb = Verb(str(step.request["call"]))
        if verb in (Verb.CREATE, Verb.CREATE_NETWORK, Verb.CREATE_VOLUME, Verb.NOTE):
            return await self._find_made(op, step)
        if verb is Verb.PULL:
            return await self._find_pull(op, step)
        found = await self._there(step)
        uid = step.expects.uid if found is None else _uid(step.key, found)
        if verb is Verb.PUT:
            reached = found is not None and await self._was_put(op, step, found)
        else:
            reached = _reached(verb, step.request, found)
        if not reached:
            return Found(FoundState.TAKEN) if await self._is_taken(step, found) else _NOT_YET
        if verb is Verb.START and uid:
            return Found(FoundState.ACTED, await self._started(op, uid))
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid))

    async def _there(self, step: Step) -> Raw | None:
        try:
            return await self._renamed(step) or await self._addressed(step)
        except Conflict:
            return None

    async def _renamed(self, step: Step) -> Raw | None:
        """What this run has made, when it bears the name already that the step gives it."""
        if step.request["call"] != Verb.RENAME or step.expects.uid is not None:
            return None
        if await self._named(step.key) is not None:
            return None
        found = await self._named(ObjectKey(step.key.kind, str(step.request["to"])))
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
            file = unpacked(content)
            if file is None or file.time_s != time_of(op):
                return False
        return True

    async def _is_taken(self, step: Step, found: Raw | None) -> bool:
        """True if another object bears the name that the step is about, or gives."""
        if step.request["call"] == Verb.RENAME and found is not None:
            other = await self._named(ObjectKey(step.key.kind, str(step.request["to"])))
            return other is not None and _uid(step.key, other) != _uid(step.key, found)
        if found is not None or step.expects.uid is None:
            return False
        return await self._named(step.key) is not None

    async def _find_made(self, op: OpId, step: Step) -> Found:
        found = await self._named(step.key)
        if found is None:
            return _NOT_YET
        labels = _labels(found)
        if labels.get(marks.OP) != op or labels.get(marks.INSTALL) != self._install:
            return Found(FoundState.TAKEN)
        told = network.outputs(found) if step.key.kind == network.KIND else {}
        receipt = Receipt(op, ReceiptState.DONE, uid=_uid(step.key, found), outputs=told)
        return Found(FoundState.ACTED, receipt)

    async def _find_pull(self, op: OpId, step: Step) -> Found:
        if self._pulls.knows(op):
            return Found(FoundState.ACTED, self._pulls.poll(op))
        if await self._has_image(str(step.request["image"])):
            return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, task=op, progress=100))
        return _NOT_YET

    async def poll(self, receipt: Receipt) -> Receipt:
        """How long work stands: a pull, or a removal another request had begun."""
        if receipt.state is not ReceiptState.RUNNING:
            return receipt
        task = receipt.task or ""
        if not task.startswith("remove:"):
            return self._pulls.poll(receipt.op)
        still = await self._by_id(f"/containers/{task.removeprefix('remove:')}/json")
        return receipt if still else Receipt(receipt.op, ReceiptState.DONE, uid=receipt.uid)


def _hold(fence: Fence) -> None:
    if not fence.holds():
        raise Transient("the right to change this scope is not surely held any more; nothing was sent")


def time_of(op: str) -> int:
    """A time of change that only this op gives its files (seconds, years 2000 to 2017): the mark of a put, by which
    it is found again."""
    return 946_684_800 + int.from_bytes(hashlib.sha256(op.encode()).digest()[:4], "big") % 2**29


def archive(files: Mapping[str, Mapping[str, str]], time_s: int) -> bytes:
    """A tar of config files, owned by root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, one in sorted(files.items()):
            content = str(one["content"]).encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), int(one["mode"], 8), time_s
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@dataclass(frozen=True, slots=True)
class PutFile:
    """One file as it stands in a container."""

    content: str
    mode: str
    time_s: int


def unpacked(content: bytes) -> PutFile | None:
    """The one file in a tar, or None if it holds none."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            if entry.isfile() and (handle := tar.extractfile(entry)) is not None:
                text = handle.read().decode("utf-8", "replace")
                return PutFile(text, f"{entry.mode & 0o777:04o}", int(entry.mtime))
    return None


def _labels(found: Raw) -> Mapping[str, str]:
    return (found.get("Config") or found).get("Labels") or {}


def _uid(key: ObjectKey, found: Raw) -> str:
    return volume.uid(found) if key.kind == volume.KIND else str(found["Id"])


def _networks(found: Raw) -> Mapping[str, Any]:
    return (found.get("NetworkSettings") or {}).get("Networks") or {}


def _check_fields(step: Step, found: Raw) -> None:
    fields = container.live(found) if step.expects.fields else {}
    for path, planned in step.expects.fields.items():
        if fields.get(path) != planned:
            raise Conflict(f"{step.key}: {path} has changed since the plan")


def _prior(step: Step, found: Raw) -> Prior:
    uid = _uid(step.key, found)
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


def _reached(verb: Verb, request: Mapping[str, Value], found: Raw | None) -> bool:
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
        return request["network"] in _networks(found)
    if verb is Verb.UPDATE:
        fields, wanted = container.live(found), request["fields"]
        return isinstance(wanted, Mapping) and all(fields.get(p) == v for p, v in wanted.items())
    return False  # a put leaves no mark of itself; to send it again has the same effect


_SENDERS = {
    Verb.PULL: Calls._pull,
    Verb.CREATE: Calls._create,
    Verb.PUT: Calls._put,
    Verb.UPDATE: Calls._update,
    Verb.START: Calls._start,
    Verb.STOP: Calls._stop,
    Verb.UNPAUSE: Calls._unpause,
    Verb.RENAME: Calls._rename,
    Verb.REMOVE: Calls._remove,
    Verb.CREATE_NETWORK: Calls._create_network,
    Verb.REMOVE_NETWORK: Calls._remove_network,
    Verb.CONNECT: Calls._connect,
    Verb.CREATE_VOLUME: Calls._create_volume,
    Verb.REMOVE_VOLUME: Calls._remove_volume,
    Verb.NOTE: Calls._note,
}
_JUDGES = {
    Verb.CREATE: policy.container,
    Verb.UPDATE: policy.update,
    Verb.CREATE_NETWORK: policy.network,
    Verb.CREATE_VOLUME: policy.volume,
}
