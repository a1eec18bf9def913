"""Real servers as fixtures. Each starts once in a test run, when the first test asks for it.

`docker_host` gives every test an empty Docker Engine; what the test leaves behind is removed after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.dockerd import DockerDaemon
from tests.servers.gitea import GiteaServer
from tests.servers.kubernetes import ControlPlane
from tests.servers.postgres import PostgresServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.registry import Registry
from tests.servers.sops import Sops
from tests.servers.temporal import TemporalServer


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[DockerDaemon]:
    """The Docker Engine itself, for fixtures of a wider scope; they remove what they make."""
    with closing(DockerDaemon()) as daemon:
        daemon.start()
        daemon.import_images()
        yield daemon


@pytest.fixture
def docker_host(docker_daemon: DockerDaemon) -> Iterator[DockerDaemon]:
    """A running Docker Engine with the images of `busybox_image` and nothing else, for one test."""
    yield docker_daemon
    if not docker_daemon.answers():
        docker_daemon.start()
    docker_daemon.set_live_restore(on=False)
    docker_daemon.clean()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """An image registry with a login; a test pushes under names of its own."""
    with closing(Registry()) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def gitea() -> Iterator[GiteaServer]:
    """A Gitea with an administrator; a test makes users and repositories under names of its own."""
    with closing(GiteaServer()) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[ControlPlane]:
    """The control plane itself, for fixtures of a wider scope; they remove what they make."""
    with closing(ControlPlane()) as plane:
        plane.start()
        yield plane


@pytest.fixture
def cluster(kubernetes: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster with one node and an empty namespace `prod`, for one test."""
    kubernetes.namespace("prod")
    yield kubernetes
    if not kubernetes.answers():
        kubernetes.start_api()
    kubernetes.clean()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL; a test empties it first, and starts it again when it killed it."""
    with closing(PostgresServer()) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def prometheus() -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes what a test names, under a job label of its own."""
    with closing(PrometheusServer()) as server:
        server.start()
        yield server


@pytest.fixture
def sops(tmp_path: Path) -> Sops:
    """The real SOPS, in a folder of the test's own."""
    folder = tmp_path / "sops"
    folder.mkdir()
    return Sops(folder)


@pytest.fixture(scope="session")
def temporal() -> Iterator[TemporalServer]:
    """A Temporal; a test takes a task queue of its own."""
    with closing(TemporalServer()) as server:
        server.start()
        yield server
