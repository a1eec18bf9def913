"""The final parameters of the calls that make and change guests, from a step's filled request and what was read. Pure.

Every text is judged by the policy here, right before it is sent (I38).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from controller.blueprint.entry import OnDelete
from controller.plan.resource import Allow, Mark, MarkLifecycle
from engines.engine import Refused
from engines.proxmox import guest, marks, policy
from engines.proxmox.guest import Change
from engines.proxmox.marks import Marker
from engines.proxmox.observe import Read
from engines.proxmox.options import LXC
from engines.proxmox.settings import Settings
from engines.proxmox.undo import change_of

Request = Mapping[str, Any]
# A text that makes PVE copy or allocate takes long: that call works in a task.
_ALLOCATES = re.compile(r"[^,]+:(\d+(\.\d+)?|cloudinit)(,|$)")


def marker_of(said: Request, install: str, op: str, born: str) -> Marker:
    """The marker that `mark_request` describes, whole."""
    lifecycle = MarkLifecycle(bool(said["protect"]), OnDelete(str(said["on_delete"])))
    paths, refs = frozenset(map(str, said["fields"])), {str(k): str(v) for k, v in said["refs"].items()}
    mark = Mark(install, str(said["scope"]), str(said["resource"]), op, lifecycle, paths, frozenset(refs))
    return Marker(mark, born, refs, int(said.get("cut_off_s") or 0))


def creation(
    kind: str, request: Request, name: str, install: str, op: str, allow: Allow, bounds: Settings
) -> dict[str, str]:
    """What the create call takes. Raises Refused for what policy forbids."""
    fields, born = request["set"], request["birth"]
    config = _parameters(kind, {}, Change(fields), born)
    config[guest.name_key(kind)] = name
    config["vmid"] = str(request["vmid"])
    config["tags"] = guest.with_tags("", Change(fields), ours=True)
    config["description"] = _notes(str(fields.get("description", "")), marker_of(request["mark"], install, op, op))
    if request.get("pool"):
        config["pool"] = str(request["pool"])
    if kind == LXC:
        config |= _container_birth(born)
    _judge(kind, config, {}, allow, bounds)
    _refuse(policy.placement(str(request["node"]), config.get("pool"), allow, bounds))
    return config


def _container_birth(born: Request) -> dict[str, str]:
    found = {"ostemplate": str(born["image"])} if born.get("image") else {}
    found |= {"password": str(born["password"])} if born.get("password") else {}
    if keys := born.get("ssh_keys"):
        found["ssh-public-keys"] = "\n".join(str(k) for k in keys)
    return found


def copy(
    kind: str, request: Request, name: str, install: str, op: str, allow: Allow, bounds: Settings
) -> dict[str, str]:
    """What the clone call takes."""
    notes = _notes("", marker_of(request["mark"], install, op, op))
    config = {"newid": str(request["vmid"]), guest.name_key(kind): name, "description": notes}
    config["full"] = "1" if request["full"] else "0"
    config |= {k: str(request[k]) for k in ("target", "storage", "pool") if request.get(k)}
    _refuse(policy.placement(config.get("target"), config.get("pool"), allow, bounds))
    if bounds.storages and config.get("storage") and config["storage"] not in bounds.storages:
        raise Refused(f"storage {config['storage']} is not among those of this target")
    return config


def change(request: Request, read: Read, install: str, op: str, allow: Allow, bounds: Settings) -> dict[str, str]:
    """What the configuration call takes; never empty, as the marker names the op. Raises Refused for what policy
    forbids, and for a guest that another ALMA has marked."""
    if "raw" in request:
        return _restored(request, read, install, op)
    before = read.then.get("description", "")
    marker = read.marker(install)
    if marker is None and marks.forges(before):
        raise Refused(f"vmid {read.vmid} is marked by another install of ALMA; it is not ours to take")
    wanted = change_of(request)
    config = _parameters(read.kind, read.then, wanted, request.get("birth") or {})
    own = str(wanted.set["description"]) if "description" in wanted.set else marks.notes_of(before)
    own = "" if "description" in wanted.unset else own
    mark = request["mark"]
    kept = marker_of(mark, install, op, marker.born if marker else "") if mark is not None else None
    config["description"] = _notes(own, kept)
    tags = guest.with_tags(read.then.get("tags", ""), wanted, ours=mark is not None)
    config |= {"tags": tags} if not guest.same_tags(tags, read.then.get("tags", "")) else {}
    if not config.get("tags", "-"):
        config = _deleting({k: v for k, v in config.items() if k != "tags"}, "tags")
    if not config["description"]:
        config = _deleting({k: v for k, v in config.items() if k != "description"}, "description")
    if mark is not None and request["name"] != read.name:
        config[guest.name_key(read.kind)] = str(request["name"])
    _judge(read.kind, config, read.then, allow, bounds)
    return config


def _restored(request: Request, read: Read, install: str, op: str) -> dict[str, str]:
    """Undo: texts as they were, but for the op in the marker."""
    config = {k: str(v) for k, v in request["raw"].items() if str(v) != read.then.get(k)}
    if "description" in request["raw"]:
        config["description"] = renewed(str(request["raw"]["description"]), install, op)
    new = sorted(k for k in request.get("delete") or () if k in read.then)
    if new:
        config["delete"] = ",".join(new)
        # A disk that the step itself had added holds nothing: detached only, it would be left behind as unused.
        if any(guest.sized(read.kind, k) or k in ("efidisk0", "tpmstate0") for k in new):
            config["force"] = "1"
    return config


def renewed(notes: str, install: str, op: str) -> str:
    """The same notes, their marker naming another op."""
    marker = marks.read(notes, install)
    if marker is None:
        return notes
    said = {
        "scope": marker.mark.scope,
        "resource": marker.mark.resource,
        "protect": marker.mark.lifecycle.protect,
        "on_delete": str(marker.mark.lifecycle.on_delete),
        "fields": marker.mark.fields,
        "refs": marker.refs,
        "cut_off_s": marker.cut_off_s,
    }
    return marks.with_marker(notes, marker_of(said, install, op, marker.born))


def _parameters(kind: str, current: Mapping[str, str], wanted: Change, born: Request) -> dict[str, str]:
    try:
        return guest.parameters(kind, current, wanted, born)
    except ValueError as error:
        raise Refused(str(error)) from None


def _deleting(config: dict[str, str], key: str) -> dict[str, str]:
    return {**config, "delete": ",".join(sorted({*filter(None, config.get("delete", "").split(",")), key}))}


def _notes(own: str, marker: Marker | None) -> str:
    _refuse(policy.notes(own))
    return marks.with_marker(own, marker)


def _judge(kind: str, config: Mapping[str, str], current: Mapping[str, str], allow: Allow, bounds: Settings) -> None:
    _refuse(policy.config(kind, config, current, allow, bounds))


def _refuse(found: list[policy.Refusal]) -> None:
    if found:
        raise Refused("; ".join(f"{path}: {why}" for path, why in found))


def allocates(config: Mapping[str, str]) -> bool:
    """True if PVE must make a volume for it."""
    return any(_ALLOCATES.match(v) for k, v in config.items() if k not in ("description", "tags"))
