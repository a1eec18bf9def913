"""What the demonstration runs on: one small shop, in four versions of its blueprint, and what is live of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from controller.plan.resource import ObjectKey
from engines.simulation.tamper import tamper
from engines.simulation.world import World

Json = Any
SCOPE = "shop"
_WEB = ObjectKey("simulation/container", "shop-store-web")
_CACHE = ObjectKey("simulation/container", "shop-store-cache")
ALMA_YAML = b"""\
version: 1
scopes:
  - {name: shop, path: shop}
"""
_BLUEPRINT = """\
name: store
provider: simulation
resources:
  - name: lan
    type: network
    specs: {subnet: 10.20.0.0/24}

  - name: cache
    type: container
    dependencies: [lan]
    specs: {image: "cache:CACHE", cpu: 1, memory: 256MB, networks: [lan], restart: unless-stopped}

  - name: web
    type: container
    dependencies: [cache]
    specs: {image: "web:WEB", cpu: 1, memory: 256MB, networks: [lan], ports: ["127.0.0.1:8080:80"],
            restart: unless-stoppedEXTRA}
    health: {http: {port: 80}, timeout: 5s}
"""


@dataclass(frozen=True, slots=True)
class ByHand:
    """A change behind the controller's back: what one would type for it, and what was live right after."""

    typed: str
    live: str


class Scenery(Protocol):
    """One engine's version of the story. `live` is what users get of `web` right now, read past the controller."""

    @property
    def install(self) -> str:
        """The id by which everything the demonstration makes is marked."""
        ...

    @property
    def about(self) -> str: ...

    @property
    def scope(self) -> str: ...

    @property
    def target(self) -> Mapping[str, Json]:
        """Its entry in the server configuration."""
        ...

    @property
    def versions(self) -> Mapping[str, Mapping[str, bytes]]:
        """`first`, `better`, `broken` → files of the repository."""
        ...

    @property
    def says(self) -> Mapping[str, str]:
        """`first`, `better`, `by hand` → what `live` is when it runs."""
        ...

    async def live(self) -> str: ...

    async def identity(self) -> str:
        """The platform's own name for the object that is `web` right now; a replacement has another."""
        ...

    async def by_hand(self) -> ByHand:
        """Change `web` behind the controller's back, and look before it can be healed."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatedShop:
    """On the simulated platform: a file, nothing else is touched."""

    world: World
    scope: str = SCOPE
    install: str = "demo"
    about: str = "a simulated platform (one file)"

    @classmethod
    def within(cls, folder: Path) -> SimulatedShop:
        return cls(World(folder / "platform.json"))

    @property
    def target(self) -> Mapping[str, Json]:
        return {"engine": "simulation", "path": str(self.world.path), "latency_ms": 25}

    @property
    def versions(self) -> Mapping[str, Mapping[str, bytes]]:
        return {
            "first": {"alma.yaml": ALMA_YAML, "shop/store.yaml": _blueprint("1.4", "7.2")},
            "better": {"shop/store.yaml": _blueprint("1.5", "7.2")},
            # Starts, and is never healthy; the cache beside it is fine, and goes back all the same.
            "broken": {"shop/store.yaml": _blueprint("1.6", "7.4", ", simulate: {health: never}")},
        }

    @property
    def says(self) -> Mapping[str, str]:
        return {
            "first": "web:1.4 running, cache:7.2 running",
            "better": "web:1.5 running, cache:7.2 running",
            "by hand": "web:debug running, cache:7.2 running",
        }

    async def live(self) -> str:
        objects = self.world.read()["objects"]
        found = [objects.get(str(key)) for key in (_WEB, _CACHE)]
        return ", ".join(f"{o['fields']['image']} {'running' if o['running'] else 'stopped'}" for o in found if o)

    async def identity(self) -> str:
        return str(self.world.read()["objects"][str(_WEB)]["uid"])

    async def by_hand(self) -> ByHand:
        await tamper(self.world, _WEB, "image", "web:debug")
        return ByHand("(on the platform) change the image of web to web:debug", await self.live())


def _blueprint(web: str, cache: str, extra: str = "") -> bytes:
    text = _BLUEPRINT.replace("web:WEB", f"web:{web}").replace("cache:CACHE", f"cache:{cache}").replace("EXTRA", extra)
    return text.encode()
