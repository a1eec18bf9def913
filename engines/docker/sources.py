"""Which image a reference means here and now: the reviewed digest, else the registry's, else the one on the host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from engines.docker import image
from engines.docker.client import Client, NotFound
from engines.docker.preview import Source
from engines.engine import EngineError

Registries = Mapping[str, tuple[str, str]]


async def resolve(client: Client, needed: Mapping[str, Mapping[str, str]], registries: Registries) -> dict[str, Source]:
    """A Source per reference. One that nobody knows stays as written: its pull then says why (in STAGE, where nothing
    has been stopped yet)."""
    found = await asyncio.gather(*(_source(client, ref, pins, registries) for ref, pins in needed.items()))
    return dict(zip(needed, found, strict=True))


async def _source(client: Client, reference: str, pins: Mapping[str, str], registries: Registries) -> Source:
    if image.parts(reference)[2]:
        return Source(reference, pull=True)
    if reference in pins:
        reviewed = pins[reference]
        # An image without registry digest was reviewed by its own id, and cannot be pulled.
        local = await _local(client, reviewed)
        if local and not local.get("RepoDigests"):
            return Source(reviewed, pull=False)
        return Source(image.pinned(reference, reviewed), pull=True)
    local = await _local(client, reference)
    if local and not local.get("RepoDigests"):
        return Source(str(local["Id"]), pull=False)
    try:
        path = f"/distribution/{reference}/json"
        told = await client.get(path, headers=image.login_header(reference, registries))
        return Source(image.pinned(reference, told["Descriptor"]["digest"]), pull=True)
    except (EngineError, KeyError, TypeError):
        digest = image.digest_in(local.get("RepoDigests"), reference) if local else None
        return Source(image.pinned(reference, digest) if digest else reference, pull=True)


async def _local(client: Client, reference: str) -> Mapping[str, object] | None:
    try:
        return await client.inspect(f"/images/{reference}/json")
    except NotFound:
        return None
