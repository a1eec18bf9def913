"""The steps a plan may hold for a Docker host, each one request. Pure.

An object that is there is addressed by the uid its step expects; one that the run itself makes, by the name chosen
here (I10), and then its mark is looked at before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace as replaced
from enum import StrEnum

from controller.blueprint.entry import OnDelete, Probe
from controller.blueprint.value import Value, replace
from controller.plan.resource import NO_FIELDS, Desired, Fields, Mark, MarkLifecycle, ObjectKey, Seen
from controller.plan.step import RUN, Expect, Phase, Step
from engines.docker import container, image, marks, network, volume


class Call(StrEnum):
    """The requests ALMA sends."""

    PULL = "image.pull"
    CREATE = "container.create"
    PUT = "container.put"
    UPDATE = "container.update"
    START = "container.start"
    STOP = "container.stop"
    UNPAUSE = "container.unpause"
    RENAME = "container.rename"
    REMOVE = "container.remove"
    CREATE_NETWORK = "network.create"
    REMOVE_NETWORK = "network.remove"
    CONNECT = "network.connect"
    CREATE_VOLUME = "volume.create"
    REMOVE_VOLUME = "volume.remove"
    NOTE = "note.create"


def staged(name: str) -> str:
    """Name of the new container while the run prepares it."""
    return f"{name}.{RUN}.new"


def kept(name: str) -> str:
    """Name of the old container until the run is verified."""
    return f"{name}.{RUN}.old"


def key(name: str) -> ObjectKey:
    """Key of the container `name`."""
    return ObjectKey(container.KIND, name)


def frozen(request: Mapping[str, Value]) -> dict[str, Value]:
    """A request as it will be read back from a journal: tuples where the API has lists."""
    frozen = replace(request, lambda leaf: leaf)
    assert isinstance(frozen, dict)
    return frozen


def mark_request(desired: Desired, fields: Fields) -> dict[str, Value]:
    """What a created object's labels will say, but for install and op, which `do` adds."""
    return {
        "scope": desired.resource.scope,
        "resource": str(desired.resource),
        "protect": desired.lifecycle.protect,
        "on_delete": str(desired.lifecycle.on_delete),
        "fields": tuple(sorted(fields)),
        "secrets": tuple(sorted(container.secret_paths(fields))),
    }


def mark_of(request: Mapping[str, Value], install: str, op: str) -> Mark:
    """The mark that `mark_request` describes, whole."""
    fields, secrets = request.get("fields"), request.get("secrets")
    lifecycle = MarkLifecycle(bool(request["protect"]), OnDelete(str(request["on_delete"])))
    return Mark(
        install,
        str(request["scope"]),
        str(request["resource"]),
        op,
        lifecycle,
        frozenset(fields) if isinstance(fields, tuple | list) else frozenset(),
        frozenset(secrets) if isinstance(secrets, tuple | list) else frozenset(),
    )


def pull(reference: str) -> Step:
    """`reference` is NAME@DIGEST or NAME:TAG. The image stays when the run is undone."""
    request = {"call": Call.PULL.value, "image": reference}
    return Step(Phase.STAGE, ObjectKey(image.KIND, reference), Expect(), frozen(request))


def create(desired: Desired, fields: Fields, source: str, name: str) -> list[Step]:
    """Makes the container beside whatever runs, with its files and further networks; nobody notices."""
    body = container.body(fields, source)
    request: dict[str, Value] = {
        "call": Call.CREATE.value,
        "body": body,
        "mark": mark_request(desired, desired.fields),
        "image": fields["image"],
        "refs": container.refs(desired.fields),
    }
    steps = [Step(Phase.STAGE, key(name), Expect(absent=True), frozen(request))]
    if files := container.below(fields, "files"):
        modes = container.below(fields, "modes")
        put = {path: {"content": content, "mode": modes[path]} for path, content in files.items()}
        steps.append(_on_own(Phase.STAGE, Call.PUT, desired, name, {"files": put}))
    for joined, options in sorted(container.below(fields, "networks").items())[1:]:
        more: dict[str, Value] = {"network": joined, "endpoint": container.endpoint(options)}
        steps.append(_on_own(Phase.STAGE, Call.CONNECT, desired, name, more))
    return steps


def start(desired: Desired, name: str, check: Probe | None = None) -> Step:
    """Starts what this run has made."""
    return _on_own(Phase.CUT, Call.START, desired, name, {}, check)


def rename_new(desired: Desired, name: str, to: str) -> Step:
    """Gives what this run has made its name."""
    return _on_own(Phase.CUT, Call.RENAME, desired, name, {"to": to})


def start_again(seen: Seen) -> Step:
    """Starts a container of ours that somebody stopped or paused."""
    call = Call.UNPAUSE if seen.fields.get("running") == "paused" else Call.START
    return _on_seen(Phase.CUT, call, seen, {})


def update(seen: Seen, fields: Fields, paths: Iterable[str]) -> Step:
    """Limits and restart policy of a living container."""
    changed = sorted(paths)
    before = {p: seen.fields.get(p) for p in changed}
    after = {p: fields[p] for p in changed}
    request: dict[str, Value] = {"body": container.limits_body(fields, changed), "fields": after}
    return _on_seen(Phase.CUT, Call.UPDATE, seen, request, before)


def hold(seen: Seen) -> list[Step]:
    """Takes the restart policy away, so that a restart of the host does not start the old beside the new."""
    if seen.fields.get("restart") == "no":
        return []
    no = {"restart": "no"}
    return [_on_seen(Phase.CUT, Call.UPDATE, seen, {"body": container.limits_body(no, no), "fields": no})]


def stop(seen: Seen) -> list[Step]:
    """Stops it, unless it does not run."""
    if seen.fields.get("running") not in (True, "paused"):
        return []
    return [_on_seen(Phase.CUT, Call.STOP, seen, {"grace_s": seen.fields.get("stop_grace_s")})]


def rename_old(seen: Seen) -> Step:
    """Takes the old container's name away."""
    return _on_seen(Phase.CUT, Call.RENAME, seen, {"to": kept(seen.key.name)})


def unstage(staged: Seen) -> list[Step]:
    """Takes a container away that a run made beside the object and never brought in; it may run (start-first)."""
    runs = staged.fields.get("running") in (True, "paused")
    return [*(hold(staged) if runs else ()), *stop(staged), remove(staged, volumes=True)]


def put_back(kept: Seen, to: ObjectKey) -> list[Step]:
    """Gives the old container its name back and starts it. Its restart policy is mended as drift is."""
    named = _on_seen(Phase.CUT, Call.RENAME, kept, {"to": to.name})
    return [named, _on_seen(Phase.CUT, Call.START, replaced(kept, key=to), {})]


def remove(seen: Seen, *, name: str | None = None, volumes: bool = False) -> Step:
    """Removes for good. `volumes`: its anonymous ones too."""
    step = _on_seen(Phase.RETIRE, Call.REMOVE, seen, {"volumes": volumes})
    return step if name is None else Step(step.phase, key(name), step.expects, step.request, step.reversible)


def create_network(desired: Desired, fields: Fields) -> Step:
    """Makes a network; nobody notices."""
    request: dict[str, Value] = {
        "call": Call.CREATE_NETWORK.value,
        "body": network.body(fields, desired.key.name),
        "mark": mark_request(desired, fields),
    }
    return Step(Phase.STAGE, desired.key, Expect(absent=True), frozen(request))


def create_volume(desired: Desired, fields: Fields) -> Step:
    """Makes an empty volume; nobody notices."""
    request: dict[str, Value] = {
        "call": Call.CREATE_VOLUME.value,
        "body": volume.body(fields, desired.key.name),
        "mark": mark_request(desired, fields),
    }
    return Step(Phase.STAGE, desired.key, Expect(absent=True), frozen(request))


def remove_other(seen: Seen) -> Step:
    """Removes a network or volume for good."""
    call = Call.REMOVE_NETWORK if seen.key.kind == network.KIND else Call.REMOVE_VOLUME
    return _on_seen(Phase.RETIRE, call, seen, {})


def note(seen: Seen, mark: Mapping[str, Value] | None) -> list[Step]:
    """Writes a new mark for `seen` beside it (None: forgotten), and takes the older note away in the end."""
    last = seen.fields.get("note")
    number = int(str(last).rpartition("-")[2]) + 1 if last else 1
    name = marks.note_name(str(seen.uid), number)
    request: dict[str, Value] = {"call": Call.NOTE.value, "uid": seen.uid, "number": number, "mark": mark}
    steps = [Step(Phase.CUT, ObjectKey(volume.KIND, name), Expect(absent=True), frozen(request))]
    return steps + remove_note(seen)


def remove_note(seen: Seen) -> list[Step]:
    """Takes the note about an object away that goes, or that has a newer one."""
    last = seen.fields.get("note")
    if not last:
        return []
    request: dict[str, Value] = {"call": Call.REMOVE_VOLUME.value, "note": True}
    return [Step(Phase.RETIRE, ObjectKey(volume.KIND, str(last)), Expect(), frozen(request), reversible=False)]


def _on_own(
    phase: Phase, call: Call, desired: Desired, name: str, more: Mapping[str, Value], check: Probe | None = None
) -> Step:
    request: dict[str, Value] = {"call": call.value, "resource": str(desired.resource), **more}
    return Step(phase, key(name), Expect(), frozen(request), check=check)


def _on_seen(phase: Phase, call: Call, seen: Seen, more: Mapping[str, Value], before: Fields = NO_FIELDS) -> Step:
    request: dict[str, Value] = {"call": call.value, **more}
    return Step(
        phase, seen.key, Expect(uid=seen.uid, fields=before), frozen(request), reversible=phase is not Phase.RETIRE
    )
