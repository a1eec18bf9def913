"""Carries out one step: looks whether it has acted already, judges its filled parameters, then sends exactly one
request. The same op twice has one effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from controller.plan.step import Fence, OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, FoundState, Refused, Transient, Unclear, Values
from engines.proxmox import guest, marks, observe, others, policy, tasks, writing
from engines.proxmox.client import Call as Request
from engines.proxmox.client import Client, Failed, NotFound, Stale, at
from engines.proxmox.listing import label
from engines.proxmox.lookup import Lookup, check_fields
from engines.proxmox.observe import Read
from engines.proxmox.options import QEMU, size_text
from engines.proxmox.reader import Reader, image_parts
from engines.proxmox.steps import Call

Filled = Mapping[str, Any]


class Calls:
    """The mutating half of one cluster."""

    def __init__(self, client: Client, reader: Reader, found: Lookup, install: str) -> None:
        self._client = client
        self._reader = reader
        self._lookup = found
        self._install = install
        self._bounds = client.settings

    async def do(self, op: OpId, step: Step, prior: Prior, values: Values, fence: Fence) -> Receipt:
        """Sends the step's request once, if the fence holds (I14) and it has not acted yet."""
        filled = values.fill(step.request)
        assert isinstance(filled, dict)
        _hold(fence)
        looked = await self._lookup.look(op, step)
        if looked.found.state is FoundState.ACTED and looked.found.receipt:
            self._touched(looked.found.receipt.uid)
            return looked.found.receipt
        if looked.found.state is FoundState.TAKEN:
            raise Conflict(f"{step.key} is another object than was planned against")
        sender = _SENDERS[Call(str(filled["call"]))]
        try:
            return await sender(self, _Sending(op, step, filled, prior, values, fence, looked.read))
        except Failed as error:
            # The cluster has answered, so nothing is in flight: what is there now is the outcome.
            found = await self._lookup.find(op, step)
            if found.state is FoundState.ACTED and found.receipt:
                return found.receipt
            raise Refused(str(error)) from None
        except (Stale, NotFound):
            self._touched(step.expects.uid)
            raise

    def _touched(self, uid: str | None) -> None:
        if uid and (vmid := observe.vmid_of(uid)) is not None:
            self._reader.touch(vmid)

    async def _send(self, sending: _Sending, call: Request) -> Any:
        _hold(sending.fence)
        return await self._client.write(sending.op, call)

    def _receipt(self, sending: _Sending, answer: Any, uid: str | None) -> Receipt:
        """A task under way, or done where the call is answered without one. Raises Unclear for any other answer."""
        self._touched(uid)
        if tasks.upid(answer) is not None:
            return Receipt(sending.op, ReceiptState.RUNNING, str(answer), uid)
        _nothing_told(answer, sending, sending.request["call"] in _IN_A_TASK)
        told = observe.outputs(sending.read) if sending.read else {}
        return Receipt(sending.op, ReceiptState.DONE, uid=uid, outputs=told)

    # --- guests -------------------------------------------------------------------------------------------------------

    async def _create(self, sending: _Sending) -> Receipt:
        kind, request = guest.KINDS[sending.step.key.kind], sending.request
        self._within(int(request["vmid"]))
        await self._nobody_named(sending)
        config = writing.creation(
            kind, request, sending.step.key.name, self._install, sending.op, sending.values.allow, self._bounds
        )
        answer = await self._send(sending, Request("POST", at("nodes", request["node"], kind), config))
        return self._receipt(sending, answer, f"{request['vmid']}.{sending.op}")

    async def _clone(self, sending: _Sending) -> Receipt:
        kind, request = guest.KINDS[sending.step.key.kind], sending.request
        self._within(int(request["vmid"]))
        await self._nobody_named(sending)
        row = (await self._lookup.guests()).guests.get(int(request["source"]))
        if row is None or row["type"] != kind:
            raise Conflict(f"{request['source']}, which it is cloned from, is not there")
        source = await self._reader.read(row)
        if source.marker(self._install) is None and source.vmid not in self._bounds.templates:
            raise Refused(f"vmid {source.vmid} is not ours; an administrator may list it under the target's templates")
        config = writing.copy(
            kind, request, sending.step.key.name, self._install, sending.op, sending.values.allow, self._bounds
        )
        answer = await self._send(
            sending, Request("POST", at("nodes", source.node, kind, source.vmid, "clone"), config)
        )
        return self._receipt(sending, answer, f"{request['vmid']}.{sending.op}")

    def _within(self, vmid: int) -> None:
        if not self._bounds.owns_vmid(vmid):
            low, high = self._bounds.vmids
            raise Refused(f"vmid {vmid} is not within this target's range {low}-{high}")

    async def _nobody_named(self, sending: _Sending) -> None:
        """A cluster lets two guests bear one name; we do not (the id is refused by the cluster itself)."""
        key = sending.step.key
        for row in (await self._lookup.guests()).named(guest.KINDS[key.kind], key.name):
            raise Conflict(f"{key} is there already (vmid {row['vmid']})")

    async def _config(self, sending: _Sending) -> Receipt:
        read = sending.unchanged()
        config = writing.change(sending.request, read, self._install, sending.op, sending.values.allow, self._bounds)
        path = at("nodes", read.node, read.kind, read.vmid, "config")
        # Only a VM's configuration can be changed in a task; a container's call allocates while we wait.
        method = "POST" if read.kind == QEMU and writing.allocates(config) else "PUT"
        answer = await self._send(sending, Request(method, path, {**config, "digest": read.digest}))
        return self._receipt(sending, answer, sending.uid)

    async def _resize(self, sending: _Sending) -> Receipt:
        read, request = sending.unchanged(), sending.request
        params = {"disk": str(request["disk"]), "size": size_text(int(request["size"])), "digest": read.digest}
        answer = await self._send(
            sending, Request("PUT", at("nodes", read.node, read.kind, read.vmid, "resize"), params)
        )
        return self._receipt(sending, answer, sending.uid)

    async def _template(self, sending: _Sending) -> Receipt:
        return await self._post(sending, ("template",), {})

    async def _start(self, sending: _Sending) -> Receipt:
        return await self._post(sending, ("status", "start"), {})

    async def _shut_down(self, sending: _Sending) -> Receipt:
        stop = sending.request.get("stop") or {}
        params = {"timeout": int(stop.get("timeout_s") or 60), "forceStop": int(bool(stop.get("force")))}
        return await self._post(sending, ("status", "shutdown"), params)

    async def _stop(self, sending: _Sending) -> Receipt:
        return await self._post(sending, ("status", "stop"), {})

    async def _snapshot(self, sending: _Sending) -> Receipt:
        params = {"snapname": str(sending.request["snapshot"]), "description": "taken by ALMA before a change"}
        return await self._post(sending, ("snapshot",), params)

    async def _rollback(self, sending: _Sending) -> Receipt:
        return await self._post(sending, ("snapshot", str(sending.request["snapshot"]), "rollback"), {})

    async def _delete_snapshot(self, sending: _Sending) -> Receipt:
        read = sending.there()
        path = at("nodes", read.node, read.kind, read.vmid, "snapshot", str(sending.request["snapshot"]))
        return self._receipt(sending, await self._send(sending, Request("DELETE", path)), sending.uid)

    async def _destroy(self, sending: _Sending) -> Receipt:
        """Its marker was read a moment ago; a guest that runs, or bears PVE's own protection, is refused by PVE."""
        read = sending.there()
        marker = read.marker(self._install)
        if marker is None or marker.mark.resource != sending.request["resource"]:
            raise Conflict(f"vmid {read.vmid} is not {sending.request['resource']}")
        path = at("nodes", read.node, read.kind, read.vmid)
        answer = await self._send(sending, Request("DELETE", path, {"purge": 1}))
        return self._receipt(sending, answer, sending.uid)

    async def _post(self, sending: _Sending, more: tuple[str, ...], params: Mapping[str, str | int]) -> Receipt:
        read = sending.there()
        path = at("nodes", read.node, read.kind, read.vmid, *more)
        return self._receipt(sending, await self._send(sending, Request("POST", path, params)), sending.uid)

    async def _member(self, sending: _Sending) -> Receipt:
        read, pool, before = sending.there(), sending.request["pool"], sending.request["from"]
        _refuse(policy.placement(None, pool, sending.values.allow, self._bounds))
        check_fields(sending.step, read)
        params: dict[str, str | int] = {"poolid": str(pool or before), "vms": read.vmid}
        params |= {"allow-move": 1} if pool and before else {} if pool else {"delete": 1}
        return self._receipt(sending, await self._send(sending, Request("PUT", at("pools"), params)), sending.uid)

    async def _ha(self, sending: _Sending) -> Receipt:
        read, wanted, before = sending.there(), sending.request["ha"], sending.request["from"]
        name = label(read.kind, read.vmid)
        params = {k: str(v) for k, v in wanted.items()}
        if not wanted:
            call = Request("DELETE", at("cluster", "ha", "resources", name))
        elif read.ha is None:
            call = Request("POST", at("cluster", "ha", "resources"), {"sid": name, **params})
        else:
            gone = sorted(k for k in before if k not in wanted)
            params |= {"delete": ",".join(gone)} if gone else {}
            call = Request("PUT", at("cluster", "ha", "resources", name), params)
        return self._receipt(sending, await self._send(sending, call), sending.uid)

    # --- firewall -----------------------------------------------------------------------------------------------------

    async def _firewall(self, sending: _Sending) -> Receipt:
        read = sending.there()
        path = at("nodes", read.node, read.kind, read.vmid, "firewall", "options")
        digest = (await self._client.object(path)).get("digest")
        params = {k: _flag(v) for k, v in sending.request["set"].items() if v is not None}
        gone = sorted(k for k, v in sending.request["set"].items() if v is None)
        params |= {"delete": ",".join(gone)} if gone else {}
        params |= {"digest": str(digest)} if digest else {}
        return self._receipt(sending, await self._send(sending, Request("PUT", path, params)), sending.uid)

    async def _rule(self, sending: _Sending) -> Receipt:
        read, edit = sending.there(), sending.request
        check_fields(sending.step, read)
        base = at("nodes", read.node, read.kind, read.vmid, "firewall", "rules")
        rows = await self._client.rows(base)
        if not _same_rules(rows, edit["before"]):
            raise Conflict(f"{sending.step.key}: the firewall's rules have changed")
        params = {"digest": str(rows[0]["digest"])} if rows and rows[0].get("digest") else {}
        place = f"{base}/{int(edit['pos'])}"
        if edit["edit"] == "insert":
            call = Request("POST", base, {**{k: _flag(v) for k, v in edit["rule"].items()}, **params})
        elif edit["edit"] == "move":
            call = Request("PUT", place, {"moveto": int(edit["to"]), **params})
        elif edit["edit"] == "switch":
            call = Request("PUT", place, {"enable": _flag(edit["enable"]), **params})
        else:
            call = Request("DELETE", place, params)
        return self._receipt(sending, await self._send(sending, call), sending.uid)

    # --- pools, jobs, images ------------------------------------------------------------------------------------------

    async def _create_pool(self, sending: _Sending) -> Receipt:
        name = sending.step.key.name
        _refuse(policy.placement(None, name, sending.values.allow, self._bounds))
        params = {"poolid": name, "comment": self._comment(sending, sending.op, sending.request)}
        return self._plain(sending, await self._send(sending, Request("POST", at("pools"), params)))

    async def _update_pool(self, sending: _Sending) -> Receipt:
        params = {"poolid": sending.step.key.name, "comment": await self._new_comment(sending)}
        return self._plain(sending, await self._send(sending, Request("PUT", at("pools"), params)))

    async def _remove_pool(self, sending: _Sending) -> Receipt:
        await self._still_ours(sending)
        call = Request("DELETE", at("pools"), {"poolid": sending.step.key.name})
        return self._plain(sending, await self._send(sending, call))

    async def _create_job(self, sending: _Sending) -> Receipt:
        params = {"id": sending.step.key.name, **await self._job(sending)}
        params["comment"] = self._comment(sending, sending.op, sending.request)
        return self._plain(sending, await self._send(sending, Request("POST", at("cluster", "backup"), params)))

    async def _update_job(self, sending: _Sending) -> Receipt:
        request = sending.request
        params = {k: str(v) for k, v in request["raw"].items() if k in _JOB_KEYS} if "raw" in request else {}
        if "raw" not in request and request["mark"] is not None:
            params = await self._job(sending)
        row = await self._lookup.plain(sending.step) or {}
        gone = [k for k in _JOB_KEYS if k in row and k not in params] if "raw" in request or params else []
        params["comment"] = await self._new_comment(sending)
        params |= {"delete": ",".join(gone)} if gone else {}
        call = Request("PUT", at("cluster", "backup", sending.step.key.name), params)
        return self._plain(sending, await self._send(sending, call))

    async def _remove_job(self, sending: _Sending) -> Receipt:
        await self._still_ours(sending)
        call = Request("DELETE", at("cluster", "backup", sending.step.key.name))
        return self._plain(sending, await self._send(sending, call))

    async def _job(self, sending: _Sending) -> dict[str, str]:
        fields = sending.request["fields"]
        _refuse(policy.placement(None, fields.get("pool"), sending.values.allow, self._bounds))
        storage = str(fields["storage"])
        if self._bounds.storages and storage not in self._bounds.storages:
            raise Refused(f"storage {storage} is not among those of this target")
        wanted = [str(n) for n in fields.get("guests") or ()]
        return others.Job(fields).parameters(await self._vmids(wanted) if wanted else {})

    async def _vmids(self, names: list[str]) -> dict[str, int]:
        listing = await self._lookup.guests()
        found = {str(r["name"]): v for v, r in listing.guests.items() if r.get("name") in names}
        missing = sorted(set(names) - set(found))
        if missing:
            raise Transient(f"the cluster does not list {missing[0]} yet")
        return found

    def _comment(self, sending: _Sending, born: str, request: Filled) -> str:
        own = str(request["fields"].get("comment") or "")
        _refuse(policy.notes(own))
        marker = writing.marker_of(request["mark"], self._install, sending.op, born)
        text = marks.with_marker(own, marker).replace("\n\n", " ")
        if sending.step.key.kind == others.BACKUP and len(text) > others.COMMENT_MAX:
            raise Refused(
                f"{sending.step.key.name}: comment and marker are longer than a job's comment may be; shorten it"
            )
        return text

    async def _new_comment(self, sending: _Sending) -> str:
        """The comment with the marker it shall have from now on; undo puts the old one back."""
        await self._still_ours(sending)
        request = sending.request
        if "raw" in request:
            old = str(request["raw"].get("comment") or "")
            marker = marks.read(old, self._install)
            said = writing.renewed(old, self._install, sending.op) if marker else old
            return said.replace("\n\n", " ")
        if request["mark"] is None:
            return str(request["fields"].get("comment") or "")
        row = await self._lookup.plain(sending.step) or {}
        before = str(row.get("comment") or "")
        marker = marks.read(before, self._install)
        if marker is None and marks.forges(before):
            raise Refused(f"{sending.step.key} is marked by another install of ALMA; it is not ours to take")
        fields = request["fields"]
        own = marks.notes_of(before) if "comment" not in fields and "comment" not in request["unset"] else ""
        kept = {**request, "fields": {**fields, **({"comment": own} if own else {})}}
        return self._comment(sending, marker.born if marker else "", kept)

    async def _still_ours(self, sending: _Sending) -> None:
        """Pools and jobs have no digest: what the step expects is looked at once more, right before."""
        await self._lookup.prior(sending.step)

    def _plain(self, sending: _Sending, answer: Any) -> Receipt:
        _nothing_told(answer, sending, False)
        uid = sending.step.expects.uid or f"{sending.step.key.name}.{sending.op}"
        return Receipt(sending.op, ReceiptState.DONE, uid=uid, outputs={"name": sending.step.key.name})

    async def _download(self, sending: _Sending) -> Receipt:
        listing, request = await self._reader.listing(), sending.request
        volume, storage, node = image_parts(sending.step.key, listing, self._bounds.node)
        if self._bounds.storages and storage not in self._bounds.storages:
            raise Refused(f"storage {storage} is not among those of this target")
        content, _, name = volume.partition(":")[2].partition("/")
        params = {"url": str(request["url"]), "content": content, "filename": name}
        if request.get("checksum"):
            algorithm, _, digits = str(request["checksum"]).partition(":")
            params |= {"checksum-algorithm": algorithm, "checksum": digits.lower()}
        path = at("nodes", node, "storage", storage, "download-url")
        answer = await self._send(sending, Request("POST", path, params))
        return self._receipt(sending, answer, volume)


class _Sending:
    """One step on its way out."""

    def __init__(
        self, op: OpId, step: Step, request: Filled, prior: Prior, values: Values, fence: Fence, read: Read | None
    ) -> None:
        self.op, self.step, self.request, self.prior = op, step, request, prior
        self.values, self.fence, self.read = values, fence, read

    @property
    def uid(self) -> str | None:
        """Of the guest it is about."""
        return self.step.expects.uid or self.prior.uid

    def there(self) -> Read:
        """The guest as it was read a moment ago. Raises Conflict when it is gone."""
        if self.read is None:
            raise Conflict(f"{self.step.key} is not there any more")
        return self.read

    def unchanged(self) -> Read:
        """The guest, if its configuration is the one that `prior` read: its digest goes with the request, too."""
        read = self.there()
        if self.prior.version is not None and read.digest != self.prior.version:
            raise Stale(f"{self.step.key}: its configuration has changed since it was read")
        return read


def _same_rules(rows: list[Mapping[str, Any]], rules: Any) -> bool:
    """True if the listed rules are these."""
    live = observe.firewall_fields(rows, {})["firewall.rules"]
    assert isinstance(live, tuple)
    return [dict(r) for r in live] == [dict(r) for r in rules]


def _nothing_told(answer: Any, sending: _Sending, a_task: bool) -> None:
    """Raises Unclear where the call may have acted and the answer is not that of the API."""
    if answer is not None or a_task:
        raise Unclear(f"{sending.step.key}: {sending.request['call']} was answered with something that is no task")


def _flag(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _refuse(found: list[policy.Refusal]) -> None:
    if found:
        raise Refused("; ".join(f"{path}: {why}" for path, why in found))


def _hold(fence: Fence) -> None:
    if not fence.holds():
        raise Transient("the right to change this scope is not surely held any more; nothing was sent")


# What the API always does in a task of its own; the other calls are answered with nothing, or with a task.
_IN_A_TASK = frozenset(
    {
        Call.CREATE,
        Call.CLONE,
        Call.RESIZE,
        Call.TEMPLATE,
        Call.START,
        Call.SHUTDOWN,
        Call.STOP,
        Call.SNAPSHOT,
        Call.ROLLBACK,
        Call.DELETE_SNAPSHOT,
        Call.DESTROY,
        Call.DOWNLOAD,
    }
)
_JOB_KEYS = ("schedule", "storage", "pool", "vmid", "mode", "compress", "enabled", "prune-backups")
Sender = Callable[[Calls, _Sending], Awaitable[Receipt]]
_SENDERS: Mapping[Call, Sender] = {
    Call.CREATE: Calls._create,
    Call.CLONE: Calls._clone,
    Call.CONFIG: Calls._config,
    Call.RESIZE: Calls._resize,
    Call.TEMPLATE: Calls._template,
    Call.START: Calls._start,
    Call.SHUTDOWN: Calls._shut_down,
    Call.STOP: Calls._stop,
    Call.SNAPSHOT: Calls._snapshot,
    Call.ROLLBACK: Calls._rollback,
    Call.DELETE_SNAPSHOT: Calls._delete_snapshot,
    Call.DESTROY: Calls._destroy,
    Call.MEMBER: Calls._member,
    Call.HA: Calls._ha,
    Call.FIREWALL: Calls._firewall,
    Call.RULE: Calls._rule,
    Call.CREATE_POOL: Calls._create_pool,
    Call.UPDATE_POOL: Calls._update_pool,
    Call.REMOVE_POOL: Calls._remove_pool,
    Call.CREATE_JOB: Calls._create_job,
    Call.UPDATE_JOB: Calls._update_job,
    Call.REMOVE_JOB: Calls._remove_job,
    Call.DOWNLOAD: Calls._download,
}
