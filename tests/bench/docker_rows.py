"""Fifty containers on one network of a real Docker host: created, left alone, destroyed; by ALMA, by Compose, by
Terraform where it is installed, and by bare API calls."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from docker.errors import DockerException
from requests import RequestException

from controller.runtime.clock import SystemClock
from controller.runtime.folder import read_folder
from controller.settings import Settings
from controller.targets import everything_allowed, open_targets
from controller.telemetry import Metrics
from tests.bench.measuring import ALMA, Taken, process, quiet, seconds
from tests.bench.row import Row, against, at_most, beside
from tests.servers.dockerd import DockerDaemon
from tests.servers.go_server import COMPOSE, built

CONTAINERS = 50
_ROUNDS = 3
_NOOPS = 5
_WORKERS = 4
_IMAGE = "alma-test/web:1.0"
_DIGEST = re.compile(r"Digest: ([0-9a-f]{12})")
_TERRAFORM = """
terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker" }
  }
}
provider "docker" { host = "%s" }
resource "docker_network" "lan" { name = "tf-lan" }
resource "docker_image" "web" { name = "%s" }
resource "docker_container" "c" {
  count = %d
  name  = "tf-c${count.index}"
  image = docker_image.web.image_id
  networks_advanced { name = docker_network.lan.name }
}
"""


@dataclass(slots=True)
class Figures:
    """Seconds of every round, by what was done."""

    create: list[float] = field(default_factory=list)
    noop: list[float] = field(default_factory=list)
    destroy: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    def median(self, what: str) -> float:
        """Over all rounds."""
        values: list[float] = getattr(self, what)
        return statistics.median(values)


def docker_rows() -> Iterator[Row]:
    """Three rounds of each, taken in turns so that a busy moment of the machine hits all of them."""
    with closing(DockerDaemon()) as host, tempfile.TemporaryDirectory(prefix="alma-bench-") as folder:
        host.start()
        host.import_images()
        takers = _takers(host, Path(folder))
        figures = {name: Figures() for name in takers}
        in_loop: list[float] = []
        for number in range(_ROUNDS):
            for name in list(takers):
                quiet(f"docker: round {number + 1} of {_ROUNDS}, {name}")
                try:
                    takers[name](figures[name], in_loop if name == "alma" else None)
                except (RuntimeError, DockerException, RequestException) as e:
                    quiet(f"docker: {name} failed and is left out from here on: {str(e).strip().splitlines()[-1]}")
                    del takers[name]
                    host.restart()  # a host under load keeps endpoints of containers that are gone
                host.clean()
        yield from _rows(figures, in_loop)


def _rows(figures: dict[str, Figures], in_loop: list[float]) -> Iterator[Row]:
    alma = figures["alma"]
    if not alma.destroy:
        quiet("docker: ALMA has no complete round, so there is nothing to compare")
        return
    looped_s = statistics.median(in_loop)
    yield at_most(f"docker, {CONTAINERS} containers: nothing to do, process", alma.median("noop"), "s", 0.5)
    yield at_most(f"docker, {CONTAINERS} containers: nothing to do, in the loop", looped_s, "s", 0.1)
    yield Row("  memory of that process", alma.peak_mb, "MB", "-", None, *_peer_memory(figures))
    for what in ("noop", "create", "destroy"):
        for name, peer in figures.items():
            if name != "alma" and getattr(peer, what):
                yield _compared(what, alma.median(what), name, peer.median(what), figures)


def _peer_memory(figures: dict[str, Figures]) -> tuple[float | None, str]:
    compose = figures.get("compose")
    return (compose.peak_mb, "compose") if compose and compose.noop else (None, "")


def _compared(what: str, alma_s: float, name: str, peer_s: float, figures: dict[str, Figures]) -> Row:
    """The bar is Compose's time; the bare API's only where Compose is not at hand."""
    work = f"docker, {CONTAINERS} containers: {'nothing to do' if what == 'noop' else what}"
    judge = "compose" if "compose" in figures and getattr(figures["compose"], what) else "raw api"
    if what == "noop" or name != judge:
        return beside(work, alma_s, "s", (name, peer_s))
    factor = 1.2 if (what, judge) == ("destroy", "raw api") else 1.1
    return against(work, alma_s, "s", (name, peer_s), factor)


Taker = Callable[[Figures, list[float] | None], None]


def _takers(host: DockerDaemon, folder: Path) -> dict[str, Taker]:
    takers = {"raw api": _raw(host), "alma": _alma(host, folder / "alma")}
    compose = built(COMPOSE)
    if compose is not None:
        takers["compose"] = _compose(host, folder / "compose", compose / COMPOSE.name)
    else:
        quiet("docker: Compose is not built (python -m tests.servers.build compose)")
    if shutil.which("terraform"):
        try:
            takers["terraform"] = _terraform(host, folder / "terraform")
        except RuntimeError as e:
            quiet(f"docker: Terraform cannot be used here: {str(e).strip().splitlines()[-1]}")
    return takers


def _alma(host: DockerDaemon, folder: Path) -> Taker:
    shop = folder / "shop"
    shop.mkdir(parents=True)
    lines = [f"  - {{name: c{n}, type: container, specs: {{image: {_IMAGE}, networks: [lan]}}}}" for n in range(50)]
    health = [line[:-1] + ", health: {tcp: 8080}}" for line in lines]
    text = "name: shop\nprovider: docker\nresources:\n  - {name: lan, type: network}\n" + "\n".join(health) + "\n"
    (shop / "shop.yaml").write_text(text)
    environment = {"DOCKER_HOST": host.url, "XDG_STATE_HOME": str(folder / "state")}

    def alma(*arguments: str) -> Taken:
        return process([*ALMA, *arguments], environment, folder)

    def take(figures: Figures, in_loop: list[float] | None) -> None:
        figures.create.append(alma("deploy", "--yes", "shop").seconds)
        idle = [alma("plan", "shop") for _ in range(_NOOPS)]
        assert "0 to create, 0 to update" in idle[0].out
        figures.noop += [t.seconds for t in idle]
        figures.peak_mb = max(t.peak_mb for t in idle)
        if in_loop is not None:
            in_loop += asyncio.run(_in_loop(host.url, folder))
        digest = _destroy_digest(folder, environment)
        figures.destroy.append(alma("destroy", "--confirm", digest, "shop").seconds)

    return take


def _destroy_digest(folder: Path, environment: dict[str, str]) -> str:
    """A destroy above the prune limits names its digest; it is told when refused."""
    try:
        told = process([*ALMA, "destroy", "--yes", "shop"], environment, folder).out
    except RuntimeError as refused:
        told = str(refused)
    found = _DIGEST.search(told)
    assert found, told
    return found[1]


async def _in_loop(url: str, folder: Path) -> list[float]:
    """What a pass of a running controller takes: connections, code and caches are warm."""
    settings = Settings.model_validate({"targets": {"docker": {"engine": "docker", "url": url}}})
    state = folder / "state" / "alma"
    made = open_targets(settings, state, os.environ, SystemClock(), Metrics(), print, configured=False)
    read = read_folder(folder / "shop")
    scope = read.repository.scopes[0]
    allow = everything_allowed(("docker",), {})
    wanted = await read.wanted(scope, {"docker": ("docker",)}, allow, made.planning.kinds)
    times = []
    for _ in range(_NOOPS + 1):
        clock = SystemClock()
        begun_s = clock.now_s()
        planned = await made.planning.plan(wanted)
        times.append(clock.now_s() - begun_s)
        assert not planned.plan.changes
    await made.close()
    return times[1:]


def _compose(host: DockerDaemon, folder: Path, program: Path) -> Taker:
    folder.mkdir()
    services = {f"c{n}": {"image": _IMAGE, "networks": ["lan"], "pull_policy": "never"} for n in range(CONTAINERS)}
    (folder / "compose.yaml").write_text(json.dumps({"name": "peer", "services": services, "networks": {"lan": {}}}))

    def compose(*arguments: str) -> Taken:
        command = [str(program), *arguments]
        return process(command, {"DOCKER_HOST": host.url, "COMPOSE_PROGRESS": "quiet"}, folder)

    def take(figures: Figures, _: list[float] | None) -> None:
        figures.create.append(compose("up", "--detach").seconds)
        idle = [compose("up", "--detach") for _ in range(_NOOPS)]
        figures.noop += [t.seconds for t in idle]
        figures.peak_mb = max(t.peak_mb for t in idle)
        figures.destroy.append(compose("down").seconds)

    return take


def _terraform(host: DockerDaemon, folder: Path) -> Taker:
    folder.mkdir()
    (folder / "main.tf").write_text(_TERRAFORM % (host.url, _IMAGE, CONTAINERS))
    process(["terraform", "init", "-no-color"], cwd=folder)

    def terraform(*arguments: str) -> Taken:
        return process(["terraform", *arguments, "-no-color"], cwd=folder)

    def take(figures: Figures, _: list[float] | None) -> None:
        figures.create.append(terraform("apply", "-auto-approve").seconds)
        idle = terraform("plan")
        figures.noop.append(idle.seconds)
        figures.peak_mb = idle.peak_mb
        figures.destroy.append(terraform("destroy", "-auto-approve").seconds)

    return take


def _raw(host: DockerDaemon) -> Taker:
    api = host.api
    names = [f"raw-c{n}" for n in range(CONTAINERS)]

    def create(name: str) -> None:
        made = api.create_container(_IMAGE, name=name, host_config=api.create_host_config(network_mode="raw-lan"))
        api.start(made["Id"])

    def look() -> None:
        for found in api.containers(all=True):
            api.inspect_container(found["Id"])

    def take(figures: Figures, _: list[float] | None) -> None:
        api.create_network("raw-lan")
        with _pool() as each:
            figures.create.append(seconds(lambda: each(create, names)))
            figures.noop += [seconds(look) for _ in range(_NOOPS)]
            figures.destroy.append(seconds(lambda: each(_remove(host), names)))
        api.remove_network("raw-lan")

    return take


def _remove(host: DockerDaemon) -> Callable[[str], None]:
    """As ALMA and Compose do it: stopped with its grace, then removed."""

    def remove(name: str) -> None:
        host.api.stop(name, timeout=10)
        host.api.remove_container(name, v=True)

    return remove


@contextmanager
def _pool() -> Iterator[Callable[[Callable[[str], None], list[str]], None]]:
    with ThreadPoolExecutor(_WORKERS) as threads:
        yield lambda work, names: list(threads.map(work, names)).clear()
