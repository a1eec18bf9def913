"""The Kubernetes engine keeps the contract of all engines, on a real control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from controller.blueprint.entry import Entry
from controller.blueprint.value import Output, Secret
from controller.plan.resource import Allow, Desired, ObjectKey
from engines.kubernetes.engine import KubernetesEngine
from engines.kubernetes.objects import kind_of, place_of
from tests.engines.conformance import INSTALL, SECRET_REF, Case, EngineConformance, entry
from tests.engines.kubernetes.driving import Body, binding, by_hand, config_map, deployment
from tests.servers.kubernetes import ControlPlane

pytestmark = pytest.mark.kubernetes

_WATCHED = {
    "ConfigMap": "/api/v1/{}/configmaps",
    "Secret": "/api/v1/{}/secrets",
    "Service": "/api/v1/{}/services",
    "Deployment.apps": "/apis/apps/v1/{}/deployments",
    "Job.batch": "/apis/batch/v1/{}/jobs",
}
_ONES = "spec.replicas"


def manifest(name: str, *bodies: Body, **more: Any) -> Entry:
    specs = {"manifest": bodies[0]} if len(bodies) == 1 else {"manifests": list(bodies)}
    return entry(name, "manifest", specs=specs, **more)


def job(name: str, image: str) -> Body:
    pod = {"restartPolicy": "Never", "containers": [{"name": "it", "image": image}]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


def service(name: str, port: int) -> Body:
    spec = {"selector": {"app": "web"}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@dataclass(slots=True)
class RealCluster:
    """`tests.engines.conformance.Harness` over a control plane."""

    plane: ControlPlane
    allow: Allow = field(default_factory=Allow)
    opened: list[KubernetesEngine] = field(default_factory=list)

    async def open(self) -> KubernetesEngine:
        self.opened.append(KubernetesEngine.open(binding(self.plane, INSTALL)))
        return self.opened[-1]

    async def close(self) -> None:
        for engine in self.opened:
            await engine.close()

    async def world(self) -> Mapping[str, str]:
        """Without what controllers write by themselves while a test looks: status and what follows from it."""
        found = {}
        for kind, path in _WATCHED.items():
            for place in ("default", "prod"):
                for one in self.plane.api("GET", path.format(f"namespaces/{place}"))["items"]:
                    if one["metadata"]["name"].startswith(("kube-root-ca.crt", "alma.")):
                        continue  # the cluster's own, and the scope's record, which has tests of its own
                    metadata = {
                        k: v for k, v in one["metadata"].items() if k not in ("resourceVersion", "managedFields")
                    }
                    metadata["annotations"] = {
                        k: v for k, v in metadata.get("annotations", {}).items() if not k.startswith("deployment.")
                    }
                    told = {**one, "metadata": metadata, "status": None}
                    found[f"{kind} {place} {metadata['name']}"] = json.dumps(told, sort_keys=True)
        return found

    def path(self, key: ObjectKey) -> str:
        place, name = place_of(key)
        return f"{_WATCHED[kind_of(key)].format(f'namespaces/{place}')}/{name}"

    async def tamper(self, key: ObjectKey, path: str) -> None:
        if path == _ONES:
            change: Body = {"spec": {"replicas": 5}}
        else:
            change = {"data": {path.removeprefix("data."): "tampered"}}
        by_hand(self.plane, self.path(key), change)

    async def foreign(self, wanted: Desired) -> str:
        """As the blueprint wants it, but nobody's."""
        body: Any = wanted.private["body"]
        made = self.plane.api("POST", self.path(wanted.key).rpartition("/")[0], body)
        return str(made["metadata"]["uid"])

    async def twin(self, key: ObjectKey) -> str:
        api, path = self.plane.api, self.path(key)
        before = api("GET", path)
        kept = {k: before["metadata"][k] for k in ("name", "namespace")}
        spec = {k: v for k, v in before.get("spec", {}).items() if k not in ("clusterIP", "clusterIPs", "selector")}
        if kind_of(key) != "Job.batch" and "selector" in before.get("spec", {}):
            spec["selector"] = before["spec"]["selector"]
        if kind_of(key) == "Job.batch":
            spec["template"]["metadata"] = {}
        body = {k: v for k, v in before.items() if k in ("apiVersion", "kind", "data", "type")}
        api("DELETE", f"{path}?propagationPolicy=Background")
        made = api("POST", path.rpartition("/")[0], {**body, "metadata": kept, **({"spec": spec} if spec else {})})
        return str(made["metadata"]["uid"])

    @contextlib.asynccontextmanager
    async def unreadable(self) -> AsyncIterator[None]:
        self.plane.stop_api()
        yield
        self.plane.start_api()

    async def pause(self) -> None:
        """The cluster's own controllers are at work meanwhile."""
        await asyncio.sleep(0.05)


class TestKubernetesConformance(EngineConformance):
    """One case per shape of change that a cluster has."""

    row = "B1 kubernetes contract"
    cases: ClassVar[list[Case]] = [
        Case(
            "in place",
            (manifest("it", config_map("it", {"MODE": "live"})),),
            (manifest("it", config_map("it", {"MODE": "test"})),),
            tampered="data.MODE",
        ),
        Case(
            "dropped field",
            (manifest("it", config_map("it", {"MODE": "live", "EXTRA": "1"})),),
            (manifest("it", config_map("it", {"MODE": "live"})),),
            dropped="data.EXTRA",
        ),
        Case(
            "rolling update",
            (manifest("web", deployment("web")),),
            (manifest("web", deployment("web", replicas=2, env=[{"name": "A", "value": "1"}])),),
            tampered=_ONES,
        ),
        Case("recreate", (manifest("it", job("it", "one")),), (manifest("it", job("it", "two")),)),
        Case(
            "several objects",
            (manifest("web", deployment("web"), service("web", 80), config_map("web", {"A": "1"})),),
            (manifest("web", deployment("web"), service("web", 81)),),
        ),
    ]
    secret = (
        manifest(
            "key",
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "key"},
                "stringData": {"KEY": Secret(SECRET_REF)},
            },
        ),
        manifest("api", deployment("api", env=[{"name": "KEY", "value": Secret(SECRET_REF)}])),
    )
    linked = (
        manifest("db", service("db", 5432)),
        manifest("web", config_map("web", {"DB": Output("prod/shop/db", "address")})),
    )
    alone = manifest("web", deployment("web"))
    renamed = replace(alone, name="front", formerly=("prod/shop/web",))

    @pytest.fixture
    async def harness(self, cluster: ControlPlane) -> AsyncIterator[RealCluster]:
        real = RealCluster(cluster)
        yield real
        await real.close()
