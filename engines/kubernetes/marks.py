"""The marks of an object: a label that finds it, annotations that say whose it is (design.md 7). Pure.

`fields` is what server-side apply keeps by itself: the managed fields of the manager `alma`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from controller.blueprint.entry import OnDelete
from controller.plan.resource import Mark, MarkLifecycle, ResourceId
from engines.kubernetes import managed
from engines.kubernetes.objects import SECRET, Raw

LABEL = "app.kubernetes.io/managed-by"
ALMA = "alma"
SELECTOR = f"{LABEL}={ALMA}"
PREFIX = "gitops.alma/"
INSTALL, SCOPE, RESOURCE, OP = (PREFIX + name for name in ("install", "scope", "resource", "op"))
PROTECT, ON_DELETE, SECRETS, HEALTH = (PREFIX + name for name in ("protect", "on-delete", "secrets", "health"))
OWN = frozenset({INSTALL, SCOPE, RESOURCE, OP, PROTECT, ON_DELETE, SECRETS})


def said_by(mark: Mark) -> dict[str, str]:
    """The annotations that say `mark`."""
    said = {INSTALL: mark.install, SCOPE: mark.scope, RESOURCE: mark.resource, OP: mark.op}
    if mark.lifecycle.protect:
        said[PROTECT] = "true"
    if mark.lifecycle.on_delete is not OnDelete.DESTROY:
        said[ON_DELETE] = mark.lifecycle.on_delete
    if mark.secrets:
        said[SECRETS] = json.dumps(sorted(mark.secrets))
    return said


def is_own(path: str) -> bool:
    """True for a path of a mark itself: never compared, never shown."""
    return path == f"metadata.labels.{LABEL}" or path.removeprefix("metadata.annotations.") in OWN


def read(found: Raw, install: str) -> Mark | None:
    """The mark on a live object, or None when it is not whole or of another install: then it is foreign (I16)."""
    metadata = found.get("metadata") or {}
    said: Mapping[str, str] = metadata.get("annotations") or {}
    if (metadata.get("labels") or {}).get(LABEL) != ALMA or said.get(INSTALL) != install or not said.get(OP):
        return None
    scope, resource = said.get(SCOPE, ""), said.get(RESOURCE, "")
    try:
        if not scope or ResourceId.parse(resource).scope != scope:
            return None
        lifecycle = MarkLifecycle(said.get(PROTECT) == "true", OnDelete(said.get(ON_DELETE, OnDelete.DESTROY)))
    except ValueError:
        return None
    fields = frozenset(p for p in managed.paths(found) if not is_own(p))
    return Mark(install, scope, resource, said[OP], lifecycle, fields, secret_paths(found) & fields)


def op_of(found: Raw) -> str:
    """The op that wrote the object last, or nothing."""
    return str((found["metadata"].get("annotations") or {}).get(OP, ""))


def secret_paths(found: Raw) -> frozenset[str]:
    """Paths whose values are secret: all data of a Secret, and what the mark of another kind names."""
    if is_secret(found):
        return frozenset(f"data.{key}" for key in found.get("data") or {})
    text = (found["metadata"].get("annotations") or {}).get(SECRETS, "[]")
    try:
        listed = json.loads(text)
    except ValueError:
        return frozenset()
    return frozenset(str(p) for p in listed) if isinstance(listed, list) else frozenset()


def is_secret(body: Raw) -> bool:
    """True for a core Secret."""
    return (body.get("apiVersion"), body.get("kind")) == ("v1", SECRET)
