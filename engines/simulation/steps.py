"""The requests that take an object from here to there, in the order and phases of engine.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.blueprint.entry import Probe
from controller.blueprint.value import Value
from controller.plan.resource import Desired, Fields, Mark, MarkLifecycle, ObjectKey, Part, ResourceId, Seen
from controller.plan.step import RUN, Expect, Phase, Step
from engines.simulation.model import is_active, is_manifest


def beside(key: ObjectKey) -> ObjectKey:
    """Where the new one of a replacement is made."""
    return ObjectKey(key.kind, f"{key.name}.{RUN}.new")


def aside(key: ObjectKey) -> ObjectKey:
    """Where the old one of a replacement waits until the run is verified."""
    return ObjectKey(key.kind, f"{key.name}.{RUN}.old")


def creation(wanted: Desired, fields: Fields) -> tuple[Step, ...]:
    """STAGE create, CUT start. What does not run is there at once."""
    made = Step(_create_phase(wanted.key), wanted.key, Expect(absent=True), _create(wanted, fields, Part.CURRENT))
    if not is_active(wanted.key.kind):
        return (made,)
    return made, _own(wanted.key, wanted.resource, "start", reversible=_reversible(fields))


def replacement(
    wanted: Desired, old: Seen, fields: Fields, expected: Fields, start_first: bool, probe: Probe | None
) -> tuple[Step, ...]:
    """A new one beside, a swap, and the old one away at the end. A manifest cannot stand twice under one name."""
    if is_manifest(wanted.key.kind):
        return _in_its_place(wanted, old, fields, expected)
    active, new = is_active(wanted.key.kind), beside(wanted.key)
    made = Step(Phase.STAGE, new, Expect(absent=True), _create(wanted, fields, Part.STAGED))
    before = (_own(new, wanted.resource, "start", check=probe),) if start_first and active else ()
    stop = (_on(old, "stop", expected),) if active else ()
    away = _on(old, "rename", {} if active else expected, to=aside(wanted.key).name, part=Part.KEPT.value)
    swap = _own(new, wanted.resource, "rename", to=wanted.key.name, part=Part.CURRENT.value)
    after = (_own(wanted.key, wanted.resource, "start", reversible=_reversible(fields)),)
    retire = Step(Phase.RETIRE, aside(wanted.key), Expect(uid=old.uid), {"call": "remove"})
    return made, *before, *stop, away, swap, *(after if active and not start_first else ()), retire


def _in_its_place(wanted: Desired, old: Seen, fields: Fields, expected: Fields) -> tuple[Step, ...]:
    gone = Step(Phase.CUT, old.key, Expect(uid=old.uid, fields=expected), {"call": "remove"})
    made = Step(Phase.CUT, wanted.key, Expect(absent=True), _create(wanted, fields, Part.CURRENT))
    return gone, made


def writing(
    key: ObjectKey, uid: str | None, changed: Fields, unset: Sequence[str], expected: Fields, reversible: bool = True
) -> Step:
    """Fields of a living object, in place."""
    request = {"call": "update", "fields": dict(changed), "unset": tuple(unset)}
    return Step(Phase.CUT, key, Expect(uid=uid, fields=expected), request, reversible=reversible)


def rebooting(old: Seen) -> Step:
    """What is pending takes effect."""
    return _on(old, "reboot", {})


def moving(old: Seen, wanted: Desired) -> Step:
    """The object and its mark under a new name."""
    return _on(old, "rename", {}, to=wanted.key.name, part=Part.CURRENT.value, moves=str(wanted.resource))


def marking(wanted: Desired, uid: str | None, paths: Sequence[str], secrets: Sequence[str]) -> Step:
    """What the object says of its owner; its fields stay."""
    request = {"call": "mark", **_owner(wanted), "paths": tuple(sorted(paths)), "secrets": tuple(sorted(secrets))}
    return Step(Phase.CUT, wanted.key, Expect(uid=uid), request)


def starting(old: Seen) -> Step:
    """Something stopped it by hand, or it fell over."""
    return _on(old, "start", {"running": False})


def removal(old: Seen) -> tuple[Step, ...]:
    """CUT stop, RETIRE remove; what does not run is only removed."""
    gone = Step(Phase.RETIRE, old.key, Expect(uid=old.uid), {"call": "remove"})
    return (_on(old, "stop", {}), gone) if is_active(old.key.kind) else (gone,)


def unstaging(staged: Seen) -> tuple[Step, ...]:
    """A part that a run made beside the object and never brought in; it may run already (start-first)."""
    gone = Step(Phase.RETIRE, staged.key, Expect(uid=staged.uid), {"call": "remove"})
    return (_on(staged, "stop", {}), gone) if staged.fields.get("running") else (gone,)


def putting_back(kept: Seen, key: ObjectKey) -> tuple[Step, ...]:
    """The replaced object under its own name again, and running if it is something that runs."""
    named = _on(kept, "rename", {}, to=key.name, part=Part.CURRENT.value)
    stopped = kept.fields.get("running") is False
    return (named, under(_on(kept, "start", {}), key)) if stopped else (named,)


def forgetting(old: Seen) -> Step:
    """The object stays, without an owner."""
    return _on(old, "unmark", {})


def _create_phase(key: ObjectKey) -> Phase:
    return Phase.CUT if is_manifest(key.kind) else Phase.STAGE


def _create(wanted: Desired, fields: Fields, part: Part) -> Mapping[str, Value]:
    return {"call": "create", **_owner(wanted), "fields": dict(fields), "part": part.value}


def _owner(wanted: Desired) -> dict[str, Value]:
    lifecycle = MarkLifecycle.of(wanted.lifecycle)
    return {
        "resource": str(wanted.resource),
        "protect": lifecycle.protect,
        "on_delete": lifecycle.on_delete.value,
    }


def _on(old: Seen, call: str, expected: Fields, **request: Value) -> Step:
    """A step on an object that was seen, bound to its uid."""
    return Step(Phase.CUT, old.key, Expect(uid=old.uid, fields=expected), {"call": call, **request})


def _own(
    key: ObjectKey,
    resource: ResourceId,
    call: str,
    check: Probe | None = None,
    reversible: bool = True,
    **request: Value,
) -> Step:
    """A step on an object this run makes: no uid yet, so it must bear our mark of this resource."""
    body = {"call": call, "resource": str(resource), **request}
    return Step(Phase.CUT, key, Expect(), body, reversible=reversible, check=check)


def _reversible(fields: Fields) -> bool:
    return fields.get("simulate.irreversible") is not True


def mark_paths(mark: Mark | None) -> frozenset[str]:
    """The field paths ALMA set last; none on what is not ours."""
    return mark.fields if mark else frozenset()


def under(step: Step, key: ObjectKey) -> Step:
    """The same step on the object's new name."""
    return replace(step, key=key)
