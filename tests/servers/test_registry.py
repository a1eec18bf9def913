"""The registry of the tests is real: it wants a login and knows images by digest."""

from __future__ import annotations

from contextlib import closing

import docker.errors
import httpx2
import pytest

from tests.servers.dockerd import DockerDaemon
from tests.servers.process import accepts
from tests.servers.registry import Registry

pytestmark = pytest.mark.docker


def _names(daemon: DockerDaemon, kind: str) -> list[str]:
    """The `RepoTags` or `RepoDigests` of all images; the daemon writes null for none."""
    return [name for image in daemon.api.images() for name in image[kind] or ()]


def test_a_pushed_image_is_pulled_by_digest_with_the_login(docker_host: DockerDaemon, registry: Registry) -> None:
    digest = registry.push(docker_host, "alma-test/web:1.0", "shop/web:1.0")
    repository = f"{registry.address}/shop/web"
    docker_host.api.pull(f"{repository}@{digest}", auth_config=registry.login)
    assert f"{repository}@{digest}" in _names(docker_host, "RepoDigests")


def test_what_a_test_pulled_is_gone_for_the_next_one(docker_host: DockerDaemon, registry: Registry) -> None:
    registry.push(docker_host, "alma-test/web:1.0", "pulled/web:1.0")
    docker_host.api.pull(f"{registry.address}/pulled/web", tag="1.0", auth_config=registry.login)
    docker_host.clean()
    names = _names(docker_host, "RepoTags")
    assert "alma-test/web:1.0" in names
    assert [name for name in names if not name.startswith(("alma-test/", "<none>"))] == []


def test_a_pull_without_the_login_is_refused(docker_host: DockerDaemon, registry: Registry) -> None:
    registry.push(docker_host, "alma-test/web:1.0", "closed/web:1.0")
    with pytest.raises(docker.errors.APIError, match="no basic auth credentials"):
        docker_host.api.pull(f"{registry.address}/closed/web", tag="1.0")


def test_a_tag_moves_to_another_digest(docker_host: DockerDaemon, registry: Registry) -> None:
    first = registry.push(docker_host, "alma-test/web:1.0", "moved/web:latest")
    assert registry.push(docker_host, "alma-test/web:1.1", "moved/web:latest") != first


def test_a_wrong_password_is_refused(registry: Registry) -> None:
    answer = httpx2.get(f"http://{registry.address}/v2/", auth=(registry.username, "wrong"))
    assert answer.status_code == httpx2.codes.UNAUTHORIZED


def test_a_stopped_registry_answers_no_more_and_leaves_nothing() -> None:
    with closing(Registry()) as server:
        server.start()
        assert accepts(server.port)
        server.stop()
        assert not accepts(server.port)
    assert not server.folder.exists()
