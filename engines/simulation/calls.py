"""The verbs of the simulated platform: each changes the state in memory or raises, and knows no plan. Pure.

`Conflict`: not what was planned against. `Refused`: the platform says no, and would say it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.plan.resource import Capacity, Claim, ClaimKind, ObjectKey, Part
from controller.plan.step import OpId
from engines.engine import Conflict, Refused
from engines.simulation.model import is_active, takes_reboot
from engines.simulation.record import exclusive, held, own_name, uid_of, used, values
from engines.simulation.world import Data, Record


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the platform gets it: filled, secret values already masked. `install` is who asks."""

    op: OpId
    key: ObjectKey
    install: str
    request: Mapping[str, Any]  # stored JSON
    secrets: frozenset[str] = frozenset()  # paths of `fields` that hold secret values
    version: str | None = None
    capacity: Capacity = field(default_factory=Capacity)

    @property
    def name(self) -> str:
        return str(self.request["call"])


def perform(data: Data, call: Call) -> Record | None:
    """Carry out one call; the object after it, None once it is gone. Nothing has changed when this raises."""
    verb = _VERBS.get(call.name)
    if verb is None:
        raise Refused(f"the simulation knows no call {call.name}")
    return verb(data, call)


def _create(data: Data, call: Call) -> Record:
    if str(call.key) in data["objects"]:
        raise Conflict(f"{call.key} is already there")
    fields = dict(call.request["fields"])
    record: Record = {
        "kind": call.key.kind,
        "name": call.key.name,
        "uid": uid_of(call.op),
        "version": 1,
        "part": call.request.get("part", Part.CURRENT.value),
        "running": False if is_active(call.key.kind) else None,
        "fields": _filled_in(call.key, fields),
        "pending": dict(call.request.get("pending", {})),
        "mark": _new_mark(call, set(call.request.get("paths", fields))),
        "task": None,
        "checks": 0,
        "broken": False,
    }
    _must_fit(data, call, record)
    data["objects"][str(call.key)] = record
    return record


def _filled_in(key: ObjectKey, fields: dict[str, Any]) -> dict[str, Any]:
    """What a platform adds by itself; in no mark, and so never drift."""
    return {"hostname": own_name(key.name)[:63], "restart": "no", **fields} if is_active(key.kind) else fields


def _new_mark(call: Call, paths: set[str]) -> dict[str, Any]:
    resource = call.request["resource"]
    return {
        "install": call.install,
        "scope": resource.split("/")[0],
        "resource": resource,
        "op": call.op,
        "protect": call.request.get("protect", False),
        "on_delete": call.request.get("on_delete", "destroy"),
        "fields": sorted(paths),
        "secrets": sorted(call.secrets),
    }


def _update(data: Data, call: Call) -> Record:
    record = _target(data, call)
    after = {**record["fields"], **call.request.get("fields", {})}
    _must_fit(data, call, {**record, "fields": after})
    for path, value in call.request.get("fields", {}).items():
        _write(record, path, value)
    for path in call.request.get("unset", ()):
        _write(record, path, None)
    _remark(record, call)
    return _moved_on(record)


def _write(record: Record, path: str, value: Any) -> None:
    """A guest that runs takes some values only at its next boot; until then they are pending."""
    waits = takes_reboot(record["kind"], path) and record["running"]
    if waits and record["fields"].get(path) != value:
        record["pending"][path] = value
        return
    record["pending"].pop(path, None)
    if value is None:
        record["fields"].pop(path, None)
    else:
        record["fields"][path] = value


def _remark(record: Record, call: Call) -> None:
    mark, request = record["mark"], call.request
    wrote, dropped = set(request.get("fields", ())), set(request.get("unset", ()))
    mark["fields"] = sorted((set(mark["fields"]) | wrote) - dropped)
    mark["secrets"] = sorted((set(mark["secrets"]) - wrote - dropped) | call.secrets)
    mark["op"] = call.op
    for part in ("resource", "protect", "on_delete"):
        if part in request:
            mark[part] = request[part]


def _mark(data: Data, call: Call) -> Record:
    """Take an object over, or change what its mark says. Its fields stay as they are."""
    record = _target(data, call)
    record["mark"] = _new_mark(call, set(call.request["paths"])) | {"secrets": sorted(call.request.get("secrets", ()))}
    return _moved_on(record)


def _unmark(data: Data, call: Call) -> Record:
    record = _target(data, call)
    record["mark"] = None
    return _moved_on(record)


def _restore(data: Data, call: Call) -> Record:
    """Put fields, what is pending and the mark back as they were; what this does not name stays."""
    record = _target(data, call)
    record["fields"].update(call.request["fields"])
    for path in call.request["unset"]:
        record["fields"].pop(path, None)
    record["pending"] = dict(call.request["pending"])
    record["mark"] = call.request["mark"]
    return _moved_on(record)


def _start(data: Data, call: Call) -> Record:
    record = _target(data, call)
    _must_be_free(data, record)
    record.update(running=True, checks=0, fields=_with_pending(record), pending={})
    return _moved_on(record)


def _reboot(data: Data, call: Call) -> Record:
    record = _target(data, call)
    record.update(checks=0, fields=_with_pending(record), pending={})
    return _moved_on(record)


def _with_pending(record: Record) -> dict[str, Any]:
    return {p: v for p, v in {**record["fields"], **record["pending"]}.items() if v is not None}


def _stop(data: Data, call: Call) -> Record:
    record = _target(data, call)
    record["running"] = False
    return _moved_on(record)


def _rename(data: Data, call: Call) -> Record:
    record = _target(data, call)
    to = ObjectKey(call.key.kind, call.request["to"])
    if str(to) in data["objects"]:
        raise Conflict(f"{to} is already there")
    del data["objects"][str(call.key)]
    record.update(name=to.name, part=call.request["part"])
    if "moves" in call.request:
        record["mark"] = {**record["mark"], "resource": call.request["moves"], "op": call.op}
    data["objects"][str(to)] = record
    return _moved_on(record)


def _remove(data: Data, call: Call) -> None:
    _target(data, call)
    del data["objects"][str(call.key)]


_VERBS: Mapping[str, Callable[[Data, Call], Record | None]] = {
    "create": _create,
    "update": _update,
    "mark": _mark,
    "unmark": _unmark,
    "restore": _restore,
    "start": _start,
    "stop": _stop,
    "reboot": _reboot,
    "rename": _rename,
    "remove": _remove,
}


def _target(data: Data, call: Call) -> Record:
    """The object the call is for, if it is still the version that was read (I14). What is not ours is not changed
    (I16), but by `mark`: a person named its uid."""
    record: Record | None = data["objects"].get(str(call.key))
    if record is None:
        raise Conflict(f"{call.key} is not there")
    if str(record["version"]) != call.version:
        raise Conflict(f"{call.key} has moved on to version {record['version']}")
    if call.name not in ("mark", "restore") and (record["mark"] or {}).get("install") != call.install:
        raise Conflict(f"{call.key} is not ours")
    return record


def _moved_on(record: Record) -> Record:
    record["version"] += 1
    return record


def _must_fit(data: Data, call: Call, record: Record) -> None:
    limits = {
        ClaimKind.CPU: call.capacity.cpu_millicores,
        ClaimKind.MEMORY: call.capacity.memory_bytes,
        ClaimKind.DISK: call.capacity.disk_bytes,
    }
    if not any(limits.values()):
        return
    wanted = used([record, *(r for k, r in data["objects"].items() if k != str(call.key))])
    for kind, limit in limits.items():
        if limit is not None and wanted[kind] > limit:
            raise Refused(f"{call.key} does not fit: the target is short of {wanted[kind] - limit} {kind}")


def _must_be_free(data: Data, record: Record) -> None:
    """A port or address that another running object holds stops a start, as on a real host."""
    wanted = _ports_of(record, running=True)
    if not wanted:
        return
    for other in data["objects"].values():
        if other is record or other["running"] is False:
            continue
        clash = next((c for c in wanted for o in _ports_of(other) if c.collides(o)), None)
        if clash:
            raise Refused(f"{clash} is already held by {other['kind']}:{other['name']}")


def _ports_of(record: Record, running: bool | None = None) -> frozenset[Claim]:
    state = record if running is None else {**record, "running": running}
    return exclusive(held(state, values(record["fields"])))
