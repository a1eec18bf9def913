"""What a Docker host told → Seen objects. Pure: the raw lists and inspects come in as arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.blueprint.value import Value
from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import Claim, ClaimKind, Mark, Masked, ObjectKey, Part, Seen
from engines.docker import container, image, marks, network, volume
from engines.docker.marks import Note

Mask = Callable[[str], Masked]
Raw = Mapping[str, Any]
_PART = re.compile(r"(.+)\.[a-z0-9-]+\.(new|old)")
_SECRET_NAME = re.compile(r"(?i)pass|secret|token|credential|private|api_?key|access_?key|auth|dsn")
_LOGIN_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def name_of(found: Raw) -> str:
    """A container's name: inspect says `Name`, a list `Names`; both with a slash before it."""
    names = found.get("Names") or [found.get("Name", "")]
    own = [n for n in names if str(n).count("/") == 1] or names
    return str(own[0]).removeprefix("/")


def part_of(name: str, mark: Mark | None) -> Part:
    """Whether a container belongs to a run under way, told by its name; only ours can."""
    ending = _PART.fullmatch(name) if mark else None
    if ending is None:
        return Part.CURRENT
    return Part.STAGED if ending[2] == "new" else Part.KEPT


def own_key(part: ObjectKey) -> ObjectKey:
    """The key of the object that a part belongs to: its name without what the run put behind it."""
    ending = _PART.fullmatch(part.name)
    return ObjectKey(part.kind, ending[1]) if ending else part


def owned_container(
    found: Raw, newest: Mapping[str, Note], files: Mapping[str, Value], install: str, mask: Mask, host: str
) -> Seen:
    """An inspected container; `files` are the contents that were read back from it."""
    name, uid = name_of(found), str(found["Id"])
    labels = (found.get("Config") or {}).get("Labels") or {}
    mark = marks.effective(labels, uid, install, newest)
    fields = {**container.live(found), **files}
    secret = mark.secrets if mark else frozenset(p for p, v in fields.items() if looks_secret(p, v))
    fields = container.conceal(fields, secret, mask)
    if mark and marks.REFS in labels:
        fields["refs"] = _refs(str(labels[marks.REFS]))
    if note := newest.get(uid):
        fields["note"] = note.name
    held = bool((found.get("State") or {}).get("Running"))
    return Seen(
        key=ObjectKey(container.KIND, name),
        uid=uid,
        version=None,
        mark=mark,
        part=part_of(name, mark),
        claims=container.claims(fields, name, holds=held),
        fields=fields,
        outputs=outputs(found, host),
        health=health_of(found),
    )


def looks_secret(path: str, value: Value) -> bool:
    """In what others made nobody says which values are secret: names and logins in addresses tell most."""
    if not path.startswith(("env.", "command", "entrypoint", "labels.")):
        return False
    text = value if isinstance(value, str) else " ".join(str(v) for v in value) if isinstance(value, tuple) else ""
    hinted = _SECRET_NAME.search(path if path.startswith("env.") else text) if path[:4] != "labe" else None
    return bool(text) and bool(hinted or _LOGIN_IN_URL.search(text))


def listed_container(found: Raw, mark: Mark | None) -> Seen:
    """A container as the list tells it, which is enough for what is not asked about: who it is and what it holds."""
    name = name_of(found)
    claims = {Claim(ClaimKind.NAME, f"container/{name}")}
    for port in found.get("Ports") or () if found.get("State") == "running" else ():
        if port.get("PublicPort"):
            ip = port.get("IP", "")
            within = "*" if ip in ("", "0.0.0.0", "::") else ip  # noqa: S104 - compared, not bound
            claims.add(Claim(ClaimKind.PORT, f"{port['PublicPort']}/{port.get('Type', 'tcp')}", within))
    return Seen(
        key=ObjectKey(container.KIND, name),
        uid=str(found["Id"]),
        version=None,
        mark=mark,
        part=part_of(name, mark),
        claims=frozenset(claims),
        fields={"image": found.get("Image", "")},
    )


def other(kind: str, found: Raw, newest: Mapping[str, Note], install: str) -> Seen:
    """A listed network or volume."""
    name = str(found["Name"])
    about = network if kind == network.KIND else volume
    fields = about.live(found)
    uid = str(found["Id"]) if kind == network.KIND else volume.uid(found)
    mark = marks.effective(found.get("Labels"), uid, install, newest)
    if note := newest.get(uid):
        fields["note"] = note.name
    claims = network.claims(name, fields) if kind == network.KIND else volume.claims(name, 0)
    told: Mapping[str, Value] = network.outputs(found) if kind == network.KIND else {"name": name}
    key = ObjectKey(kind, name)
    return Seen(key, uid, None, mark, Part.CURRENT, claims, fields, outputs=told, health=HEALTHY)


def local_image(found: Raw, reference: str) -> Seen:
    """An image that lies on the host. Images carry no mark: they belong to the host."""
    fields = image.live(found, reference)
    key = ObjectKey(image.KIND, reference)
    told = {"image": reference, "digest": fields["digest"]}
    return Seen(key, str(found.get("Id")), None, None, Part.CURRENT, image.claims(reference), fields, outputs=told)


def outputs(found: Raw, host: str) -> dict[str, Value]:
    """What other resources may refer to: name, id, address, published ports, and a URL where there is one."""
    settings = found.get("NetworkSettings") or {}
    networks = settings.get("Networks") or {}
    addresses = [n.get("IPAddress") for _, n in sorted(networks.items()) if n.get("IPAddress")]
    published = _published(settings.get("Ports") or {})
    told: dict[str, Value] = {
        "name": name_of(found),
        "id": str(found["Id"]),
        "image": (found.get("Config") or {}).get("Image", ""),
        "ports": published,
    }
    if addresses:
        told["address"] = addresses[0]
    if published:
        told["port"] = published[sorted(published, key=_port_order)[0]]
        told["url"] = f"http://{host}:{told['port']}"
    return told


def _published(ports: Raw) -> dict[str, int]:
    return {inner: int(found[0]["HostPort"]) for inner, found in sorted(ports.items()) if found}


def _port_order(inner: str) -> tuple[int, str]:
    number, _, protocol = inner.partition("/")
    return int(number), protocol


def health_of(found: Raw) -> Health:
    """The platform's own word: HEALTHCHECK, else whether it runs."""
    state = found.get("State") or {}
    status = state.get("Status")
    check = (state.get("Health") or {}).get("Status")
    if status == "running" and check in (None, "none", "healthy"):
        return HEALTHY
    if status == "running":
        starting = check == "starting"
        return Health(HealthState.PROGRESSING if starting else HealthState.DEGRADED, f"its HEALTHCHECK says {check}")
    if status == "paused":
        return Health(HealthState.SUSPENDED, "paused")
    if status == "created":
        return Health(HealthState.PROGRESSING, "created")
    restart = ((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    if container.running(found, restart) == "finished":
        return HEALTHY
    return Health(HealthState.DEGRADED, f"{status} with code {state.get('ExitCode')}")


def wanted_by_claims(seen: Seen, asked: frozenset[Claim]) -> bool:
    """True if it holds something that is asked for."""
    return any(mine.collides(other) for mine in seen.claims for other in asked)


def short_of(count: int, listed: Sequence[Raw]) -> str | None:
    """Why a list of containers cannot be whole: the host itself counts more (I9)."""
    if len(listed) >= count:
        return None
    return f"the host has {count} containers and listed {len(listed)}"


def _refs(text: str) -> dict[str, Value]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    listed = found.items() if isinstance(found, dict) else ()
    return {str(k): tuple(v) if isinstance(v, list) else v for k, v in listed}
