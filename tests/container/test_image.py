"""The image holds ALMA and nothing to build with, and works without root, rights, network or a writable disk (I48)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.debian_base import debian_base
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

_ROOT = Path(__file__).resolve().parents[2]
_BASE = "alma-test/debian:bookworm"
_IMAGE = "alma-test/alma:built"
_LOCKED_DOWN: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
    "tmpfs": {"/tmp": "size=64m"},
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A container that has ended: its exit code and all it printed."""

    code: int
    text: str


@pytest.fixture(scope="module")
def image(docker_daemon: DockerDaemon) -> str:
    """The image built from the Containerfile on a Debian of our own, without network."""
    made = subprocess.run(["make", "wheels"], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert made.returncode == 0, made.stderr
    repository, tag = _BASE.rsplit(":", 1)
    docker_daemon.api.import_image_from_file(str(debian_base()), repository=repository, tag=tag)
    lines = list(
        docker_daemon.api.build(
            path=str(_ROOT), dockerfile="Containerfile", tag=_IMAGE, buildargs={"BASE": _BASE},
            network_mode="none", rm=True, forcerm=True, decode=True,
        )
    )  # fmt: skip
    assert not [line["error"] for line in lines if "error" in line], _said(lines)
    return _IMAGE


def _said(lines: Sequence[dict[str, Any]]) -> str:
    return "".join(str(line.get("stream", line.get("error", ""))) for line in lines)


def _alma(daemon: DockerDaemon, image: str, *command: str) -> Ended:
    """Runs `alma COMMAND…` in the image, locked down as a careful user would."""
    return _run(daemon, image, command, _LOCKED_DOWN)


def _shell(daemon: DockerDaemon, image: str, script: str) -> Ended:
    """Runs `script` in the image as its user, locked down."""
    return _run(daemon, image, ["-c", script], _LOCKED_DOWN, entrypoint=["sh"])


def _root_shell(daemon: DockerDaemon, image: str, script: str) -> Ended:
    """Runs `script` as root with root's usual rights: for a look into every corner of the image."""
    return _run(daemon, image, ["-c", script], {}, entrypoint=["sh"], user="0")


def _run(daemon: DockerDaemon, image: str, command: Sequence[str], host: dict[str, Any], **options: Any) -> Ended:
    host_config = daemon.api.create_host_config(**host)
    made = daemon.api.create_container(image, list(command), host_config=host_config, **options)
    daemon.api.start(made["Id"])
    code = daemon.api.wait(made["Id"], timeout=300)["StatusCode"]
    return Ended(code, daemon.api.logs(made["Id"]).decode())


@pytest.mark.parametrize("command", ["version", "--help"])
def test_alma_answers_without_rights_network_or_a_writable_disk(
    docker_host: DockerDaemon, image: str, command: str
) -> None:
    ended = _alma(docker_host, image, command)
    assert (ended.code, "Traceback" in ended.text) == (0, False), ended.text


def test_without_a_command_the_image_says_what_it_can_do(docker_host: DockerDaemon, image: str) -> None:
    ended = _alma(docker_host, image)
    assert ended == _alma(docker_host, image, "--help")
    assert ended.code == 0, ended.text


def test_the_whole_story_runs_in_the_image(docker_host: DockerDaemon, image: str) -> None:
    ended = _alma(docker_host, image, "demo", "--once")
    assert ended.code == 0, ended.text


def test_the_image_runs_as_an_ordinary_user(docker_host: DockerDaemon, image: str) -> None:
    assert _shell(docker_host, image, "id -u; id -g; id -un").text.split() == ["10001", "10001", "alma"]


def test_only_its_state_folder_belongs_to_the_user(docker_host: DockerDaemon, image: str) -> None:
    ended = _root_shell(docker_host, image, "find / -xdev -user alma")
    assert (ended.code, ended.text.split()) == (0, ["/var/lib/alma"])


def test_the_user_can_write_its_state_and_nothing_else(docker_host: DockerDaemon, image: str) -> None:
    ended = _shell(docker_host, image, "touch /var/lib/alma/x /tmp/x && ! touch /opt/alma/x && ! touch /etc/x")
    assert ended.code == 0, ended.text


def test_no_program_in_the_image_can_raise_its_rights(docker_host: DockerDaemon, image: str) -> None:
    assert _root_shell(docker_host, image, "find / -xdev -type f -perm /6000") == Ended(0, "")


def test_nothing_to_build_or_install_with_is_in_the_image(docker_host: DockerDaemon, image: str) -> None:
    tools = "for t in pip pip3 uv gcc cc make; do command -v $t; done; ls -d /wheels /opt/alma/bin/pip*"
    ended = _root_shell(docker_host, image, f"({tools}) 2>/dev/null; /opt/alma/bin/python -m pip 2>&1")
    assert ended.text.splitlines() == ["/opt/alma/bin/python: No module named pip"]


def test_the_code_in_the_image_is_compiled(docker_host: DockerDaemon, image: str) -> None:
    ended = _shell(docker_host, image, "find /opt/alma -path '*controller/__pycache__/errors.*.pyc'")
    assert ended.text.count(".pyc") == 1
