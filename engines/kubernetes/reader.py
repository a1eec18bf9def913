"""One reading of a cluster: the inventories of the asked scopes, then one list per kind and namespace they or the asked
keys name. What could not be read is a gap, never absence (I9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.plan.resource import Gap, ObjectKey, Seen, Snapshot
from engines.engine import Ask, EngineError, Transient
from engines.kubernetes import inventory, marks, observe
from engines.kubernetes.client import Call, Client, Denied, Expired, NotFound
from engines.kubernetes.discovery import Discovery, Resource, Served
from engines.kubernetes.objects import KIND, Raw, key_of, kind_of, place_of
from engines.kubernetes.settings import Settings

_PAGE = "500"
_SILENT = "its API group does not answer"
_SINGLY_MAX = 8  # so many missing keys of one collection are asked one by one; more: the whole collection
_PASSING = frozenset(
    {"Event", "Event.events.k8s.io", "EndpointSlice.discovery.k8s.io", "Endpoints", "Lease.coordination.k8s.io"}
)


@dataclass(frozen=True, slots=True)
class Collection:
    """One kind in one namespace (or of the whole cluster), and which of its objects are asked for by name."""

    resource: Resource
    namespace: str
    keys: frozenset[ObjectKey] = frozenset()


class Reader:
    """Reads for one install."""

    def __init__(
        self, client: Client, discovery: Discovery, settings: Settings, install: str, mask: observe.Mask
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._settings = settings
        self._install = install
        self._mask = mask
        self.users: dict[tuple[str, str], str] = {}  # (group-kind, namespace) → whose rights reached it last

    async def snapshot(self, ask: Ask) -> Snapshot:
        """Everything that `ask` is about. Raises when the cluster cannot be read at all."""
        served = await self._discovery.served(kind_of(k) for k in ask.keys)
        records = await self._records()
        due = [r for r in records if r.mark and r.mark.scope in ask.scopes]
        contents = [inventory.contents_of(r) for r in due]
        wanted = frozenset().union(*contents, inventory.of_keys(ask.keys))
        gaps = [Gap(f"{KIND}{kind}", _SILENT, place) for kind, place in sorted(wanted) if served.is_stale(kind)]
        users = self._users(ask)
        collections = self._collections(served, wanted, ask)
        read = await asyncio.gather(*(self._collection(c, ask, users, gaps) for c in collections))
        objects = {s.key: s for found in read for s in found}
        objects.update({r.key: r for r in due})
        return Snapshot(tuple(objects[k] for k in sorted(objects)), tuple(gaps))

    def _users(self, ask: Ask) -> list[str]:
        """Whose rights may be used, in order: those of the asked scopes, else everyone's."""
        own = list(dict.fromkeys(self._settings.user(scope) for scope in sorted(ask.scopes)))
        return own or list(self._settings.users())

    async def listed(self, resource: Resource, namespace: str, selector: str, user: str) -> tuple[list[Raw], str]:
        """Every object of a collection, and the version of the list. Begins again once where a page has expired."""
        try:
            return await self._pages(resource, namespace, selector, user)
        except Expired:
            return await self._pages(resource, namespace, selector, user)

    async def _pages(self, resource: Resource, namespace: str, selector: str, user: str) -> tuple[list[Raw], str]:
        found: list[Raw] = []
        params = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self._client.get(Call("GET", resource.path(namespace), params, user=user))
            items = page.get("items") if isinstance(page, dict) else None
            metadata = page.get("metadata") or {} if isinstance(page, dict) else {}
            if (
                not isinstance(items, list)
                or page.get("kind") != f"{resource.kind}List"
                or not metadata.get("resourceVersion")
            ):
                raise Transient(f"{resource.path(namespace)} was answered with something that is no list")
            # Elements of a list do not say what they are.
            found += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]
            if not metadata.get("continue"):
                return found, str(metadata["resourceVersion"])
            params["continue"] = str(metadata["continue"])

    async def _records(self) -> list[Seen]:
        """The inventories of this install."""
        home = await self._client.namespace()
        served = await self._discovery.served(["ConfigMap"])
        resource = served.preferred["ConfigMap"]
        found, _ = await self.listed(resource, home, inventory.SELECTOR, "")
        seen = [observe.seen_of(f, key_of(f, True), self._install, self._mask) for f in found]
        return [s for s in seen if inventory.is_record(s.mark)]

    def _collections(self, served: Served, wanted: inventory.Contents, ask: Ask) -> list[Collection]:
        keys: dict[tuple[str, str], set[ObjectKey]] = {place: set() for place in wanted}
        for key in ask.keys:
            keys.setdefault((kind_of(key), place_of(key)[0]), set()).add(key)
        if ask.everything:
            for one in served.preferred.values():
                if one.group_kind not in _PASSING and one.namespaced:
                    for place in self._settings.namespaces or ("",):
                        keys.setdefault((one.group_kind, place), set())
        return [
            Collection(resource, place, frozenset(found))
            for (kind, place), found in sorted(keys.items())
            if (resource := served.resource(kind)) and "list" in resource.verbs
        ]

    async def _collection(self, where: Collection, ask: Ask, users: Sequence[str], gaps: list[Gap]) -> list[Seen]:
        """What is asked of one collection, with the first rights that reach it."""
        last: EngineError | None = None
        for user in users:
            try:
                found = await self._read(where, ask, user)
            except Denied as error:
                last = error
            except EngineError as error:
                last = error
                break
            else:
                self.users[where.resource.group_kind, where.namespace] = user
                return found
        gaps.append(Gap(f"{KIND}{where.resource.group_kind}", str(last), where.namespace or "*"))
        return []

    async def _read(self, where: Collection, ask: Ask, user: str) -> list[Seen]:
        found, _ = await self.listed(where.resource, where.namespace, "" if ask.everything else marks.SELECTOR, user)
        seen = self._seen(found, where.resource)
        missing = where.keys - {s.key for s in seen}
        if missing and not ask.everything:
            seen += await self._foreign(where, missing, user)
        return [s for s in seen if ask.everything or s.key in ask.keys or (s.mark and s.mark.scope in ask.scopes)]

    async def _foreign(self, where: Collection, missing: Iterable[ObjectKey], user: str) -> list[Seen]:
        """Who sits on keys that are not ours."""
        names = sorted(place_of(k)[1] for k in missing)
        if len(names) > _SINGLY_MAX:
            found, _ = await self.listed(where.resource, where.namespace, "", user)
            return [s for s in self._seen(found, where.resource) if s.key in missing]
        paths = [where.resource.path(where.namespace, name) for name in names]
        read = await asyncio.gather(*(self._one(path, user) for path in paths))
        return self._seen([f for f in read if f is not None], where.resource)

    async def _one(self, path: str, user: str) -> Raw | None:
        try:
            found: Raw = await self._client.object(Call("GET", path, user=user))
        except NotFound:
            return None
        return found

    def _seen(self, found: Sequence[Mapping[str, Any]], resource: Resource) -> list[Seen]:
        return [observe.seen_of(f, key_of(f, resource.namespaced), self._install, self._mask) for f in found]
