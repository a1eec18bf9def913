"""The steps a plan may hold for a cluster, each one request. Pure.

A guest that is there is addressed by the uid its step expects, whose first part is its vmid; one that the run itself
makes, by the name chosen here (I10), and then its marker is looked at before anything is sent. Its vmid is chosen in
the plan, so the request is complete: a create that finds the id taken is a conflict, and the next plan has another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.blueprint.value import Secret, Value, markers, replace
from controller.plan.resource import NO_FIELDS, Desired, Fields, ObjectKey, Seen
from controller.plan.step import RUN, Expect, Phase, Step


class Call(StrEnum):
    """The requests ALMA sends."""

    CREATE = "guest.create"
    CLONE = "guest.clone"
    CONFIG = "guest.config"
    RESIZE = "guest.resize"
    TEMPLATE = "guest.template"
    START = "guest.start"
    SHUTDOWN = "guest.shutdown"
    STOP = "guest.stop"
    SNAPSHOT = "guest.snapshot"
    ROLLBACK = "guest.rollback"
    DELETE_SNAPSHOT = "guest.delete-snapshot"
    DESTROY = "guest.destroy"
    MEMBER = "guest.pool"
    HA = "guest.ha"
    FIREWALL = "firewall.options"
    RULE = "firewall.rule"
    CREATE_POOL = "pool.create"
    UPDATE_POOL = "pool.update"
    REMOVE_POOL = "pool.remove"
    CREATE_JOB = "backup-job.create"
    UPDATE_JOB = "backup-job.update"
    REMOVE_JOB = "backup-job.remove"
    DOWNLOAD = "image.download"


POWER = (Call.START, Call.SHUTDOWN, Call.STOP)
SNAPSHOT_NAME = f"alma-{RUN}"


def frozen(request: Mapping[str, Value]) -> dict[str, Value]:
    """A request as it will be read back from a journal: tuples where the API has lists."""
    found = replace(request, lambda leaf: leaf)
    assert isinstance(found, dict)
    return found


def refs(fields: Fields) -> dict[str, str]:
    """Secret paths and the references they are filled from."""
    return {p: m.ref for p, v in sorted(fields.items()) for m in markers(v) if isinstance(m, Secret)}


def mark_request(desired: Desired, fields: Fields | None = None) -> dict[str, Value]:
    """What an object's marker will say, but for install, op and birth, which `do` adds."""
    return {
        "scope": desired.resource.scope,
        "resource": str(desired.resource),
        "protect": desired.lifecycle.protect,
        "on_delete": str(desired.lifecycle.on_delete),
        "fields": tuple(sorted(desired.fields if fields is None else fields)),
        "refs": refs(desired.fields),
        "cut_off_s": cut_off_s(desired.private.get("stop")),
    }


def cut_off_s(stop: Value) -> int:
    """After how many seconds a guest is cut off that does not end by itself; 0: never."""
    return int(str(stop["timeout_s"])) if isinstance(stop, Mapping) and stop.get("force") else 0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the steps of one guest are about: one that is there, or one that this run makes."""

    key: ObjectKey
    resource: str
    seen: Seen | None = None
    vmid: int | None = None  # of one that this run makes

    def step(
        self,
        phase: Phase,
        call: Call,
        more: Mapping[str, Value],
        before: Fields = NO_FIELDS,
        *,
        reversible: bool = True,
    ) -> Step:
        """One step about it; `before`: fields that must still read so."""
        request: dict[str, Value] = {"call": call.value, "resource": self.resource, **more}
        if self.vmid is not None:
            request["vmid"] = self.vmid
        expects = Expect() if self.seen is None else Expect(uid=self.seen.uid, fields=before)
        return Step(phase, self.key, expects, frozen(request), reversible)


def create(desired: Desired, vmid: int, node: str, fields: Fields, born: Mapping[str, Value], pool: Value) -> Step:
    """Makes a guest, not started; nobody notices."""
    request: dict[str, Value] = {
        "call": Call.CREATE.value,
        "resource": str(desired.resource),
        "vmid": vmid,
        "node": node,
        "set": fields,
        "birth": born,
        "pool": pool,
        "mark": mark_request(desired),
    }
    return Step(Phase.STAGE, desired.key, Expect(absent=True), frozen(request))


@dataclass(frozen=True, slots=True)
class Source:
    """What a guest is cloned from."""

    vmid: int
    node: str
    fields: Fields
    template: bool


def clone(desired: Desired, vmid: int, source: Source, node: str, full: bool, storage: Value, pool: Value) -> Step:
    """Copies a guest; what else it shall be is written by the steps after it."""
    request: dict[str, Value] = {
        "call": Call.CLONE.value,
        "resource": str(desired.resource),
        "vmid": vmid,
        "source": source.vmid,
        "full": full,
        "target": node if node != source.node else None,
        "storage": storage if full else None,
        "pool": pool,
        "mark": mark_request(desired),
    }
    return Step(Phase.STAGE, desired.key, Expect(absent=True), frozen(request))


def config(
    target: Target,
    phase: Phase,
    changed: Mapping[str, Value],
    unset: Sequence[str],
    remove: Sequence[str],
    mark: Mapping[str, Value] | None,
    before: Fields = NO_FIELDS,
    born: Mapping[str, Value] | None = None,
) -> Step:
    """Writes options, notes and marker in one call. `mark` None: our marker and tag are taken away."""
    more: dict[str, Value] = {
        "set": changed,
        "unset": tuple(unset),
        "remove": tuple(remove),
        "mark": mark,
        "name": target.key.name,
        "birth": dict(born or {}),
    }
    return target.step(phase, Call.CONFIG, more, before)


def resize(target: Target, phase: Phase, disk: str, size: int, before: Fields = NO_FIELDS) -> Step:
    """Grows a volume. No request makes it smaller again."""
    more: dict[str, Value] = {"disk": disk, "size": size}
    return target.step(phase, Call.RESIZE, more, before, reversible=phase is not Phase.CUT)


def power(target: Target, call: Call, stop: Mapping[str, Value], before: Fields = NO_FIELDS) -> Step:
    """Starts, or takes down as the plan says."""
    return target.step(Phase.CUT, call, {"stop": dict(stop)}, before)


def snapshot(target: Target) -> list[Step]:
    """A snapshot before, and its end after."""
    more: dict[str, Value] = {"snapshot": SNAPSHOT_NAME}
    return [
        target.step(Phase.STAGE, Call.SNAPSHOT, more),
        target.step(Phase.RETIRE, Call.DELETE_SNAPSHOT, more, reversible=False),
    ]


def destroy(target: Target, phase: Phase = Phase.RETIRE) -> Step:
    """Removes a stopped guest and its volumes for good, and its name from jobs and HA."""
    return target.step(phase, Call.DESTROY, {}, reversible=False)


def member(target: Target, phase: Phase, pool: Value, before: Value) -> Step:
    """Moves a guest into a pool, from one to another, or out of one."""
    return target.step(phase, Call.MEMBER, {"pool": pool, "from": before})


def ha(target: Target, wanted: Mapping[str, Value], before: Mapping[str, Value]) -> Step:
    """What HA is asked for; nothing wanted: it is not managed any more."""
    return target.step(Phase.CUT, Call.HA, {"ha": dict(wanted), "from": dict(before)})


def firewall(target: Target, phase: Phase, wanted: Mapping[str, Value], before: Mapping[str, Value]) -> Step:
    """Options of a guest's firewall."""
    return target.step(phase, Call.FIREWALL, {"set": dict(wanted), "from": dict(before)})


def rule(target: Target, phase: Phase, edit: Mapping[str, Value]) -> Step:
    """One edit of the list of rules (`firewall.Edit`)."""
    return target.step(phase, Call.RULE, edit)


def simple(
    phase: Phase, call: Call, key: ObjectKey, uid: str | None, more: Mapping[str, Value], before: Fields = NO_FIELDS
) -> Step:
    """A step about a pool, a job or an image. `uid` None: it must not be there."""
    request: dict[str, Value] = {"call": call.value, **more}
    expects = Expect(absent=True) if uid is None else Expect(uid=uid, fields=before)
    return Step(phase, key, expects, frozen(request), reversible=phase is not Phase.RETIRE)
