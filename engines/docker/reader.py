"""One reading of a Docker host: three lists, one inspect per owned container, and the files put into them. What could
not be read is a gap, never absence (I9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from controller.blueprint.value import Value
from controller.plan.resource import Capacity, Gap, Mark, ObjectKey, Part, Seen, Snapshot
from engines.docker import config_files, container, image, marks, network, observe, volume
from engines.docker.client import Client, NotFound
from engines.docker.marks import Note
from engines.engine import Ask, EngineError, Transient

Raw = Mapping[str, Any]


class _Gaps:
    """Collects what failed, per kind."""

    def __init__(self) -> None:
        self.found: list[Gap] = []
        self.first: EngineError | None = None

    async def read(self, kind: str, reading: Awaitable[Any], otherwise: Any) -> Any:
        """The reading, or `otherwise` and a gap."""
        try:
            return await reading
        except EngineError as error:
            self.first = self.first or error
            self.found.append(Gap(kind, str(error)))
            return otherwise


class Reader:
    """Reads for one install."""

    def __init__(self, client: Client, install: str, mask: observe.Mask) -> None:
        self._client = client
        self._install = install
        self._mask = mask

    async def snapshot(self, ask: Ask) -> Snapshot:
        """Everything that `ask` is about. Raises when the host cannot be read at all."""
        gaps = _Gaps()
        listed, volumes, networks, info = await asyncio.gather(
            gaps.read(container.KIND, self._list("/containers/json", {"all": "true"}), []),
            gaps.read(volume.KIND, self._volumes(), []),
            gaps.read(network.KIND, self._list("/networks"), []),
            gaps.read(container.KIND, self._client.inspect("/info", "Containers"), {}),
        )
        if gaps.first is not None and not (listed or volumes or networks or info):
            raise gaps.first
        if short := observe.short_of(int(info.get("Containers") or 0), listed):
            listed = await gaps.read(container.KIND, self._again(short), listed)
        newest = marks.notes(volumes, self._install)
        objects = await self._containers(ask, listed, newest, gaps)
        for kind, found in ((volume.KIND, volumes), (network.KIND, networks)):
            seen = (observe.other(kind, f, newest, self._install) for f in found if not marks.is_note(str(f["Name"])))
            objects += [s for s in seen if _asked(s, ask)]
        objects += await self._images(ask, gaps)
        return Snapshot(tuple(objects), tuple(gaps.found), _capacity(info))

    async def exists(self, key: ObjectKey) -> bool:
        """Whether the object bears this name now."""
        folder = {network.KIND: "networks", volume.KIND: "volumes", image.KIND: "images"}[key.kind]
        ending = "/json" if key.kind == image.KIND else ""
        try:
            await self._client.get(f"/{folder}/{key.name}{ending}")
        except NotFound:
            return False
        return True

    async def _list(self, path: str, params: Mapping[str, str | int] | None = None) -> list[Raw]:
        found = await self._client.get(path, params)
        if not isinstance(found, list) or not all(isinstance(f, dict) and f.get("Id") for f in found):
            raise Transient(f"{path} was answered with something that is no list of objects")
        return found

    async def _volumes(self) -> list[Raw]:
        found = await self._client.get("/volumes")
        if not isinstance(found, dict) or "Volumes" not in found:
            raise Transient("/volumes was answered with something that is no list of volumes")
        if found.get("Warnings"):
            raise Transient("; ".join(str(w) for w in found["Warnings"]))
        return [f for f in found["Volumes"] or () if f.get("Name")]

    async def _again(self, short: str) -> list[Raw]:
        """Lists once more: a container that went between two calls is no gap, a filtered list is."""
        listed, info = await asyncio.gather(
            self._list("/containers/json", {"all": "true"}), self._client.inspect("/info", "Containers")
        )
        if observe.short_of(int(info.get("Containers") or 0), listed):
            raise Transient(short)
        return listed

    async def _containers(self, ask: Ask, listed: Sequence[Raw], newest: Mapping[str, Note], gaps: _Gaps) -> list[Seen]:
        marked = [(f, marks.effective(f.get("Labels"), str(f["Id"]), self._install, newest)) for f in listed]
        read = [self._container(ask, f, mark, newest, gaps) for f, mark in marked]
        return [s for s in await asyncio.gather(*read) if s is not None]

    async def _container(
        self, ask: Ask, listed: Raw, mark: Mark | None, newest: Mapping[str, Note], gaps: _Gaps
    ) -> Seen | None:
        """Ours and those on asked keys are inspected; of others the list tells enough."""
        key = ObjectKey(container.KIND, observe.name_of(listed))
        if not (mark and mark.scope in ask.scopes) and key not in ask.keys and not ask.everything:
            seen = observe.listed_container(listed, mark)
            return seen if observe.wanted_by_claims(seen, ask.claims) else None
        try:
            found = await self._client.inspect(f"/containers/{listed['Id']}/json")
            files = await self._files(str(listed["Id"]), mark)
        except NotFound:
            return None  # gone since the list
        except EngineError as error:
            gaps.found.append(Gap(container.KIND, str(error), within=key.name))
            return None
        host = self._client.address.host
        return observe.owned_container(found, newest, files, self._install, self._mask, host)

    async def _files(self, uid: str, mark: Mark | None) -> dict[str, Value]:
        """Contents and modes of the files we put there, read back: nothing on the object says what they should be."""
        paths = [p.removeprefix("files.") for p in sorted(mark.fields) if p.startswith("files.")] if mark else []
        fields: dict[str, Value] = {}
        for path in paths:
            try:
                content = await self._client.get_bytes(f"/containers/{uid}/archive", {"path": path})
            except NotFound:
                continue
            if (file := config_files.unpacked(content)) is not None:
                fields[f"files.{path}"], fields[f"modes.{path}"] = file.content, file.mode
        return fields

    async def _images(self, ask: Ask, gaps: _Gaps) -> list[Seen]:
        keys = sorted(k for k in ask.keys if k.kind == image.KIND)
        found = await asyncio.gather(*(gaps.read(image.KIND, self._image(k.name), None) for k in keys))
        return [s for s in found if s is not None]

    async def _image(self, reference: str) -> Seen | None:
        try:
            return observe.local_image(await self._client.inspect(f"/images/{reference}/json"), reference)
        except NotFound:
            return None


def _asked(seen: Seen, ask: Ask) -> bool:
    ours = seen.mark is not None and seen.mark.scope in ask.scopes and seen.part is Part.CURRENT
    return ours or ask.everything or seen.key in ask.keys or observe.wanted_by_claims(seen, ask.claims)


def _capacity(info: Raw) -> Capacity:
    """Totals; what is free Docker does not tell."""
    cpus, memory = info.get("NCPU"), info.get("MemTotal")
    return Capacity(cpu_millicores=cpus * 1000 if cpus else None, memory_bytes=memory or None)
