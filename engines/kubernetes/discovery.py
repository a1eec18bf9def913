"""What kinds the cluster serves, and where: read in two calls, kept, and read again when a kind is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from engines.engine import Transient
from engines.kubernetes.client import Call, Client
from engines.kubernetes.objects import group_kind, group_of

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one version: `apps/v1`, `Deployment`, `deployments`."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def group_kind(self) -> str:
        """`Deployment.apps`."""
        return group_kind(self.api_version, self.kind)

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or with no name of the collection."""
        root = f"/apis/{self.api_version}" if group_of(self.api_version) else f"/api/{self.api_version}"
        where = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{where}/{self.plural}{f'/{quote(name, safe=str())}' if name else ''}"


@dataclass(frozen=True, slots=True)
class Served:
    """All kinds by (group-kind, version) and, under the version the server prefers, by group-kind."""

    exact: Mapping[tuple[str, str], Resource]
    preferred: Mapping[str, Resource]
    stale: frozenset[str] = frozenset()  # groups that are registered and do not answer: unknown, not absent

    def is_stale(self, kind: str) -> bool:
        """True if nobody can tell whether `kind` is served."""
        return kind not in self.preferred and kind.partition(".")[2] in self.stale

    def resource(self, kind: str, api_version: str = "") -> Resource | None:
        """`kind` as `Deployment.apps`; in the preferred version unless one is named."""
        return self.exact.get((kind, api_version)) if api_version else self.preferred.get(kind)


def parsed(*listed: Mapping[str, Any]) -> Served:
    """The answers of `/api` and `/apis` (APIGroupDiscoveryList v2). The first version of a group is preferred."""
    exact: dict[tuple[str, str], Resource] = {}
    preferred: dict[str, Resource] = {}
    stale: set[str] = set()
    for group in (item for one in listed for item in one.get("items") or ()):
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                stale.add(name)
            for resource in _resources(name, version):
                exact[resource.group_kind, resource.api_version] = resource
                preferred.setdefault(resource.group_kind, resource)
    return Served(exact, preferred, frozenset(stale))


def _resources(group: str, version: Mapping[str, Any]) -> Iterable[Resource]:
    api_version = f"{group}/{version['version']}" if group else str(version["version"])
    for found in version.get("resources") or ():
        kind = (found.get("responseKind") or {}).get("kind")
        if kind:
            verbs = frozenset(found.get("verbs") or ())
            yield Resource(api_version, kind, found["resource"], found.get("scope") == "Namespaced", verbs)


class Discovery:
    """The kinds of one cluster, kept between passes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._served: Served | None = None
        self._reading = asyncio.Lock()

    async def served(self, needed: Iterable[str] = ()) -> Served:
        """What is served. Reads again if one of the `needed` group-kinds is not known: its CRD may have come since."""
        before = self._served
        if before is not None and all(kind in before.preferred for kind in needed):
            return before
        async with self._reading:
            if self._served is before:
                self._served = await self._read()
            assert self._served is not None
            return self._served

    async def _read(self) -> Served:
        answers = await asyncio.gather(
            *(self._client.get(Call("GET", path, accept=_AGGREGATED)) for path in ("/api", "/apis"))
        )
        if any(a.get("kind") != "APIGroupDiscoveryList" or not a.get("items") for a in answers):
            raise Transient("the cluster did not tell its kinds; alma needs Kubernetes 1.30 or newer")
        return parsed(*answers)
