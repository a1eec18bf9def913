"""`alma demo --engine docker`: the story with real containers that answer HTTP, and a host that is as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.cli.conftest import spawned
from tests.servers.dockerd import DockerDaemon

pytestmark = pytest.mark.docker
IMAGE = "alma-test/web:1.0"


def left_on(host: DockerDaemon) -> tuple[set[str], set[str], set[str], set[str]]:
    """Containers, networks, volumes and images of the host."""
    return (
        {c["Id"] for c in host.api.containers(all=True)},
        {n["Name"] for n in host.api.networks()},
        {v["Name"] for v in host.api.volumes()["Volumes"] or ()},
        {str(i["RepoTags"]) for i in host.api.images()},
    )


def test_the_story_holds_on_real_containers_and_nothing_is_left_behind(
    docker_host: DockerDaemon, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    before = left_on(docker_host)
    said = spawned(
        *("demo", "--engine", "docker", "--image", IMAGE, "--once"),
        env={"DOCKER_HOST": docker_host.url, "TMPDIR": str(folder)},
        timeout_s=150,
    )
    assert said.code == 0, f"{said.out}\n{said.err}"
    chapters = [line[:5] for line in said.out.splitlines() if line.startswith("[")]
    assert chapters == ["[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]"]
    for told in ('says "shop 1.4"', 'says "shop 1.5"', "restart   undone", "quarantined", "$ docker stop alma-demo-"):
        assert told in said.out
    assert "Every step came out as told." in said.out.splitlines()[-1]
    assert left_on(docker_host) == before
    assert list(folder.iterdir()) == []
