"""Carries out one step: judges its filled body, then sends exactly one request. The same op twice has one effect."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from controller.plan.resource import Allow, ObjectKey
from controller.plan.step import Fence, OpId, Phase, Prior, Receipt, ReceiptState, Step
from engines.docker import config_files, container, lookup, marks, network, observe, policy, volume
from engines.docker.client import WRITE_TIMEOUT_S, Call, Client, Failed, NotFound, Taken
from engines.docker.lookup import Lookup
from engines.docker.pulls import Pulls
from engines.docker.steps import Call as Verb
from engines.docker.steps import mark_of
from engines.engine import Conflict, FoundState, Refused, Transient, Values

Request = Mapping[str, Any]
Raw = Mapping[str, Any]
_GRACE_EXTRA_S = 30.0
_HOPELESS = re.compile(
    r"(?i)already allocated|address already in use|already in use|executable file not found|no such file"
    r"|not a directory|permission denied|invalid|no such image|oci runtime|exec format|read-only|not supported|conflict"
)


class Calls:
    """The mutating half of one Docker host."""

    def __init__(self, client: Client, pulls: Pulls, found: Lookup, install: str) -> None:
        self._client = client
        self._pulls = pulls
        self._lookup = found
        self._install = install

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
            found = await self._lookup.find(op, step)
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
        if not self._pulls.knows(op) and await self._lookup.has_image(reference):
            return Receipt(op, ReceiptState.DONE, task=op, progress=100)
        return self._pulls.start(op, reference)

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
            if mount.get("Type") == "volume" and await self._lookup.named(ObjectKey(volume.KIND, str(name))) is None:
                raise Transient(f"volume {name} is not there yet")

    async def _taken(self, op: OpId, step: Step) -> Receipt:
        """A 409 on create: our own earlier request, or somebody else's object."""
        found = await self._lookup.find(op, step)
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
        found = await self._lookup.addressed(step)
        call = Call(
            "PUT",
            f"/containers/{found['Id']}/archive",
            {"path": "/"},
            config_files.archive(request["files"], config_files.time_of(op)),
        )
        await self._send(op, fence, call)
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _connect(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.addressed(step)
        if request["network"] in lookup.networks_of(found):
            return Receipt(op, ReceiptState.DONE, uid=found["Id"])
        body = {"Container": found["Id"], "EndpointConfig": request["endpoint"]}
        try:
            await self._send(op, fence, Call("POST", f"/networks/{request['network']}/connect", body=body))
        except NotFound as error:
            raise Transient(str(error)) from None  # made by another change of this wave
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _update(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.addressed(step)
        if not lookup.stands(Verb.UPDATE, request, found):
            lookup.check_fields(step, found)
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/update", body=request["body"]))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _start(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.addressed(step)
        call = Call("POST", f"/containers/{found['Id']}/start", timeout_s=WRITE_TIMEOUT_S)
        try:
            await self._send(op, fence, call)
        except NotFound as error:
            raise Transient(str(error)) from None  # a network that is not there yet, or not any more
        return await self._lookup.started(op, str(found["Id"]))

    async def _unpause(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.addressed(step)
        if (found.get("State") or {}).get("Paused"):
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/unpause"))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _stop(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.addressed(step)
        grace_s = int(request.get("grace_s") or container.STOP_GRACE_S)
        path = f"/containers/{found['Id']}/stop"
        await self._send(op, fence, Call("POST", path, {"t": grace_s}, timeout_s=grace_s + _GRACE_EXTRA_S))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _rename(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.renamed(step) or await self._lookup.addressed(step)
        if observe.name_of(found) != request["to"]:
            await self._send(op, fence, Call("POST", f"/containers/{found['Id']}/rename", {"name": request["to"]}))
        return Receipt(op, ReceiptState.DONE, uid=found["Id"])

    async def _remove(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        uid = step.expects.uid or await self._lookup.made_by(step)
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
        uid = step.expects.uid or await self._lookup.made_by(step)
        if uid is None:
            return Receipt(op, ReceiptState.DONE)
        with contextlib.suppress(NotFound):
            await self._send(op, fence, Call("DELETE", f"/networks/{uid}", timeout_s=WRITE_TIMEOUT_S))
        return Receipt(op, ReceiptState.DONE, uid=uid)

    async def _remove_volume(self, op: OpId, step: Step, request: Request, fence: Fence) -> Receipt:
        found = await self._lookup.named(step.key)
        if found is None:
            return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)
        made_by, said = request.get("made_by"), lookup.labels_of(found)
        note = bool(request.get("note")) and marks.is_note(step.key.name) and said.get(marks.INSTALL) == self._install
        if made_by and said.get(marks.OP) != made_by:
            return Receipt(op, ReceiptState.DONE)
        if not note and not made_by and volume.uid(found) != step.expects.uid:
            raise Conflict(f"{step.key} is another one than was planned against")
        await self._send(op, fence, Call("DELETE", f"/volumes/{step.key.name}", timeout_s=WRITE_TIMEOUT_S))
        return Receipt(op, ReceiptState.DONE, uid=step.expects.uid)


def _hold(fence: Fence) -> None:
    if not fence.holds():
        raise Transient("the right to change this scope is not surely held any more; nothing was sent")


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
