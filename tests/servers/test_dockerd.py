"""The Docker Engine of the tests is real: it runs, publishes, resolves names, restarts, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.busybox_image import WEB_PORT
from tests.servers.dockerd import DockerDaemon
from tests.servers.process import NotStarted, wait_until

pytestmark = pytest.mark.docker


_ROOT = Path(__file__).resolve().parents[2]
_KILLED_RUN = """
import os, signal
from tests.servers.dockerd import DockerDaemon
daemon = DockerDaemon()
print(daemon.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _page(url: str) -> str | None:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return str(answer.read().decode())
    return None


def _run_web(daemon: DockerDaemon, name: str, reference: str = "alma-test/web:1.0") -> str:
    """Runs `reference` as `name` with its port published; returns the address of the page."""
    binding = daemon.api.create_host_config(port_bindings={WEB_PORT: ("127.0.0.1", None)})
    daemon.api.create_container(reference, name=name, ports=[WEB_PORT], host_config=binding)
    daemon.api.start(name)
    published = daemon.api.inspect_container(name)["NetworkSettings"]["Ports"][f"{WEB_PORT}/tcp"][0]
    return f"http://127.0.0.1:{published['HostPort']}/"


def _health(daemon: DockerDaemon, name: str) -> str:
    return str(daemon.api.inspect_container(name)["State"]["Health"]["Status"])


def test_a_container_answers_on_its_published_port(docker_host: DockerDaemon) -> None:
    url = _run_web(docker_host, "web", "alma-test/web:1.1")
    wait_until(lambda: _page(url) == "alma-test/web:1.1", timeout_s=10, what="page")


def test_containers_of_one_network_find_each_other_by_name(docker_host: DockerDaemon) -> None:
    api = docker_host.api
    api.create_network("shop")
    for name, command in (
        ("web", None),
        ("client", ["sh", "-c", f"until wget -qO- http://web:{WEB_PORT}/; do :; done"]),
    ):
        joined = {"EndpointsConfig": {"shop": {"Aliases": [name]}}}
        api.create_container("alma-test/web:1.0", command, name=name, networking_config=joined)
        api.start(name)
    assert api.wait("client", timeout=30)["StatusCode"] == 0
    assert b"alma-test/web:1.0" in api.logs("client")


def test_a_container_outlives_its_daemon_only_with_live_restore(docker_host: DockerDaemon) -> None:
    url = _run_web(docker_host, "web")
    docker_host.restart(live_restore=True)
    wait_until(lambda: _page(url) is not None, timeout_s=10, what="page after a restart with live-restore")
    docker_host.restart(live_restore=False)
    assert docker_host.api.inspect_container("web")["State"]["Status"] == "exited"


def test_a_killed_daemon_starts_again_with_what_it_knew(docker_host: DockerDaemon) -> None:
    docker_host.api.create_volume("kept")
    docker_host.kill()
    assert not docker_host.answers()
    docker_host.start()
    assert [volume["Name"] for volume in docker_host.api.volumes()["Volumes"]] == ["kept"]


def test_each_test_begins_with_an_empty_engine(docker_host: DockerDaemon) -> None:
    _run_web(docker_host, "web", "alma-test/db:1.0")
    docker_host.api.create_network("left")
    docker_host.clean()
    assert docker_host.api.containers(all=True) == []
    assert not docker_host.api.volumes()["Volumes"]
    assert {network["Name"] for network in docker_host.api.networks()} == {"bridge", "host", "none"}


def test_the_broken_image_runs_but_never_answers(docker_host: DockerDaemon) -> None:
    url = _run_web(docker_host, "web", "alma-test/web:broken")
    assert docker_host.api.inspect_container("web")["State"]["Running"]
    assert _page(url) is None


def test_the_silent_image_accepts_and_never_answers(docker_host: DockerDaemon) -> None:
    url = _run_web(docker_host, "web", "alma-test/web:silent")
    assert _page(url) is None
    assert docker_host.api.inspect_container("web")["State"]["Running"]


def test_the_crashing_image_ends_at_once(docker_host: DockerDaemon) -> None:
    docker_host.api.create_container("alma-test/web:crash", name="web")
    docker_host.api.start("web")
    assert docker_host.api.wait("web", timeout=30)["StatusCode"] == 1


def test_the_image_with_a_health_check_becomes_healthy(docker_host: DockerDaemon) -> None:
    _run_web(docker_host, "web", "alma-test/web:healthcheck")
    wait_until(lambda: _health(docker_host, "web") == "healthy", timeout_s=20, what="healthy")


def test_a_second_daemon_runs_beside_the_first_and_leaves_nothing(docker_host: DockerDaemon) -> None:
    with closing(DockerDaemon()) as second:
        second.start()
        assert second.api.info()["ID"] != docker_host.api.info()["ID"]
        assert second.api.images() == []
        folder, bridge = second.folder, Path("/sys/class/net", second.bridge)
        assert bridge.exists()
    assert not folder.exists()
    assert not bridge.exists()
    assert docker_host.answers()


def test_what_a_killed_test_run_left_is_removed_by_the_next() -> None:
    left = subprocess.run(
        [sys.executable, "-c", _KILLED_RUN], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert left.returncode == -signal.SIGKILL, left.stderr
    folder = Path(left.stdout.strip())
    with closing(DockerDaemon()):
        assert not folder.exists()


def test_a_daemon_that_cannot_start_says_why_from_its_log(docker_host: DockerDaemon) -> None:
    broken = DockerDaemon(insecure_registries=["not an address"])
    with closing(broken), pytest.raises(NotStarted, match="insecure"):
        broken.start()
