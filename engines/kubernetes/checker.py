"""Asks once how an object fares: its own status, and where that says little, its Pods' or its storage class's."""

from __future__ import annotations

from typing import Any

from controller.plan.health import HEALTHY, Health, HealthState
from controller.plan.resource import ObjectKey
from engines.engine import EngineError
from engines.kubernetes import health
from engines.kubernetes.client import Call, Client
from engines.kubernetes.discovery import Discovery
from engines.kubernetes.lookup import Lookup
from engines.kubernetes.objects import Raw, kind_of, place_of

_RUNS_PODS = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch"})
_CLASS = "StorageClass.storage.k8s.io"
_WAITS = "WaitForFirstConsumer"


class Checker:
    """Health on one cluster."""

    def __init__(self, client: Client, discovery: Discovery, found: Lookup) -> None:
        self._client = client
        self._discovery = discovery
        self._lookup = found

    async def check(self, key: ObjectKey) -> Health:
        """Health of what stands under `key`."""
        found = await self._lookup.anyone(key)
        if found is None:
            return Health(HealthState.MISSING, f"there is no {key}")
        told = health.of(found)
        if told.state is HealthState.PROGRESSING and kind_of(key) in _RUNS_PODS:
            return await self._with_pods(key, found, told)
        if told.state is HealthState.PROGRESSING and kind_of(key) == "PersistentVolumeClaim":
            return HEALTHY if await self._waits_for_a_pod(found) else told
        return Health(told.state, self._client.text(told.reason))

    async def _with_pods(self, key: ObjectKey, found: Raw, told: Health) -> Health:
        """The reason its Pods give, which says more than a count."""
        labels = ((found.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if not labels:
            return told
        params = {"labelSelector": ",".join(f"{k}={v}" for k, v in sorted(labels.items()))}
        path = f"/api/v1/namespaces/{place_of(key)[0]}/pods"
        try:
            pods: list[Any] = (await self._client.get(Call("GET", path, params))).get("items") or []
        except EngineError:
            return told  # the count is true without its Pods
        trouble = health.pod_trouble(pods)
        return Health(told.state, self._client.text(f"{told.reason} ({trouble})" if trouble else told.reason))

    async def _waits_for_a_pod(self, claim: Raw) -> bool:
        """A class may bind a claim only when the first Pod uses it; until then nothing is wrong with it."""
        name = (claim.get("spec") or {}).get("storageClassName")
        if not name:
            return False
        try:
            path = (await self._lookup.resource(ObjectKey(f"kubernetes/{_CLASS}", name))).path("", name)
            found = await self._client.get(Call("GET", path))
        except EngineError:
            return False
        return bool(found.get("volumeBindingMode") == _WAITS)
