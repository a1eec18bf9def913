"""What stands on a cluster, asked one object at a time: before a step (`prior`) and after a crash (`find`). Decided
from vmid, name, marker and task list, never from memory. Changes nothing.

A guest's node is looked up anew each time: HA or a person may have moved it since the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Seen
from controller.plan.step import OpId, Prior, Receipt, ReceiptState, Step
from engines.engine import Conflict, Found, FoundState
from engines.proxmox import guest, marks, observe, others, rules, tasks
from engines.proxmox.client import Client, NotFound, at
from engines.proxmox.listing import Listing, Row
from engines.proxmox.observe import Read
from engines.proxmox.reader import Reader
from engines.proxmox.steps import POWER, Call
from engines.proxmox.tasks import Upid

_NOT_YET = Found(FoundState.NOT_YET)
_TAKEN = Found(FoundState.TAKEN)
_PLAIN = {
    Call.CREATE_POOL, Call.UPDATE_POOL, Call.REMOVE_POOL, Call.CREATE_JOB, Call.UPDATE_JOB, Call.REMOVE_JOB
}  # fmt: skip
_MAKES = (Call.CREATE, Call.CLONE)
# What never happens to a guest that does not bear our marker (I16).
_OWNED = (Call.DESTROY, Call.ROLLBACK, Call.RESIZE, Call.DELETE_SNAPSHOT, Call.TEMPLATE)
_TASKS: Mapping[Call, tuple[str, ...]] = {
    Call.CREATE: ("qmcreate", "vzcreate"),
    Call.CLONE: ("qmclone", "vzclone"),
    Call.CONFIG: ("qmconfig",),
    Call.RESIZE: ("resize",),
    Call.TEMPLATE: ("qmtemplate", "vztemplate"),
    Call.START: ("qmstart", "vzstart", "hastart"),
    Call.SHUTDOWN: ("qmshutdown", "vzshutdown", "hastop"),
    Call.STOP: ("qmstop", "vzstop", "hastop"),
    Call.SNAPSHOT: ("qmsnapshot", "vzsnapshot"),
    Call.ROLLBACK: ("qmrollback", "vzrollback"),
    Call.DELETE_SNAPSHOT: ("qmdelsnapshot", "vzdelsnapshot"),
    Call.DESTROY: ("qmdestroy", "vzdestroy"),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of an op, and the guest as it was read for that (None: not there, or another)."""

    found: Found
    read: Read | None = None


class Lookup:
    """The reading half of one cluster's steps."""

    def __init__(self, client: Client, reader: Reader, install: str) -> None:
        self._client = client
        self._reader = reader
        self._install = install

    # --- before a step ------------------------------------------------------------------------------------------------

    async def prior(self, step: Step) -> Prior:
        """What stands there now. Raises Conflict if it is not what the step expects."""
        call = Call(str(step.request["call"]))
        if call in _MAKES:
            await self._nobody_there(step)
            return Prior()
        if call is Call.DOWNLOAD:
            return Prior()
        if call in _PLAIN:
            return await self._plain_prior(step, call)
        try:
            read = await self.addressed(step)
        except Conflict:
            if step.request.get("undo"):
                return Prior()
            raise
        check_fields(step, read)
        state: dict[str, Value] = {"now": dict(read.now), "then": dict(read.then), "runs": read.runs}
        return Prior(self._uid(read), read.digest, state)

    async def _nobody_there(self, step: Step) -> None:
        listing = await self.guests()
        kind, vmid = guest.KINDS[step.key.kind], int(str(step.request["vmid"]))
        for row in (*listing.named(kind, step.key.name), *[r for v, r in listing.guests.items() if v == vmid]):
            raise Conflict(f"{step.key} is there already (vmid {row['vmid']} on {row['node']})")

    async def _plain_prior(self, step: Step, call: Call) -> Prior:
        row = await self.plain(step)
        seen = self._seen_plain(step, row) if row is not None else None
        if step.expects.absent:
            if seen is not None:
                raise Conflict(f"{step.key} is there already")
            return Prior()
        if seen is None or row is None:
            if step.request.get("undo"):
                return Prior()
            raise Conflict(f"{step.key} is not there any more")
        if seen.uid != step.expects.uid:
            raise Conflict(f"{step.key} is another one than was planned against")
        for path, planned in step.expects.fields.items():
            if not _alike(seen.fields.get(path), planned):
                raise Conflict(f"{step.key}: {path} has changed since the plan")
        return Prior(seen.uid, None, {"row": {k: _as_sent(v) for k, v in row.items()}})

    async def guests(self) -> Listing:
        """Guests of the cluster, asked now."""
        return Listing.of(await self._client.rows(at("cluster", "resources"), type="vm"))

    async def addressed(self, step: Step) -> Read:
        """The guest the step is about, with what the step touches. Raises Conflict if it is gone, another, or not
        ours."""
        read = await self._there(step)
        if read is None:
            raise Conflict(
                f"{step.key} with the id {step.expects.uid or step.request.get('vmid')} is not there any more"
            )
        if not self._is_it(step, read):
            raise Conflict(f"{step.key}: the guest with vmid {read.vmid} is another one than was planned against")
        return await self._with_rest(step, read)

    async def _there(self, step: Step) -> Read | None:
        vmid = observe.vmid_of(step.expects.uid) if step.expects.uid else int(str(step.request.get("vmid") or 0))
        for _ in range(2):  # it may move between the list and the reading; the second list tells where to
            row = (await self.guests()).guests.get(vmid or 0)
            if row is None or row["type"] != guest.KINDS[step.key.kind]:
                return None
            try:
                return await self._reader.read(row)
            except NotFound:
                continue
        return None

    def _is_it(self, step: Step, read: Read) -> bool:
        marker = read.marker(self._install)
        owned = marker is not None and marker.mark.resource == step.request.get("resource")
        if step.expects.uid is None:
            return owned
        if step.request["call"] in _OWNED and marker is None:
            return False
        return observe.uid(read.vmid, marker) == step.expects.uid

    def _uid(self, read: Read) -> str:
        return observe.uid(read.vmid, read.marker(self._install))

    async def _with_rest(self, step: Step, read: Read) -> Read:
        """`read` with power, HA or firewall, where the step is about them."""
        call = Call(str(step.request["call"]))
        if call in POWER or call in (Call.SNAPSHOT, Call.DESTROY):
            return await self._reader.power(read)
        if call is Call.HA:
            return replace(read, ha=await self._reader.ha_row(read.kind, read.vmid))
        if call in (Call.FIREWALL, Call.RULE):
            return await self._reader.firewall(read)
        return read

    # --- what became of an op -----------------------------------------------------------------------------------------

    async def find(self, op: OpId, step: Step) -> Found:
        """See `Engine.find`."""
        return (await self.look(op, step)).found

    async def look(self, op: OpId, step: Step) -> Looked:
        """What became of `op`, once no thread is busy with it any more."""
        await self._client.settled(op)
        call = Call(str(step.request["call"]))
        if call in _MAKES:
            return await self._look_made(op, step, call)
        if call in _PLAIN:
            return Looked(await self._find_plain(op, step, call))
        if call is Call.DOWNLOAD:
            return Looked(await self._find_download(op, step))
        return await self._look_changed(op, step, call)

    async def _look_made(self, op: OpId, step: Step, call: Call) -> Looked:
        listing = await self.guests()
        kind, vmid = guest.KINDS[step.key.kind], int(str(step.request["vmid"]))
        uid = f"{vmid}.{op}"
        row = listing.guests.get(vmid)
        if row is None:
            other = listing.named(kind, step.key.name)
            return Looked(_TAKEN if other else _NOT_YET)
        if row["type"] != kind:
            return Looked(_TAKEN)
        read = await self._reader.read(row)
        lock = read.now.get("lock")
        if self._uid(read) == uid and lock is None:
            return Looked(Found(FoundState.ACTED, self._done(op, read)), read)
        if lock in ("create", "clone"):
            return Looked(await self._half_made(op, step, call, read, uid))
        return Looked(Found(FoundState.ACTED, self._done(op, read)) if self._uid(read) == uid else _TAKEN, read)

    async def _half_made(self, op: OpId, step: Step, call: Call, read: Read, uid: str) -> Found:
        """A placeholder bears no marker yet: our own task tells whose it is."""
        node, ident = read.node, read.vmid
        if call is Call.CLONE:
            source = (await self.guests()).guests.get(int(str(step.request["source"])))
            node, ident = (str(source["node"]), int(source["vmid"])) if source else (node, ident)
        running = await self._active(node, call, ident)
        if running is not None:
            return Found(FoundState.ACTED, Receipt(op, ReceiptState.RUNNING, running.text, uid))
        again = await self._reader.read(read.row)
        if again.now.get("lock") not in ("create", "clone"):
            return Found(FoundState.ACTED, self._done(op, again)) if self._uid(again) == uid else _TAKEN
        if not await self._was_ours(node, call, ident):
            return _TAKEN
        said = f"its task died; vmid {read.vmid} on {read.node} is left half made: qm unlock it and remove it by hand"
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.FAILED, uid=uid, message=said))

    async def _active(self, node: str, call: Call, ident: int) -> Upid | None:
        """Our own task of this kind that works on it now."""
        rows = await self._client.rows(at("nodes", node, "tasks"), source="active", vmid=ident)
        return next((u for r in rows if (u := self._own_task(r, call)) and r.get("status") in (None, "RUNNING")), None)

    async def _was_ours(self, node: str, call: Call, ident: int) -> bool:
        rows = await self._client.rows(at("nodes", node, "tasks"), source="all", vmid=ident)
        return any(self._own_task(r, call) for r in rows)

    def _own_task(self, row: Row, call: Call) -> Upid | None:
        found = tasks.upid(row.get("upid"))
        ours = found is not None and found.type in _TASKS[call] and found.user == self._client.settings.login
        return found if ours else None

    async def _look_changed(self, op: OpId, step: Step, call: Call) -> Looked:
        read = await self._there(step)
        uid = step.expects.uid
        if read is None or not (self._is_it(step, read) or self._forgotten(step, read)):
            if call is Call.DESTROY:
                return Looked(await self._find_destroyed(op, read, uid))
            if call is Call.DELETE_SNAPSHOT and read is None:
                return Looked(Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid)))
            return Looked(_NOT_YET if read is None else _TAKEN)
        read = await self._with_rest(step, read)
        uid = uid or self._uid(read)
        running = await self._active(read.node, call, read.vmid) if call in _TASKS else None
        if running is not None:
            return Looked(Found(FoundState.ACTED, Receipt(op, ReceiptState.RUNNING, running.text, uid)), read)
        if await self._stands(op, step, call, read):
            told = observe.outputs(read)
            return Looked(Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid, outputs=told)), read)
        return Looked(_NOT_YET, read)

    async def _find_destroyed(self, op: OpId, read: Read | None, uid: str | None) -> Found:
        """While a destroy works, nothing of the guest is left but its lock: it is over when the task is."""
        gone = Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid))
        if read is None or read.now.get("lock") != "destroyed":
            return gone
        running = await self._active(read.node, Call.DESTROY, read.vmid)
        if running is not None:
            return Found(FoundState.ACTED, Receipt(op, ReceiptState.RUNNING, running.text, uid))
        if not await self._was_ours(read.node, Call.DESTROY, read.vmid):
            return _TAKEN
        said = f"its destroy died; vmid {read.vmid} on {read.node} is left half removed: remove it by hand"
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.FAILED, uid=uid, message=said))

    def _forgotten(self, step: Step, read: Read) -> bool:
        """True for the guest that the step itself has taken our marker from."""
        forgets = step.request["call"] == Call.CONFIG and "raw" not in step.request and step.request["mark"] is None
        return forgets and marks.TAG not in read.then.get("tags", "").split(";") and read.marker(self._install) is None

    async def _stands(self, op: OpId, step: Step, call: Call, read: Read) -> bool:
        """True if the guest already stands as the request wants it."""
        request = step.request
        if call is Call.CONFIG:
            return self._is_written(op, request, read)
        if call in (Call.SNAPSHOT, Call.DELETE_SNAPSHOT):
            return (request["snapshot"] in await self._snapshots(read)) is (call is Call.SNAPSHOT)
        if call is Call.START:
            return read.runs
        if call in (Call.SHUTDOWN, Call.STOP):
            return not read.runs
        if call is Call.RESIZE:
            size = guest.size_of(read.then, str(request["disk"]))
            return size is not None and size >= int(str(request["size"]))
        if call is Call.TEMPLATE:
            return read.then.get("template") == "1"
        if call is Call.MEMBER:
            return (read.row.get("pool") or None) == request["pool"]
        return _beside(call, request, read)

    def _is_written(self, op: OpId, request: Mapping[str, Value], read: Read) -> bool:
        marker = read.marker(self._install)
        raw = request.get("raw")
        if isinstance(raw, Mapping):
            if marks.read(str(raw.get("description", "")), self._install) is not None:
                return marker is not None and marker.mark.op == op
            delete = request.get("delete")
            gone = all(k not in read.then for k in delete) if isinstance(delete, tuple | list) else True
            return gone and all(_same_text(k, read.then.get(k, ""), str(v)) for k, v in raw.items())
        if request["mark"] is None:
            return marker is None
        return marker is not None and marker.mark.op == op

    async def _snapshots(self, read: Read) -> set[str]:
        rows = await self._client.rows(at("nodes", read.node, read.kind, read.vmid, "snapshot"))
        return {str(r.get("name")) for r in rows}

    def _done(self, op: OpId, read: Read) -> Receipt:
        return Receipt(op, ReceiptState.DONE, uid=self._uid(read), outputs=observe.outputs(read))

    # --- pools, jobs, images ------------------------------------------------------------------------------------------

    async def plain(self, step: Step) -> Row | None:
        """The pool or job of this name, as listed."""
        if step.key.kind == others.POOL:
            rows, key = await self._client.rows(at("pools")), "poolid"
        else:
            rows, key = await self._client.rows(at("cluster", "backup")), "id"
        return next((r for r in rows if r.get(key) == step.key.name), None)

    def _seen_plain(self, step: Step, row: Row) -> Seen:
        if step.key.kind == others.POOL:
            return observe.seen_pool(row, self._install)
        return observe.seen_job(row, {}, self._install)

    async def _find_plain(self, op: OpId, step: Step, call: Call) -> Found:
        row = await self.plain(step)
        seen = self._seen_plain(step, row) if row is not None else None
        uid = step.expects.uid or f"{step.key.name}.{op}"
        acted = Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid, outputs={"name": step.key.name}))
        if call in (Call.REMOVE_POOL, Call.REMOVE_JOB):
            return _NOT_YET if seen is not None and seen.uid == uid else acted
        if seen is None or row is None:
            return _NOT_YET
        if call in (Call.CREATE_POOL, Call.CREATE_JOB):
            return acted if seen.uid == uid else _TAKEN
        if "raw" in step.request:
            raw = step.request["raw"]
            assert isinstance(raw, Mapping)
            said = marks.read(str(raw.get("comment") or ""), self._install)
            done = seen.mark is not None and seen.mark.op == op if said else seen.mark is None
            return acted if done else _NOT_YET
        if step.request["mark"] is None:
            return acted if seen.mark is None else _NOT_YET
        if seen.uid != uid:
            return _TAKEN
        return acted if seen.mark is not None and seen.mark.op == op else _NOT_YET

    async def _find_download(self, op: OpId, step: Step) -> Found:
        listing = await self._reader.listing()
        row = await self._reader.image(step.key, listing)
        uid = str(step.request["image"])
        if row is None:
            return _NOT_YET
        told: dict[str, Value] = {"image": uid}
        return Found(FoundState.ACTED, Receipt(op, ReceiptState.DONE, uid=uid, outputs=told))


def _beside(call: Call, request: Mapping[str, Value], read: Read) -> bool:
    fields = read.coming()
    if call is Call.HA:
        wanted = request["ha"]
        assert isinstance(wanted, Mapping)
        live = {p.removeprefix("ha."): v for p, v in fields.items() if p.startswith("ha.")}
        before = request["from"]
        dropped = [k for k in before if k not in wanted] if isinstance(before, Mapping) else []
        same = all(live.get(k) == v for k, v in wanted.items())
        return bool(live) == bool(wanted) and same and not any(k in live for k in dropped)
    if call is Call.FIREWALL:
        changed = request["set"]
        assert isinstance(changed, Mapping)
        return all(fields.get(f"firewall.{k}") == v for k, v in changed.items())
    if call is Call.RULE:
        live_rules, after = fields.get("firewall.rules"), request["after"]
        assert isinstance(live_rules, tuple)
        assert isinstance(after, tuple | list)
        return rules.same(live_rules, after)
    return False  # a rollback leaves no mark of itself; to send it again has the same effect


def check_fields(step: Step, read: Read) -> None:
    """Raises Conflict if a field the step was planned against has moved."""
    fields = read.coming() if step.expects.fields else {}
    for path, planned in step.expects.fields.items():
        if not _alike(fields.get(path), planned):
            raise Conflict(f"{step.key}: {path} has changed since the plan")
    if step.request["call"] == Call.RULE:
        live, before = read.coming().get("firewall.rules"), step.request["before"]
        if not (isinstance(live, tuple) and isinstance(before, tuple | list) and rules.same(live, before)):
            raise Conflict(f"{step.key}: the firewall's rules have changed since the plan")
    if step.request["call"] == Call.MEMBER and (read.row.get("pool") or None) != step.request["from"]:
        raise Conflict(f"{step.key}: its pool has changed since the plan")


def _alike(live: Value, planned: Value) -> bool:
    plain_live = list(live) if isinstance(live, tuple | list) else live
    plain_planned = list(planned) if isinstance(planned, tuple | list) else planned
    return plain_live == plain_planned


def _as_sent(value: Any) -> Value:
    """A value of a row as the call that writes it takes it: some versions tell property strings in parts."""
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, Mapping) else value


def _same_text(key: str, live: str, wanted: str) -> bool:
    if key == "tags":
        return guest.same_tags(live, wanted)
    return marks.notes_of(live) == marks.notes_of(wanted) if key == "description" else live == wanted
