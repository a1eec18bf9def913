"""What the tests of the Kubernetes engine share: a binding, entries in words, and HTTP past the engine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.blueprint.entry import Entry
from controller.errors import Place, Problem
from controller.plan.resource import Allow, Desired, Expanding, Masked
from engines.engine import Binding
from engines.kubernetes.kinds import KINDS
from tests.servers.kubernetes import ControlPlane

SCOPE, BLUEPRINT, INSTALL, TARGET = "prod", "shop", "home", "main"
KEY = b"key of the tests"
Body = dict[str, Any]


def mask(value: str) -> Masked:
    return Masked(hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest())


def redact(text: str) -> str:
    return text[:4096]


def binding(plane: ControlPlane, install: str = INSTALL, **config: Any) -> Binding:
    """An engine's binding as administrator, or as the `config` says."""
    said = {"kubeconfig": str(plane.kubeconfig), "namespace": "default", **config}
    return Binding(install, TARGET, said, mask, redact, lambda: 0.0, Path("unused"))


def entry(name: str, type_: str = "manifest", scope: str = SCOPE, **more: Any) -> Entry:
    """An entry as the loader would make it."""
    return Entry(scope, BLUEPRINT, name, type_, Place("shop.yaml", 3, 5), **more)


def expand(entries: Sequence[Entry], allow: Allow | None = None) -> tuple[list[Desired], list[Problem]]:
    """All desired objects and all problems of one blueprint."""
    scope = entries[0].scope if entries else SCOPE
    names = {e.name: KINDS[e.type].key(e, e.scope) for e in entries}
    about = Expanding(scope, TARGET, allow or Allow(), names)
    made = [KINDS[e.type].expand(e, about) for e in entries]
    return [d for objects, _ in made for d in objects], [p for _, problems in made for p in problems]


def config_map(name: str, data: Mapping[str, Any], namespace: str = "") -> Body:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def deployment(name: str, image: str = "alma-test/web:1.0", replicas: int = 1, **container: Any) -> Body:
    labels = {"app": name}
    pod = {"containers": [{"name": "web", "image": image, **container}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def by_hand(plane: ControlPlane, path: str, body: Body, manager: str = "kubectl-edit") -> None:
    """A change by somebody else, under their own field manager."""
    plane.api("PATCH", f"{path}?fieldManager={manager}", body, "application/merge-patch+json")
