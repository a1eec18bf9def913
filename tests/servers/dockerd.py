"""A real Docker Engine of our own: own socket, storage, bridge and addresses, beside any other on the machine.

It leaves the machine's firewall alone (`--iptables=false`): a second daemon that writes the same chains would break the
first one's. Ports published on the host go through Docker's own proxy process; containers of one network reach each
other and their names as usual; nothing is routed out of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from tests.servers.busybox_image import BUSYBOX, IMAGES, BusyboxImage, root_file_system
from tests.servers.go_server import locked
from tests.servers.process import NotStarted, ServerProcess, listens, wait_until

_START_TIMEOUT_S = 60.0
_API_TIMEOUT_S = 120.0
_TOOLS = ("dockerd", "containerd", "iptables", "ip")  # iptables: for the name server inside a container's network


def missing() -> str | None:
    """Why no Docker Engine can be started here, or None."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent or not BUSYBOX.exists():
        return f"not installed: {', '.join(absent) or 'busybox-static'} (python -m tests.servers.system)"
    return None if os.geteuid() == 0 else "dockerd needs root"


class DockerDaemon:
    """One dockerd. `url` is what a client or a target's settings take; `api` is a low-level client of it."""

    def __init__(self, insecure_registries: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alma-dockerd-"))
        self.socket = self.folder / "docker.sock"
        self.url = f"unix://{self.socket}"
        self.bridge, self._subnet = _claim_bridge(self.folder)
        self._registries = tuple(insecure_registries)
        self._live_restore = False
        self._process: ServerProcess | None = None
        self.api = docker.APIClient(base_url=self.url, version="1.41", timeout=int(_API_TIMEOUT_S))

    def start(self) -> None:
        """Returns when the API answers. Raises NotStarted."""
        self._write_settings()
        self._process = ServerProcess(self._arguments(), self.folder / "dockerd.log")
        self._process.wait_ready(self.answers, timeout_s=_START_TIMEOUT_S)

    def answers(self) -> bool:
        """True if the API answers now."""
        # Asked first, because the SDK leaves its socket open when nobody listens.
        if not listens(self.socket):
            return False
        with contextlib.suppress(requests.RequestException, docker.errors.DockerException):
            return bool(self.api.ping())
        return False

    def stop(self) -> None:
        """Stops the daemon; its containers end with it unless live-restore is on. Does nothing if it is stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """The daemon dies without a chance to clean up."""
        self._end(signal.SIGKILL)
        containerd = self.folder / "exec" / "containerd"
        wait_until(lambda: not listens(containerd / "containerd.sock"), timeout_s=20, what="end of its containerd")
        # Where nobody reaps orphans, the dead containerd stays a zombie that the next dockerd takes for a living one.
        (containerd / "containerd.pid").unlink(missing_ok=True)

    def _end(self, number: signal.Signals) -> None:
        self.api.close()  # the kept connections, which would be found dead later
        if self._process is not None:
            self._process.stop(number)
            self._process = None

    def restart(self, *, live_restore: bool = False) -> None:
        """Stops and starts the daemon; with `live_restore` its containers keep running meanwhile."""
        self.set_live_restore(on=live_restore)
        self.stop()
        self.start()

    def set_live_restore(self, *, on: bool) -> None:
        """Tells the running daemon whether containers outlive it; returns when it has taken the setting."""
        if self._process is None or self._live_restore == on:
            self._live_restore = on
            return
        self._live_restore = on
        self._write_settings()
        self._process.send(signal.SIGHUP)
        wait_until(lambda: self.api.info()["LiveRestoreEnabled"] is on, timeout_s=20, what="live-restore setting")

    def import_image(self, image: BusyboxImage) -> str:
        """Makes `image` known to the daemon under its reference and returns its id."""
        repository, tag = image.reference.rsplit(":", 1)
        run = f"CMD {json.dumps(['sh', '-c', image.script])}"
        answer = self.api.import_image_from_data(
            root_file_system(image.reference), repository=repository, tag=tag, changes=[run, *image.changes]
        )
        return str(json.loads(answer)["status"])

    def import_images(self) -> None:
        """Makes all of `busybox_image.IMAGES` known."""
        for image in IMAGES:
            self.import_image(image)

    def clean(self) -> None:
        """Removes every container, network, volume, and image not named `alma-test/…`. Nobody else's are here."""
        for container in self.api.containers(all=True):
            with contextlib.suppress(docker.errors.NotFound):
                self.api.remove_container(container["Id"], v=True, force=True)
        for network in self.api.networks():
            if network["Name"] not in {"bridge", "host", "none"}:
                self.api.remove_network(network["Id"])
        for volume in self.api.volumes()["Volumes"] or ():
            self.api.remove_volume(volume["Name"], force=True)
        self._forget_images()

    def _forget_images(self) -> None:
        for image in self.api.images():
            for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]:
                if not name.startswith(("alma-test/", "<none>")):
                    with contextlib.suppress(docker.errors.ImageNotFound):  # went with another of its names
                        self.api.remove_image(name, force=True)

    def close(self) -> None:
        """Stops the daemon and removes everything it made: containers, mounts, bridge, folder."""
        if self.answers():
            self.clean()
        self.stop()
        _ip("link", "delete", self.bridge)
        _remove(self.folder)

    def _write_settings(self) -> None:
        settings: dict[str, Any] = {
            "deprecated-key-path": str(self.folder / "key.json"),  # the engine's identity, else one per machine
            "live-restore": self._live_restore,
            "insecure-registries": list(self._registries),
            "default-address-pools": [{"base": f"{self._subnet}.128.0/17", "size": 24}],
        }
        (self.folder / "daemon.json").write_text(json.dumps(settings))

    def _arguments(self) -> list[str]:
        return [
            "dockerd",
            f"--config-file={self.folder / 'daemon.json'}",
            f"--host={self.url}",
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.folder / 'exec'}",
            f"--pidfile={self.folder / 'dockerd.pid'}",
            f"--bridge={self.bridge}",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]


def _claim_bridge(folder: Path) -> tuple[str, str]:
    """A bridge no other daemon has, and the first two numbers of its addresses. To create it is to own it."""
    with locked(Path(tempfile.gettempdir(), "alma-test-bridges.lock")):
        for bridge in Path("/sys/class/net").glob("alma-test*"):
            _remove_if_left_behind(bridge)
        for number in range(100, 200):
            name = f"alma-test{number}"
            if _ip("link", "add", name, "type", "bridge"):
                _ip("link", "set", name, "alias", f"{os.getpid()} {folder}")
                _ip("address", "add", f"10.{number}.0.1/24", "dev", name)
                _ip("link", "set", name, "up")
                return name, f"10.{number}"
    raise NotStarted("no bridge can be made: all names are taken, or network administration is not allowed here")


def _remove_if_left_behind(bridge: Path) -> None:
    """A test run that was killed cleans nothing up: the next one does it."""
    try:
        owner, _, folder = (bridge / "ifalias").read_text().strip().partition(" ")
    except OSError:  # another run just removed it itself
        return
    if folder and not Path("/proc", owner).exists():
        _remove(Path(folder))
        _ip("link", "delete", bridge.name)


def _remove(folder: Path) -> None:
    _unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False, timeout=30).returncode == 0


def _unmount_below(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((point for point in mounted if point.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", "--", point], capture_output=True, check=False, timeout=30)
