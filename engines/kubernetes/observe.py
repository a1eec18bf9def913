"""Live objects → `Seen`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Claim, ClaimKind, Masked, ObjectKey, Part, Seen
from engines.kubernetes import health, marks
from engines.kubernetes.objects import Raw, flat, group_kind, masked, place_of, uid_of

Mask = Callable[[str], Masked]
DELETION = "deletion"  # the task of an object that is being deleted


def seen_of(found: Raw, key: ObjectKey, install: str, mask: Mask) -> Seen:
    """One live object, secret values already gone."""
    metadata = found["metadata"]
    return Seen(
        key=key,
        uid=uid_of(found),
        version=str(metadata.get("resourceVersion")),
        mark=marks.read(found, install),
        part=Part.CURRENT,
        claims=claims(key),
        fields=fields_of(found, mask),
        outputs=outputs(found, key),
        health=health.of(found),
        task=DELETION if metadata.get("deletionTimestamp") else None,
    )


def fields_of(found: Raw, mask: Mask) -> dict[str, Value]:
    """What a blueprint may set, but the marks, with secret values masked."""
    hidden, uid = marks.secret_paths(found), uid_of(found)
    # Labels and selectors that hold the object's own uid (a Job's) say nothing that could be wanted.
    said = {p: v for p, v in flat(found).items() if v != uid and not marks.is_own(p)}
    return masked(said, hidden.__contains__, mask, encoded=marks.is_secret(found)) if hidden else said


def claims(key: ObjectKey) -> frozenset[Claim]:
    """An object holds its own name, so that two scopes that want it meet in the plan."""
    return frozenset({Claim(ClaimKind.NAME, str(key))})


OUTPUTS = frozenset({"name", "namespace", "address", "port", "cluster_ip", "external"})


def outputs(found: Raw, key: ObjectKey) -> dict[str, Value]:
    """What other resources may use."""
    namespace, name = place_of(key)
    said: dict[str, Value] = {"name": name}
    if namespace:
        said["namespace"] = namespace
    if group_kind(str(found.get("apiVersion")), str(found.get("kind"))) == "Service":
        said |= _service(found, namespace, name)
    return said


def _service(found: Raw, namespace: str, name: str) -> dict[str, Value]:
    spec: dict[str, Any] = found.get("spec") or {}
    said: dict[str, Value] = {"address": f"{name}.{namespace}.svc"}
    if spec.get("clusterIP") and spec["clusterIP"] != "None":
        said["cluster_ip"] = spec["clusterIP"]
    if spec.get("ports"):
        said["port"] = spec["ports"][0]["port"]
    for ingress in ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        said.setdefault("external", ingress.get("ip") or ingress.get("hostname"))
    return said
