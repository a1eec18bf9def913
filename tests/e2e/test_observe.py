"""Look first: `--observe` and read-only targets plan and tell; neither touches the Docker host."""

from __future__ import annotations

import pytest

from tests.e2e.checkout import Checkout
from tests.e2e.conftest import Serving
from tests.e2e.shop import Shop, container, names
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker


@pytest.fixture
def stranger(docker_host: DockerDaemon) -> str:
    """A container that somebody else runs."""
    made = docker_host.api.create_container("alma-test/web:1.0", name="stranger")
    docker_host.api.start(made["Id"])
    return str(made["Id"])


@pytest.mark.parametrize("way", ["--observe", "read_only"])
def test_it_says_what_it_would_do_and_does_nothing(
    plain_remote: Checkout, served: Serving, shop: Shop, docker_host: DockerDaemon, stranger: str, way: str
) -> None:
    target = {"engine": "docker", "url": docker_host.url, "read_only": way == "read_only"}
    alma = served({"name": "infra", "url": plain_remote.url}, targets={"edge": target})
    alma.start(*(["--observe"] if way == "--observe" else []))
    plain_remote.push(shop.files(shop.web(), shop.store()))
    alma.wait(lambda: "2 to create" in alma.scope().get("message", ""), "what it would do")
    assert way in alma.scope()["message"]
    assert "2 to create" in alma.cli("status")
    plain_remote.push(shop.files(shop.web("1.1")), "ipr/next")
    alma.wait(lambda: alma.ask("ipr.list")["iprs"] and alma.ask("ipr.show", number=1)["comment"], "the review")
    assert "1 to create" in alma.cli("ipr", "show", "1")
    assert names(docker_host) == ["stranger"] and not docker_host.api.volumes()["Volumes"]
    live = container(docker_host, "stranger")
    assert live["Id"] == stranger and live["State"]["Running"]
    assert alma.runs() == []
