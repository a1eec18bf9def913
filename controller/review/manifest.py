"""A Kubernetes object as it stands in a blueprint, and the pod inside it with the path to each part.

Rules read it from here and from nowhere else. What does not parse is not seen: the engine says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value

_INSIDE = ("object", "manifest", "objects", "manifests")
_POD_AT: Mapping[str, str] = {
    "Pod": "spec",
    "PodTemplate": "template.spec",
    "Deployment": "spec.template.spec",
    "StatefulSet": "spec.template.spec",
    "DaemonSet": "spec.template.spec",
    "ReplicaSet": "spec.template.spec",
    "ReplicationController": "spec.template.spec",
    "Job": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
SERVING = SCALED | {"DaemonSet"}
_CLUSTER_WIDE = frozenset(
    [
        "ClusterRole",
        "ClusterRoleBinding",
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "PriorityClass",
        "CustomResourceDefinition",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "IngressClass",
        "CSIDriver",
        "RuntimeClass",
        "APIService",
        "CertificateSigningRequest",
    ]
)


def at(value: Value, path: str) -> Value:
    """What stands at a dotted path of maps, None where there is nothing."""
    for part in path.split(".") if path else ():
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def mapping(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def listed(value: Value) -> tuple[Value, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def maps_at(value: Value, path: str) -> Iterator[tuple[str, Mapping[str, Value]]]:
    """(path, map) of every map in the list at `path`."""
    for i, item in enumerate(listed(at(value, path))):
        if isinstance(item, Mapping):
            yield f"{path}.{i}", item


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod; `path` is inside the object."""

    path: str
    spec: Mapping[str, Value]
    init: bool

    @property
    def name(self) -> str:
        return str(self.spec.get("name") or "container")

    def get(self, path: str) -> Value:
        return at(self.spec, path)


@dataclass(frozen=True)
class Manifest:
    """One object; `path` is where it stands in its entry (`specs`, `specs.objects.0`)."""

    entry: Entry
    path: str
    body: Mapping[str, Value]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind"))

    @property
    def api(self) -> str:
        return str(self.body.get("apiVersion"))

    @property
    def name(self) -> str:
        return str(at(self.body, "metadata.name") or self.entry.name)

    @property
    def namespaced(self) -> bool:
        return self.kind not in _CLUSTER_WIDE

    @property
    def namespace(self) -> str:
        return str(at(self.body, "metadata.namespace") or "default")

    def get(self, path: str) -> Value:
        return at(self.body, path)

    @property
    def pod_path(self) -> str:
        """Where the pod's spec stands; empty for an object without one."""
        return _POD_AT.get(self.kind, "")

    @cached_property
    def pod(self) -> Mapping[str, Value]:
        return mapping(at(self.body, self.pod_path)) if self.pod_path else {}

    @cached_property
    def pod_labels(self) -> Mapping[str, Value]:
        above = self.pod_path.removesuffix("spec").rstrip(".")
        return mapping(self.get(f"{above}.metadata.labels".lstrip("."))) if self.pod_path else {}

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Those that stay and those that prepare; ephemeral ones too."""
        found = []
        for key in ("containers", "initContainers", "ephemeralContainers"):
            for i, item in enumerate(listed(self.pod.get(key))):
                if isinstance(item, Mapping):
                    found.append(Container(f"{self.pod_path}.{key}.{i}", item, key != "containers"))
        return tuple(found)

    @property
    def lasting(self) -> tuple[Container, ...]:
        """The containers that serve, without those that only prepare."""
        return tuple(c for c in self.containers if not c.init)

    def place(self, path: str) -> str:
        """`path` of this object as a path of its entry."""
        return f"{self.path}.{path}" if path else self.path


def manifests(entry: Entry) -> Iterator[Manifest]:
    """Every object of an entry of type `manifest`: `specs` itself, or what stands below one of its keys; the items of
    a List one by one."""
    yield from _objects(entry, "specs", entry.specs)
    for key in _INSIDE:
        value = entry.specs.get(key)
        if isinstance(value, Mapping):
            yield from _objects(entry, f"specs.{key}", value)
        for i, item in enumerate(listed(value)):
            yield from _objects(entry, f"specs.{key}.{i}", item)


def _objects(entry: Entry, path: str, value: Value) -> Iterator[Manifest]:
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str) or "apiVersion" not in value:
        return
    if str(value["kind"]).endswith("List") and "items" in value:
        for i, item in enumerate(listed(value["items"])):
            yield from _objects(entry, f"{path}.items.{i}", item)
        return
    yield Manifest(entry, path, value)
