"""One simulated object: its JSON record, and what a reader makes of it. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from controller.blueprint.entry import OnDelete
from controller.blueprint.value import Value
from controller.plan.codec import from_json, to_json
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import (
    Capacity,
    Claim,
    ClaimKind,
    Fields,
    Mark,
    MarkLifecycle,
    ObjectKey,
    Part,
    ResourceId,
    Seen,
)
from controller.plan.step import OpId
from engines.simulation.model import amount
from engines.simulation.world import Record

ADDRESS_PATHS = ("network.private_ip", "address")
SLOW_CHECKS = 3  # how many checks a `health: slow` start takes
SIMULATE = "simulate"
_RUN_SUFFIX = re.compile(r"\.[a-z0-9-]+\.(?:new|old)$")
_PLAIN = (str, int, bool, type(None))


def values(stored: Mapping[str, Any]) -> dict[str, Value]:
    """Stored JSON → fields, markers and masks restored."""
    return {p: v if isinstance(v, _PLAIN) else from_json(object, v) for p, v in stored.items()}


def stored(fields: Fields) -> dict[str, Any]:
    """Fields → JSON of the state file."""
    return {p: v if type(v) in _PLAIN else to_json(v) for p, v in fields.items()}


def mark_of(record: Record) -> Mark | None:
    """The owner written on an object; a mark that names no resource id owns nothing (it was forged or damaged)."""
    mark = record["mark"]
    if not isinstance(mark, dict) or not _is_resource(mark.get("resource"), mark.get("scope")):
        return None
    try:
        return Mark(
            mark["install"],
            mark["scope"],
            mark["resource"],
            mark["op"],
            MarkLifecycle(bool(mark["protect"]), OnDelete(mark["on_delete"])),
            frozenset(mark["fields"]),
            frozenset(mark["secrets"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def mark_json(mark: Mark | None) -> Any:
    """The inverse of `mark_of`."""
    if mark is None:
        return None
    return {
        "install": mark.install,
        "scope": mark.scope,
        "resource": mark.resource,
        "op": mark.op,
        "protect": mark.lifecycle.protect,
        "on_delete": mark.lifecycle.on_delete.value,
        "fields": sorted(mark.fields),
        "secrets": sorted(mark.secrets),
    }


def _is_resource(resource: object, scope: object) -> bool:
    return isinstance(resource, str) and resource.count("/") == 2 and resource.split("/")[0] == scope


def seen_of(record: Record, health: Health | None = None) -> Seen:
    """One record as a reader meets it. `health` overrides what the object itself says."""
    fields = values(record["fields"])
    if record["running"] is not None:
        fields["running"] = record["running"]
    key = ObjectKey(record["kind"], record["name"])
    return Seen(
        key=key,
        uid=record["uid"],
        version=str(record["version"]),
        mark=mark_of(record),
        part=Part(record["part"]),
        claims=held(record, fields),
        fields=fields,
        pending=values(record["pending"]),
        outputs=outputs(record, fields),
        health=health or health_of(record),
        task=record["task"],
    )


def name_claim(key: ObjectKey) -> Claim:
    """The name itself: two objects of one kind cannot bear it."""
    return Claim(ClaimKind.NAME, str(key))


def claims(key: ObjectKey, fields: Fields) -> frozenset[Claim]:
    """What an object with these fields holds while it runs. A port is one of the host only where it is published
    (`8080:80`); every object has an address of its own."""
    found = [name_claim(key), *shares(fields)]
    for path, value in fields.items():
        if path.startswith("ports.") and isinstance(value, str):
            within, _, port = value.rpartition(":")
            protocol = path.rpartition("/")[2] or "tcp"
            found.append(Claim(ClaimKind.PORT, f"{port}/{protocol}", within or "*"))
        elif path in ADDRESS_PATHS and isinstance(value, str):
            found.append(Claim(ClaimKind.ADDRESS, value))
    return frozenset(found)


def shares(fields: Fields) -> Iterable[Claim]:
    """Counted parts of the target: bytes and millicores, times the replicas."""
    times = fields.get("replicas")
    times = times if isinstance(times, int) and times > 0 else 1
    counted = ((ClaimKind.CPU, "cpu"), (ClaimKind.MEMORY, "memory"), (ClaimKind.DISK, "storage"))
    for kind, path in counted:
        value = fields.get(path)
        each = amount(path, value) if isinstance(value, str | int) else 0
        if each:
            yield Claim(kind, path, amount=each * times)


def exclusive(found: Iterable[Claim]) -> frozenset[Claim]:
    """The ports and addresses among them: what stopping an object sets free."""
    return frozenset(c for c in found if c.kind in (ClaimKind.PORT, ClaimKind.ADDRESS))


def held(record: Record, fields: Fields) -> frozenset[Claim]:
    """What it holds now: a stopped object keeps its name and its share of the disk."""
    found = claims(ObjectKey(record["kind"], record["name"]), fields)
    return found if record["running"] is not False else found - exclusive(found)


def outputs(record: Record, fields: Fields) -> dict[str, Value]:
    """Deterministic: the same name always gets the same address."""
    name = own_name(record["name"])
    address = fields.get("network.private_ip") or fields.get("address")
    if not isinstance(address, str):
        address = derived_address(record["kind"], name)
    result: dict[str, Value] = {"id": record["uid"], "name": name, "address": address}
    ports = sorted((int(p[6:].partition("/")[0]), v) for p, v in fields.items() if _is_port(p))
    if ports:
        published = ports[0][1]
        port = int(published.rpartition(":")[2]) if isinstance(published, str) else ports[0][0]
        result["port"] = port
        result["url"] = f"http://{address}:{port}"
    if isinstance(fields.get("url"), str):
        result["url"] = fields["url"]
    return result


def uid_of(op: OpId) -> str:
    """The uid of what a create makes: never drawn at random, so a test can tell runs apart."""
    return f"sim-{op}"


def own_name(name: str) -> str:
    """A name without what a run puts behind it while it replaces an object."""
    return _RUN_SUFFIX.sub("", name)


def _is_port(path: str) -> bool:
    return path.startswith("ports.") and path[6:].partition("/")[0].isdigit()


def derived_address(kind: str, name: str) -> str:
    """An address in 10.64.0.0/10 that only the name decides."""
    digest = hashlib.sha256(f"{kind}:{name}".encode()).digest()
    return f"10.{64 + digest[0] % 64}.{digest[1]}.{1 + digest[2] % 254}"


def health_of(record: Record) -> Health:
    """What the platform says of an object: stopped, half made, or as `specs.simulate.health` wants it."""
    if record["broken"]:
        return Health(HealthState.DEGRADED, "half made: the platform gave up on it")
    if record["running"] is False:
        return Health(HealthState.DEGRADED, "stopped")
    wish = record["fields"].get("simulate.health")
    if wish == "never":
        return Health(HealthState.DEGRADED, "simulate.health is never")
    if wish == "slow" and record["checks"] < SLOW_CHECKS:
        return Health(HealthState.PROGRESSING, f"starting, check {record['checks']} of {SLOW_CHECKS}")
    return HEALTHY


def used(records: Iterable[Record]) -> dict[ClaimKind, int]:
    """Millicores and bytes that these objects take together."""
    total = dict.fromkeys((ClaimKind.CPU, ClaimKind.MEMORY, ClaimKind.DISK), 0)
    for record in records:
        for share in shares(record["fields"]):
            total[share.kind] += share.amount
    return total


def capacity_left(total: Capacity, records: Iterable[Record]) -> Capacity:
    """`total` with the free figures filled in; a figure the target does not tell stays None."""
    if total == Capacity():
        return total
    taken = used(records)
    return Capacity(
        total.cpu_millicores,
        _left(total.cpu_millicores, taken[ClaimKind.CPU]),
        total.memory_bytes,
        _left(total.memory_bytes, taken[ClaimKind.MEMORY]),
        total.disk_bytes,
        _left(total.disk_bytes, taken[ClaimKind.DISK]),
    )


def _left(total: int | None, taken: int) -> int | None:
    return None if total is None else max(0, total - taken)


def resource_of(mark: Mark) -> ResourceId:
    """The id a mark bears; `mark_of` has made sure it is one."""
    return ResourceId.parse(mark.resource)
