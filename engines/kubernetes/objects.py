"""One Kubernetes object as plain JSON: what it is called, and its fields as flat paths. Pure.

A list whose elements have a name of their own is one path per element (`spec.template.spec.containers.web.image`,
`spec.ports.80/TCP.targetPort`), as server-side apply merges it; every other list is one value.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Masked, ObjectKey

Raw = Mapping[str, Any]
KIND = "kubernetes/"
SECRET = "Secret"  # noqa: S105 - the name of a kind
_UNSAID = frozenset({"apiVersion", "kind", "metadata", "status"})
_SAID_METADATA = ("annotations", "finalizers", "labels", "ownerReferences")
# Notes that the cluster's own controllers and kubectl keep for themselves; the last one repeats the whole object.
_NOTES = tuple(
    f"metadata.annotations.{prefix}"
    for prefix in (
        "batch.kubernetes.io/job-tracking",
        "deployment.kubernetes.io/",
        "deprecated.daemonset.template.generation",
        "pv.kubernetes.io/",
        "volume.beta.kubernetes.io/",
        "volume.kubernetes.io/",
        "kubectl.kubernetes.io/last-applied-configuration",
    )
)
# The keys that lists of the core kinds are merged by (`x-kubernetes-list-map-keys` of the published OpenAPI).
_LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
}
_PORT_KEYS = (("containerPort", "protocol"), ("port", "protocol"))
DEFAULTS = {"protocol": "TCP"}


def group_kind(api_version: str, kind: str) -> str:
    """`Deployment.apps`; a kind of the core group stands alone."""
    group = group_of(api_version)
    return f"{kind}.{group}" if group else kind


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`; empty for the core group."""
    return api_version.partition("/")[0] if "/" in api_version else ""


def key_of(body: Raw, namespaced: bool, namespace: str = "") -> ObjectKey:
    """`kubernetes/Deployment.apps` and `NAMESPACE/NAME`, or the name alone for what has no namespace."""
    metadata = body.get("metadata") or {}
    name, where = str(metadata.get("name", "")), str(metadata.get("namespace") or namespace)
    kind = KIND + group_kind(str(body.get("apiVersion", "")), str(body.get("kind", "")))
    return ObjectKey(kind, f"{where}/{name}" if namespaced else name)


def place_of(key: ObjectKey) -> tuple[str, str]:
    """Namespace (empty for what has none) and name."""
    namespace, _, name = key.name.rpartition("/")
    return namespace, name


def kind_of(key: ObjectKey) -> str:
    """`Deployment.apps` of `kubernetes/Deployment.apps`."""
    return key.kind.removeprefix(KIND)


def uid_of(found: Raw) -> str:
    """The platform's identity of a live object."""
    return str(found["metadata"]["uid"])


def flat(body: Raw) -> dict[str, Value]:
    """Every field that a blueprint may set, by its path. Status and what only the platform writes is left out."""
    found: dict[str, Value] = {}
    for name, value in body.items():
        if name not in _UNSAID:
            _flatten(name, name, value, found)
    metadata = body.get("metadata") or {}
    for name in _SAID_METADATA:
        if metadata.get(name):
            _flatten(f"metadata.{name}", name, metadata[name], found)
    return {p: v for p, v in found.items() if not p.startswith(_NOTES)}


def _flatten(path: str, name: str, value: Value, found: dict[str, Value]) -> None:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            _flatten(f"{path}.{key}", str(key), item, found)
    elif isinstance(value, list | tuple) and (keys := list_keys(name, value)):
        for item in value:
            _flatten(f"{path}.{element(item, keys)}", "", item, found)
    else:
        found[path] = frozen(value)


def frozen(value: Any) -> Any:
    """Lists as tuples, as everything that crosses the contract."""
    if isinstance(value, Mapping):
        return {k: frozen(v) for k, v in value.items()}
    return tuple(frozen(v) for v in value) if isinstance(value, list | tuple) else value


def list_keys(name: str, items: Sequence[Value]) -> tuple[str, ...]:
    """The keys that tell the elements of the list `name` apart, or none where it is one value."""
    if not items or not all(isinstance(item, Mapping) for item in items):
        return ()
    choices = _PORT_KEYS if name == "ports" else (_LIST_KEYS[name],) if name in _LIST_KEYS else ()
    for keys in choices:
        texts = [element(item, keys) for item in items if isinstance(item, Mapping)]
        if all(isinstance(item, Mapping) and keys[0] in item for item in items) and len(set(texts)) == len(items):
            return keys
    return ()


def element(item: Value, keys: Sequence[str]) -> str:
    """What an element is called in a path: `web`, `80/TCP`."""
    assert isinstance(item, Mapping)
    return "/".join(str(item.get(key, DEFAULTS.get(key, ""))) for key in keys)


def masked(
    fields: Mapping[str, Value], secret: Callable[[str], bool], mask: Callable[[str], Masked], encoded: bool
) -> dict[str, Value]:
    """`fields` with the values of secret paths masked. `encoded`: they are base64, as in a Secret."""
    return {p: mask(_plain(v, encoded)) if secret(p) and v is not None else v for p, v in fields.items()}


def _plain(value: Value, encoded: bool) -> str:
    text = str(value)
    if not encoded:
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def without_nulls(value: Value) -> Value:
    """A manifest as it is meant: `creationTimestamp: null` says nothing."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return tuple(without_nulls(v) for v in value)
    return value
