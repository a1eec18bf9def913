"""One Gitea and one Docker Engine for all stories; a repository, a port and an `alma serve` for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.checkout import Checkout, bare_remote
from tests.e2e.far_site import FarSite
from tests.e2e.gitea_scene import GiteaScene, People
from tests.e2e.serving import Alma
from tests.e2e.sharing import Fleet
from tests.e2e.shop import ALMA_YAML, Shop
from tests.servers.dockerd import DockerDaemon
from tests.servers.gitea import GiteaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port
from tests.servers.temporal import TemporalServer

Serving = Callable[..., Alma]
# Short, so that what only polling or a timer finds is found within the test.
RECONCILE = {
    "interval": "1s",
    "drift_interval": "2s",
    "scope_rate": {"per_minute": 6000, "burst": 100},
    "health_timeout": "15s",
}


@pytest.fixture(scope="session")
def people(gitea: GiteaServer) -> People:
    return People.arrive(gitea)


@pytest.fixture
def scene(gitea: GiteaServer, people: People, tmp_path: Path) -> GiteaScene:
    """A repository with `alma.yaml` on main and no blueprint yet."""
    made = GiteaScene(gitea, people, tmp_path / "work")
    made.push({"alma.yaml": ALMA_YAML})
    return made


@pytest.fixture
def plain_remote(tmp_path: Path) -> Checkout:
    """A bare repository without a forge, with `alma.yaml` on main."""
    checkout = Checkout(tmp_path / "work", bare_remote(tmp_path / "remote.git"))
    checkout.push({"alma.yaml": ALMA_YAML})
    return checkout


@pytest.fixture
def shop() -> Shop:
    return Shop(free_port())


@pytest.fixture
def served(docker_host: DockerDaemon, tmp_path: Path) -> Iterator[Serving]:
    """`served(repository, environment, **settings)`: an install with that one repository and the Docker host as
    target `edge`; not started yet, stopped in the end."""
    with ExitStack() as stack:

        def make(repository: dict[str, Any], environment: dict[str, str] | None = None, **settings: Any) -> Alma:
            wanted = {
                "id": "home",
                "repositories": [repository],
                "targets": {"edge": {"engine": "docker", "url": docker_host.url}},
                "allow": {"infra": {"targets": ["edge"]}},
                "reconcile": RECONCILE,
                **settings,
            }
            return stack.enter_context(closing(Alma(tmp_path / "alma", wanted, environment or {})))

        yield make


@pytest.fixture
def fleet(postgres: PostgresServer, tmp_path: Path) -> Iterator[Fleet]:
    """A repository and a simulated host that controllers share; none of them is made yet."""
    with ExitStack() as stack:
        yield Fleet(tmp_path, postgres.empty(), stack)
    if not postgres.answers():
        postgres.start()


@pytest.fixture
def far_site(postgres: PostgresServer, temporal: TemporalServer, tmp_path: Path) -> Iterator[Callable[..., FarSite]]:
    """`far_site(**world)`: a controller and the worker beside a simulated target; neither is started yet."""
    with ExitStack() as stack:
        yield lambda **world: FarSite(tmp_path, postgres.empty(), temporal.address, stack, **world)


@pytest.fixture
def hooked(scene: GiteaScene, served: Serving) -> Alma:
    """Serves the Gitea repository and is told by webhooks; polling is too slow to be of help."""
    slow = {**RECONCILE, "interval": "1h", "drift_interval": "1h"}
    alma = served(scene.repository(webhook=True), scene.environment(), reconcile=slow)
    scene.send_events_to(alma.port)
    return alma


@pytest.fixture
def polling(scene: GiteaScene, served: Serving) -> Alma:
    """Serves the Gitea repository and has no webhook."""
    return served(scene.repository(webhook=False), scene.environment())


@pytest.fixture
def local(plain_remote: Checkout, served: Serving) -> Alma:
    """Serves a plain Git remote with the built-in forge."""
    return served({"name": "infra", "url": plain_remote.url})
