"""A visit to a Docker host that leaves nothing behind: what was made under one install id is removed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from controller.errors import AlmaError, Unreachable
from controller.plan.step import OpId, ReceiptState
from engines.docker import marks
from engines.docker.client import WRITE_TIMEOUT_S, Call, Client, NotFound, Taken
from engines.docker.pulls import Pulls
from engines.docker.settings import address
from engines.engine import EngineError

_LOOK_EVERY_S = 0.2

Json = Any


@dataclass(frozen=True, slots=True)
class DockerVisit:
    """One Docker host, spoken to beside the controller."""

    client: Client
    install: str

    async def container_id(self, name: str) -> str:
        """Docker's id of the container. Raises AlmaError when it is not there."""
        with _told():
            return str((await self.client.inspect(f"/containers/{name}/json"))["Id"])

    async def stop_container(self, name: str) -> None:
        """`docker stop NAME`. Raises AlmaError."""
        with _told():
            await self.client.write(name, Call("POST", f"/containers/{name}/stop", timeout_s=WRITE_TIMEOUT_S))

    async def sweep(self) -> None:
        """Remove every container, network and volume marked by this install. Raises AlmaError if one cannot be."""
        label = f"label={marks.INSTALL}={self.install}"
        with _told(hint=f"what may be left on it: docker ps -a --filter {label}; docker network ls --filter {label}"):
            for found in await self._marked("/containers/json", all=1):
                await self._delete(f"/containers/{found['Id']}", force=1, v=1)
            for found in await self._marked("/networks"):
                await self._delete(f"/networks/{found['Id']}")
            for found in (await self._marked("/volumes"))["Volumes"] or ():
                await self._delete(f"/volumes/{found['Name']}")

    async def forget_image(self, image: str) -> None:
        """Remove an image that this visit pulled; one that others use by now stays."""
        with _told(), suppress(Taken):
            await self._delete(f"/images/{image}")

    async def has_image(self, image: str) -> bool:
        """True if it lies on the host. Raises Unreachable: this is the first thing that is asked."""
        try:
            await self.client.inspect(f"/images/{image}/json")
        except NotFound:
            return False
        except EngineError as e:
            raise Unreachable(str(e), hint="start Docker, or say where it is: DOCKER_HOST=unix:///…") from e
        return True

    async def pull(self, image: str) -> None:
        """Fetch an image. Raises AlmaError when the registry does not give it."""
        pulls, op = Pulls(self.client, {}), OpId(self.install)
        with _told():
            receipt = pulls.start(op, image)
            while receipt.state is ReceiptState.RUNNING:
                await asyncio.sleep(_LOOK_EVERY_S)
                receipt = pulls.poll(op)
        if receipt.state is not ReceiptState.DONE:
            raise AlmaError(receipt.message, hint="name an image with busybox in it that is there: --image NAME")

    async def _marked(self, path: str, **params: int) -> Json:
        label = orjson.dumps({"label": [f"{marks.INSTALL}={self.install}"]}).decode()
        return await self.client.get(path, {**params, "filters": label})

    async def _delete(self, path: str, **params: int) -> None:
        with suppress(NotFound):
            await self.client.write(path, Call("DELETE", path, params, timeout_s=WRITE_TIMEOUT_S))


@asynccontextmanager
async def visit(target: Mapping[str, Json], install: str, image: str) -> AsyncIterator[DockerVisit]:
    """The host of `target` with `image` on it. At the end nothing of `install` is left, nor the image if it had to be
    pulled. Raises Unreachable, or AlmaError when there is no such image."""
    client = Client(address("docker", target), lambda text: text)
    guest = DockerVisit(client, install)
    try:
        was_there = await guest.has_image(image)
        if not was_there:
            await guest.pull(image)
        try:
            yield guest
        finally:
            await guest.sweep()
            if not was_there:
                await guest.forget_image(image)
    finally:
        await client.close()


@contextmanager
def _told(hint: str = "") -> Iterator[None]:
    """An engine's error in the words of the command line."""
    try:
        yield
    except EngineError as e:
        raise AlmaError(f"the Docker host: {e}", hint=hint) from e
