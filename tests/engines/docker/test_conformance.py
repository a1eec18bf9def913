"""The Docker engine keeps the contract of all engines, on a real Docker Engine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from controller.blueprint.value import Output, Secret
from controller.plan.resource import Allow, Desired, ObjectKey
from engines.docker.engine import DockerEngine
from engines.docker.health import STEADY_S
from tests.engines.conformance import INSTALL, SECRET_REF, Case, EngineConformance, entry
from tests.engines.docker.driving import Clock, binding
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker

WEB = {"image": "alma-test/web:1.0", "memory": "32MB", "env": {"MODE": "live"}, "stop_grace": "3s"}
NET = entry("front", "network")


def one(specs: Mapping[str, object], **more: Any) -> tuple[Any, ...]:
    return (entry("it", "container", specs=specs, **more),)


@dataclass(slots=True)
class RealHost:
    """`tests.engines.conformance.Harness` over a Docker Engine."""

    daemon: DockerDaemon
    allow: Allow = field(default_factory=Allow)
    clock: Clock = field(default_factory=Clock)

    async def open(self) -> DockerEngine:
        return DockerEngine.open(replace(binding(self.daemon.url, self.clock), install=INSTALL))

    async def world(self) -> Mapping[str, str]:
        api = self.daemon.api
        found = {}
        for listed in api.containers(all=True):
            inspected = api.inspect_container(listed["Id"])
            told = {k: inspected[k] for k in ("Id", "Name", "Config", "HostConfig")}
            told["running"] = inspected["State"]["Running"]
            found[f"container {inspected['Name']}"] = json.dumps(told, sort_keys=True)
        for network in api.networks():
            found[f"network {network['Name']} {network['Id']}"] = json.dumps(network["Labels"], sort_keys=True)
        for volume in api.volumes()["Volumes"] or ():
            found[f"volume {volume['Name']}"] = json.dumps(volume, sort_keys=True)
        return found

    async def tamper(self, key: ObjectKey, path: str) -> None:
        if path == "limits.memory":
            self.daemon.api.update_container(key.name, mem_limit=48 * 1024**2, memswap_limit=96 * 1024**2)
        elif path == "running":
            self.daemon.api.stop(key.name, timeout=3)
        else:
            self.daemon.api.update_container(key.name, restart_policy={"Name": "on-failure", "MaximumRetryCount": 9})

    async def foreign(self, wanted: Desired) -> str:
        """As the blueprint wants it, but nobody's."""
        made = self.daemon.api.create_container("alma-test/web:1.0", name=wanted.key.name)
        self.daemon.api.start(made["Id"])
        return str(made["Id"])

    async def twin(self, key: ObjectKey) -> str:
        api = self.daemon.api
        for listed in api.containers(all=True) if key.kind != "docker/container" else ():
            name = listed["Names"][0]  # what uses it gets a twin of its own, so that it can go
            api.remove_container(listed["Id"], force=True)
            api.create_container("alma-test/web:1.0", name=name)
        if key.kind == "docker/volume":
            api.remove_volume(key.name)
            return str(api.create_volume(key.name)["Name"])
        if key.kind == "docker/network":
            api.remove_network(key.name)
            return str(api.create_network(key.name)["Id"])
        api.remove_container(key.name, force=True)
        return str(api.create_container("alma-test/web:1.0", name=key.name)["Id"])

    @contextlib.asynccontextmanager
    async def unreadable(self) -> AsyncIterator[None]:
        self.daemon.set_live_restore(on=True)
        self.daemon.stop()
        yield
        self.daemon.start()

    async def pause(self) -> None:
        """Time enough for a container to count as steady."""
        self.clock.now_s += STEADY_S


class TestDockerConformance(EngineConformance):
    """One case per shape of change that a Docker host has."""

    row = "B1 docker contract"
    unmarked_calls = frozenset({"image.pull"})
    cases: ClassVar[list[Case]] = [
        Case("in place", one(WEB), one({**WEB, "memory": "64MB"}), tampered="limits.memory"),
        Case("restart policy", one(WEB), one({**WEB, "restart": "always"}), tampered="restart"),
        Case(
            "stop first",
            one({**WEB, "ports": ["127.0.0.1:18200:8080"], "restart": "always"}),
            one({**WEB, "ports": ["127.0.0.1:18200:8080"], "image": "alma-test/web:1.1"}),
        ),
        Case("start first", one(WEB), one({**WEB, "image": "alma-test/web:1.1"})),
        Case("dropped field", one(WEB), one({**WEB, "env": {}}), dropped="env.MODE"),
        Case("config file", one({**WEB, "files": {"/etc/a": "1"}}), one({**WEB, "files": {"/etc/a": "2"}})),
        Case(
            "network and volume",
            (
                NET,
                entry("back", "network"),
                entry("data", "volume"),
                *one({**WEB, "networks": ["front", "back"], "volumes": ["data:/data"]}),
            ),
            (NET, *one({**WEB, "networks": ["front"]})),
        ),
    ]
    secret = (entry("api", "container", specs={**WEB, "env": {"KEY": Secret(SECRET_REF)}}),)
    linked = (
        entry("db", "container", specs={**WEB, "ports": ["127.0.0.1::8080"]}),
        entry("web", "container", specs={**WEB, "env": {"DB": Output("prod/shop/db", "address")}}),
    )
    alone = entry("web", "container", specs={"image": "alma-test/web:1.0", "stop_grace": "10s"})
    renamed = replace(alone, name="front", formerly=("prod/shop/web",))

    @pytest.fixture
    def harness(self, docker_host: DockerDaemon) -> RealHost:
        return RealHost(docker_host)
