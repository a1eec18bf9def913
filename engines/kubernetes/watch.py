"""'Look at this scope', from watches on the collections that hold our objects. Only latency depends on them.

Each collection is listed once and watched from that version on; bookmarks keep the version young; when it is too old
(410) the collection is listed again. A watch that breaks ends all of them: whoever listens begins again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engines.engine import EngineError, Hint
from engines.kubernetes import marks
from engines.kubernetes.client import Client, Expired
from engines.kubernetes.discovery import Discovery, Resource
from engines.kubernetes.objects import key_of
from engines.kubernetes.reader import Reader

_WAITING_MAX = 1000
_COLLECTIONS_MAX = 12  # each holds a connection


class Watcher:
    """Watches for one install what the last reading has read."""

    def __init__(self, client: Client, discovery: Discovery, reader: Reader, install: str) -> None:
        self._client = client
        self._discovery = discovery
        self._reader = reader
        self._install = install

    async def hints(self) -> AsyncIterator[Hint]:
        """Ends when nothing of ours has been read yet, or a watch breaks."""
        served = await self._discovery.served()
        places = sorted(self._reader.users.items())[:_COLLECTIONS_MAX]
        found: asyncio.Queue[Hint | None] = asyncio.Queue(_WAITING_MAX)
        tasks = [
            asyncio.create_task(self._collection(resource, place, user, found))
            for (kind, place), user in places
            if (resource := served.resource(kind)) and "watch" in resource.verbs
        ]
        try:
            while tasks and (hint := await found.get()) is not None:
                yield hint
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _collection(self, resource: Resource, place: str, user: str, found: asyncio.Queue[Hint | None]) -> None:
        try:
            while True:
                _, version = await self._reader.listed(resource, place, marks.SELECTOR, user)
                await self._from(version, resource, place, user, found)
        except EngineError:
            await found.put(None)

    async def _from(
        self, version: str, resource: Resource, place: str, user: str, found: asyncio.Queue[Hint | None]
    ) -> None:
        """Returns when the collection must be listed again."""
        while True:
            params = {"labelSelector": marks.SELECTOR, "resourceVersion": version}
            try:
                async for event in self._client.watch(resource.path(place), params, user):
                    told = event["object"]
                    version = str(told["metadata"]["resourceVersion"])
                    if event["type"] != "BOOKMARK" and (mark := marks.read(told, self._install)):
                        await found.put(Hint(mark.scope, key_of(told, resource.namespaced)))
            except Expired:
                return
