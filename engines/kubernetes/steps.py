"""The requests a plan is made of, each complete but for its markers, its mark's op and the version. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

import orjson

from controller.blueprint.entry import OnDelete, Probe
from controller.blueprint.value import Secret, Value, markers
from controller.plan.codec import public_json
from controller.plan.resource import NO_FIELDS, Desired, Fields, MarkLifecycle, ObjectKey
from controller.plan.step import Expect, Phase, Step
from engines.kubernetes.objects import frozen

_ORDINARY = MarkLifecycle()
# Made before users could notice, and waited for: nothing else of the run can stand without them.
FIRST = ("Namespace", "CustomResourceDefinition.apiextensions.k8s.io")


class Call(StrEnum):
    """What a step asks of the API server."""

    APPLY = "apply"  # server-side apply under our field manager
    DELETE = "delete"
    UNMARK = "unmark"  # the object stays, without an owner
    REMARK = "remark"  # what an unmark took off


class Propagation(StrEnum):
    """What a deletion does with what the object owns."""

    FOREGROUND = "Foreground"
    BACKGROUND = "Background"
    ORPHAN = "Orphan"


def applied(desired: Desired, expects: Expect, phase: Phase = Phase.CUT, probe: Probe | None = None) -> Step:
    """The object as the blueprint wants it."""
    body = desired.private["body"]
    assert isinstance(body, Mapping)
    secrets = tuple(sorted(p for p, v in desired.fields.items() if any(isinstance(m, Secret) for m in markers(v))))
    step = applying(
        desired.key, str(desired.resource), body, expects, phase, MarkLifecycle.of(desired.lifecycle), secrets
    )
    if desired.lifecycle.ignore:
        step = replace(step, request={**step.request, "kept": desired.lifecycle.ignore})
    return replace(step, check=probe)


def applying(
    key: ObjectKey,
    resource: str,
    body: Mapping[str, Value],
    expects: Expect,
    phase: Phase,
    lifecycle: MarkLifecycle = _ORDINARY,
    secrets: tuple[str, ...] = (),
) -> Step:
    """`content` stands for the body in a digest, which leaves out every key named `version` or `uid`."""
    request: dict[str, Value] = {
        "call": Call.APPLY.value,
        "resource": resource,
        "body": frozen(body),
        "content": hashlib.sha256(orjson.dumps(public_json(body), option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "protect": lifecycle.protect,
        "on_delete": lifecycle.on_delete.value,
        "secrets": secrets,
    }
    return Step(phase, key, expects, request)


def deletion(
    key: ObjectKey,
    resource: str,
    expects: Expect,
    phase: Phase,
    propagation: Propagation = Propagation.FOREGROUND,
    fields: Fields = NO_FIELDS,
) -> Step:
    """The object goes, and what it owns with it."""
    request: dict[str, Value] = {"call": Call.DELETE.value, "resource": resource, "propagation": propagation.value}
    return Step(phase, key, replace(expects, fields=fields), request)


def unmarking(key: ObjectKey, resource: str, uid: str | None) -> Step:
    """The object stays as it is and is nobody's."""
    return Step(Phase.CUT, key, Expect(uid=uid), {"call": Call.UNMARK.value, "resource": resource})


def lifecycle_of(request: Mapping[str, Value]) -> MarkLifecycle:
    """The lifecycle that an apply writes into the mark."""
    return MarkLifecycle(request.get("protect") is True, OnDelete(str(request.get("on_delete", OnDelete.DESTROY))))
