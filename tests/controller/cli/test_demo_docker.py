"""`alma demo --engine docker`: the story with real containers that answer HTTP, and a host that is as it was before."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from controller.cli.docker_visit import visit
from tests.controller.cli.conftest import Alma, spawned
from tests.servers.dockerd import DockerDaemon
from tests.servers.process import wait_until

IMAGE = "alma-test/web:1.0"


def left_on(host: DockerDaemon) -> tuple[set[str], set[str], set[str], set[str]]:
    """Containers, networks, volumes and images of the host."""
    return (
        {c["Id"] for c in host.api.containers(all=True)},
        {n["Name"] for n in host.api.networks()},
        {v["Name"] for v in host.api.volumes()["Volumes"] or ()},
        {str(i["RepoTags"]) for i in host.api.images()},
    )


@pytest.mark.docker
def test_a_real_story(docker_host: DockerDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "t"  # a socket path has at most 107 characters
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
    for told in (
        'says "shop 1.4"',
        'says "shop 1.5"',
        "restart   undone",
        "not a copy",
        "quarantined",
        "$ docker stop alma-demo-",
    ):
        assert told in said.out
    assert "Every step came out as told." in said.out.splitlines()[-1]
    assert left_on(docker_host) == before
    assert list(folder.iterdir()) == []


@pytest.mark.docker
def test_interrupted(docker_host: DockerDaemon, tmp_path: Path) -> None:
    before = left_on(docker_host)
    child = subprocess.Popen(
        [sys.executable, "-m", "controller.cli.main", "demo", "--engine", "docker", "--image", IMAGE, "--once"],
        env={**os.environ, "DOCKER_HOST": docker_host.url, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        wait_until(
            lambda: bool(docker_host.api.containers()), timeout_s=60, what="first container of the demonstration"
        )
        child.send_signal(signal.SIGINT)
        err = child.communicate(timeout=60)[1]
    assert (child.returncode, err) == (130, "interrupted; nothing is left half-done\n")
    assert left_on(docker_host) == before
    assert list(tmp_path.glob("alma-demo-*")) == []


@pytest.mark.docker
def test_an_image_that_nobody_has_is_one_clear_error(
    docker_host: DockerDaemon, alma: Alma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host.url)
    before = left_on(docker_host)
    said = alma("demo", "--engine", "docker", "--image", "localhost:1/none:1.0", "--once")
    assert said.code == 1
    assert said.err.startswith("error: localhost:1/none:1.0 cannot be pulled: ")
    assert "--image NAME" in said.err
    assert said.out == ""
    assert left_on(docker_host) == before


def serve_image(host: DockerDaemon, server: HTTPServer) -> str:
    """A registry with `IMAGE` and nothing else; the name under which a host finds it there."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(host.api.get_image(IMAGE)))) as saved:
        files = {m.name: found.read() for m in saved if (found := saved.extractfile(m)) is not None}
    parts = json.loads(files["manifest.json"])[0]
    kind = "application/vnd.docker."

    def blob(path: str, media: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(files[path]).hexdigest()}"
        server.expect_request(f"/v2/web/blobs/{digest}").respond_with_data(files[path])
        return {"mediaType": kind + media, "size": len(files[path]), "digest": digest}

    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}distribution.manifest.v2+json",
        "config": blob(parts["Config"], "container.image.v1+json"),
        "layers": [blob(path, "image.rootfs.diff.tar") for path in parts["Layers"]],
    }
    server.expect_request("/v2/").respond_with_data("{}")
    server.expect_request(re.compile("/v2/web/manifests/.*")).respond_with_data(
        json.dumps(manifest), content_type=f"{kind}distribution.manifest.v2+json"
    )
    return f"127.0.0.1:{server.port}/web:1.0"


@pytest.mark.docker
async def test_an_image_that_had_to_be_pulled_goes_with_the_visit(
    docker_host: DockerDaemon, httpserver: HTTPServer
) -> None:
    image, before = serve_image(docker_host, httpserver), left_on(docker_host)
    async with visit({"engine": "docker", "url": docker_host.url}, "alma-demo-test", image) as host:
        assert await host.has_image(image)
    assert left_on(docker_host) == before


@pytest.mark.docker
async def test_an_image_that_was_there_stays(docker_host: DockerDaemon) -> None:
    before = left_on(docker_host)
    async with visit({"engine": "docker", "url": docker_host.url}, "alma-demo-test", IMAGE):
        pass
    assert left_on(docker_host) == before


@pytest.mark.docker
async def test_what_bears_another_install_id_is_left_alone(docker_host: DockerDaemon) -> None:
    docker_host.api.create_network("theirs", labels={"alma.install": "alma-demo-other"})
    docker_host.api.create_volume("theirs", labels={"alma.install": "home"})
    before = left_on(docker_host)
    async with visit({"engine": "docker", "url": docker_host.url}, "alma-demo-test", IMAGE):
        docker_host.api.create_network("ours", labels={"alma.install": "alma-demo-test"})
        docker_host.api.create_volume("ours", labels={"alma.install": "alma-demo-test"})
    assert left_on(docker_host) == before


def test_a_host_that_does_not_answer_is_one_clear_error(
    alma: Alma, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    said = alma("demo", "--engine", "docker", "--once")
    assert said.code == 5
    first, following = said.err.splitlines()
    assert first.startswith(f"error: Docker at unix://{tmp_path}/none.sock does not answer")
    assert "DOCKER_HOST" in following
    assert said.out == ""


def test_an_image_is_no_wish_of_the_simulated_platform(alma: Alma) -> None:
    said = alma("demo", "--image", IMAGE)
    assert said.code == 3
    assert "--image goes with --engine docker" in said.err
