"""The blueprint of these stories: one web server on a Docker host, and what a visitor of its port sees."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import docker.errors
import httpx2

from tests.servers.dockerd import DockerDaemon

FILE = "prod/shop.yaml"
ALMA_YAML = "version: 1\nscopes:\n  - {name: prod, path: prod}\n"
HEALTH_TIMEOUT_S = 3


@dataclass(frozen=True)
class Shop:
    """What a person writes. Each resource is a YAML flow map."""

    port: int

    def web(self, tag: str = "1.0", *, memory: str = "64MB", name: str = "web", slow_s: int = 0) -> str:
        """A server whose page says its image, checked over HTTP. `slow_s`: serves only after so many seconds."""
        specs = (
            f'image: "alma-test/web:{tag}", ports: ["127.0.0.1:{self.port}:8080"],'
            f" memory: {memory}, cpu: 1, restart: unless-stopped"
        )
        if slow_s:
            script = f"trap 'exit 0' TERM; (sleep {slow_s}; httpd -f -p 8080 -h /www) & wait"
            specs += f', command: [sh, -c, "{script}"]'
        health = f"{{http: {{port: 8080}}, timeout: {HEALTH_TIMEOUT_S + 4 * slow_s}s}}"
        return f"{{name: {name}, type: container, specs: {{{specs}}}, health: {health}}}"

    def careless(self, tag: str = "1.0", *, name: str = "side") -> str:
        """A server without limits, health and restart, after the other one; the audit has something to say."""
        return f'{{name: {name}, type: container, specs: {{image: "alma-test/web:{tag}"}}, dependencies: [web]}}'

    def store(self) -> str:
        """Keeps data in a volume of its own."""
        return "{name: data, type: volume}"

    def blueprint(self, *resources: str, name: str = "shop") -> str:
        lines = "".join(f"  - {r}\n" for r in resources)
        return f"name: {name}\nprovider: docker\nresources:\n{lines}"

    def files(self, *resources: str) -> dict[str, str | None]:
        return {FILE: self.blueprint(*(resources or (self.web(),)))}

    def page(self) -> str:
        """What the published port answers; empty if nothing does."""
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"http://127.0.0.1:{self.port}/", timeout=2).text.strip()
        return ""


def container(daemon: DockerDaemon, name: str = "prod-shop-web") -> dict[str, Any]:
    """The live container; empty if there is none."""
    try:
        return dict(daemon.api.inspect_container(name))
    except docker.errors.NotFound:
        return {}


def image(daemon: DockerDaemon, name: str = "prod-shop-web") -> str:
    """What the live container was made from, as the blueprint names it; empty if there is none."""
    labels = container(daemon, name).get("Config", {}).get("Labels", {})
    return str(labels.get("alma.image", ""))


def container_id(daemon: DockerDaemon, name: str = "prod-shop-web") -> str:
    return str(container(daemon, name).get("Id", ""))


def names(daemon: DockerDaemon) -> list[str]:
    """All containers, running or not."""
    return sorted(c["Names"][0].lstrip("/") for c in daemon.api.containers(all=True))
