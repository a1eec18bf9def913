"""Commit statuses of the built-in forge: one key per commit and context."""

from __future__ import annotations

from dataclasses import asdict

from controller.forges.forge import Status, StatusState
from controller.forges.local_backing import LocalStore
from controller.forges.status import fitted, full_sha


class LocalStatuses:
    """The last status of each context of each commit."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def write(self, sha: str, status: Status) -> None:
        wanted = asdict(fitted(status))
        key = f"{_of(full_sha(sha))}{status.context}"
        if await self._store.get(key) != wanted:
            await self._store.put(key, wanted)

    async def all(self, sha: str) -> tuple[Status, ...]:
        raws = [await self._store.get(key) for key in sorted(await self._store.keys(_of(sha)))]
        return tuple(_status(raw) for raw in raws if raw is not None)


def _of(sha: str) -> str:
    return f"status/{sha}/"


def _status(raw: dict[str, object]) -> Status:
    url = raw["url"]
    return Status(
        str(raw["context"]), StatusState(str(raw["state"])), str(raw["description"]), None if url is None else str(url)
    )
