"""What blueprint types become on a cluster: one Desired per object, judged by policy before any plan (I38). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from controller.blueprint.entry import Entry, ProbeKind
from controller.blueprint.names import did_you_mean, natural_name, shown
from controller.blueprint.value import Value
from controller.errors import Problem
from controller.plan.resource import Desired, Expanding, Kind, ObjectKey
from engines.kubernetes import hooks, observe, policy, rendering
from engines.kubernetes.manifests import ManifestError, manifests
from engines.kubernetes.mapped import NetworkKind, StorageKind, WorkloadKind
from engines.kubernetes.objects import group_kind, key_of
from engines.kubernetes.wanted import wanted

Expanded = tuple[tuple[Desired, ...], tuple[Problem, ...]]


class ManifestKind:
    """manifest: any objects, written as Kubernetes reads them."""

    name: str = "kubernetes/manifest"
    outputs: frozenset[str] = observe.OUTPUTS

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """Of the first object; a resource that is wrong gets its natural name."""
        try:
            found = manifests(resource.specs)
            body = found[0].body
            kind = group_kind(str(body["apiVersion"]), str(body["kind"]))
            return key_of(body, kind not in policy.CLUSTER_KINDS, scope)
        except (ManifestError, IndexError, KeyError):
            return ObjectKey(self.name, natural_name(scope, resource.blueprint, resource.name))

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One Desired per object in it, or the problems."""
        try:
            found = manifests(resource.specs)
        except ManifestError as error:
            return (), (resource.problem(f"specs.{error.path}".rstrip("."), error.reason),)
        found = tuple(one for one in found if not hooks.is_left_out(one.body))
        problems = [*_probe_problems(resource), *_unknown(resource)]
        if hooks.unordered([one.body for one in found]):
            text = "its hooks before an install have different weights, and only one stage; give them one weight"
            problems.append(resource.problem("specs", text))
        if not found and not problems:
            problems.append(resource.problem("specs", "there is no object in it"))
        objects = []
        for one in found:
            objects.append(wanted(resource, one, about, problems))
        if problems:
            return (), tuple(problems)
        return tuple(o for o in objects if o is not None), ()

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return {"title": "manifest", "type": "object"}

    def sources(self, resource: Entry) -> Mapping[str, str]:
        """`path`, `chart` or `kustomize` (with `root`, where its bases lie)."""
        return rendering.sources(resource)

    async def render(
        self, resource: Entry, paths: Mapping[str, str], files: Mapping[str, bytes]
    ) -> Mapping[str, bytes]:
        """Files as they are, or what helm or kustomize makes of them."""
        return await rendering.rendered(resource, paths, files)

    def without_sources(self, specs: Mapping[str, Value]) -> Mapping[str, Value]:
        """Without what only rendering reads."""
        return {k: v for k, v in specs.items() if k not in rendering.KEYS}


_KEYS = ("manifest", "manifests", "namespace", "health_rule")


def _unknown(entry: Entry) -> list[Problem]:
    if "apiVersion" in entry.specs:
        return []
    return [
        entry.problem(f"specs.{key}", f"unknown key {shown(key, 80)}{did_you_mean(key, _KEYS)}")
        for key in entry.specs
        if key not in _KEYS
    ]


def _probe_problems(entry: Entry) -> list[Problem]:
    if entry.health is None or entry.health.kind in (ProbeKind.PLATFORM, ProbeKind.RUNNING):
        return []
    text = f"alma does not reach into the cluster by {entry.health.kind}; give the Pod a readinessProbe"
    return [entry.problem("health", text)]


_MANIFEST, _STORAGE = ManifestKind(), StorageKind()
_DEPLOYMENT, _STATEFUL = WorkloadKind(stateful=False), WorkloadKind(stateful=True)
KINDS: Mapping[str, Kind] = {
    "manifest": _MANIFEST,
    "compute": _DEPLOYMENT,
    "service": _DEPLOYMENT,
    "container": _DEPLOYMENT,
    "database": _STATEFUL,
    "storage": _STORAGE,
    "volume": _STORAGE,
    "network": NetworkKind(),
}
