"""The shop of the demonstration on a Docker host: two containers that answer HTTP, from one image."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from controller.cli.docker_visit import DockerVisit, visit
from controller.cli.scenery import ALMA_YAML, SCOPE, ByHand

DEFAULT_IMAGE = "docker.io/library/busybox:1.37"
_ASK_TIMEOUT_S = 2.0
# The first process of a container has no handler for TERM: KILL saves each stop its whole grace.
_BLUEPRINT = """\
name: store
provider: docker
resources:
  - name: lan
    type: network
    specs: {name: NAME-lan}

  - name: api
    type: container
    specs:
      name: NAME-api
      image: "IMAGE"
      command: [httpd, -f, -p, "8080", -h, /www]
      files: {/www/index.html: "stock STOCK"}
      ports: ["BIND:API:8080"]
      networks: [lan]
      memory: 64MB
      cpu: 0.5
      restart: unless-stopped
      stop_signal: KILL
    health: {http: {port: 8080}, timeout: 15s}

  - name: web
    type: container
    dependencies: [api]
    specs:
      name: NAME-web
      image: "IMAGE"
      command: [httpd, -f, -p, "LISTEN", -h, /www]
      files: {/www/index.html: "shop SHOP"}
      ports: ["BIND:WEB:8080"]
      networks: [lan]
      memory: 64MB
      cpu: 0.5
      restart: unless-stopped
      stop_signal: KILL
    health: {http: {port: 8080}, timeout: TIMEOUT}
"""

Json = Any


@dataclass(frozen=True, slots=True)
class DockerShop:
    """A `Scenery`. Every name on the host begins with the install id, so that two demonstrations go side by side."""

    host: DockerVisit
    target: Mapping[str, Json]
    image: str
    ports: tuple[int, int]  # of web and api, as they are published
    scope: str = SCOPE

    @property
    def install(self) -> str:
        return self.host.install

    @property
    def about(self) -> str:
        return f"the Docker host {self.host.client.address.url}"

    @property
    def versions(self) -> Mapping[str, Mapping[str, bytes]]:
        return {
            "first": {"alma.yaml": ALMA_YAML, "shop/store.yaml": self._blueprint("1.4", "7.2")},
            "better": {"shop/store.yaml": self._blueprint("1.5", "7.2")},
            # Listens where nobody looks, so it never gets healthy; api is fine, and goes back all the same.
            "broken": {"shop/store.yaml": self._blueprint("1.6", "7.4", listen="8081", timeout="3s")},
        }

    @property
    def says(self) -> Mapping[str, str]:
        return {
            "first": self._told("shop 1.4", "stock 7.2"),
            "better": self._told("shop 1.5", "stock 7.2"),
            "by hand": self._told("", "stock 7.2"),
        }

    async def live(self) -> str:
        web, api = self.ports
        return self._told(await _page(self._url(web)), await _page(self._url(api)))

    async def identity(self) -> str:
        return await self.host.container_id(f"{self.install}-web")

    async def by_hand(self) -> ByHand:
        """Looks while the container stops: a moment later the controller may have started it again."""
        name = f"{self.install}-web"
        stop = asyncio.ensure_future(self.host.stop_container(name))
        try:
            live, over = self.says["better"], False
            while live == self.says["better"] and not over:
                over = stop.done()
                live = await self.live()
        finally:
            await stop
        return ByHand(f"docker stop {name}", live)

    def _url(self, port: int) -> str:
        host = self.host.client.address.host
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def _told(self, web: str, api: str) -> str:
        pages = zip(self.ports, (web, api), strict=True)
        return ", ".join(
            f'{self._url(port)} says "{page}"' if page else f"{self._url(port)} does not answer" for port, page in pages
        )

    def _blueprint(self, shop: str, stock: str, *, listen: str = "8080", timeout: str = "15s") -> bytes:
        web, api = self.ports
        words = {
            "NAME": self.install,
            "IMAGE": self.image,
            "STOCK": stock,
            "SHOP": shop,
            "LISTEN": listen,
            "TIMEOUT": timeout,
            "BIND": "127.0.0.1" if _is_loopback(self.host.client.address.host) else "0.0.0.0",  # noqa: S104 - the host is another machine
            "WEB": str(web),
            "API": str(api),
        }
        text = _BLUEPRINT
        for word, value in words.items():
            text = text.replace(word, value)
        return text.encode()


@asynccontextmanager
async def docker_shop(target: Mapping[str, Json], install: str, image: str) -> AsyncIterator[DockerShop]:
    """The shop, not yet built. What the demonstration makes on the host is gone at the end. Raises Unreachable when
    the host does not answer, AlmaError when it has no such image and cannot get it."""
    async with visit(target, install, image) as host:
        yield DockerShop(host, target, image, _free_ports())


async def _page(url: str) -> str:
    """What is served there; empty when nobody answers."""
    try:
        async with httpx2.AsyncClient(timeout=_ASK_TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url)
    except (httpx2.HTTPError, OSError):
        return ""
    return answer.text.strip() if answer.status_code == httpx2.codes.OK else f"HTTP {answer.status_code}"


def _free_ports() -> tuple[int, int]:
    with ExitStack() as held:
        web, api = (held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        return web.getsockname()[1], api.getsockname()[1]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
