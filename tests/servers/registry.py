"""A real image registry on loopback that wants a login."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import httpx2
import yaml

from tests.servers.dockerd import DockerDaemon
from tests.servers.process import ServerProcess, accepts, free_port

_START_TIMEOUT_S = 30.0
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def missing() -> str | None:
    """Why no registry can be started here, or None."""
    absent = [tool for tool in ("docker-registry", "htpasswd") if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)} (python -m tests.servers.system)" if absent else None


class Registry:
    """One registry at `address` (HOST:PORT; Docker takes loopback without TLS), empty at first."""

    username = "alma"
    password = "not-a-secret-1"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alma-registry-"))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: ServerProcess | None = None
        self._write_settings()

    @property
    def login(self) -> dict[str, str]:
        """`auth_config` of the Docker SDK."""
        return {"username": self.username, "password": self.password}

    def start(self) -> None:
        """Returns when it accepts connections. Raises NotStarted."""
        settings = str(self.folder / "config.yml")
        self._process = ServerProcess(["docker-registry", "serve", settings], self.folder / "registry.log")
        self._process.wait_ready(lambda: accepts(self.port), timeout_s=_START_TIMEOUT_S)

    def stop(self) -> None:
        """Nothing answers until `start`; what was pushed stays. Does nothing if it is stopped."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self) -> None:
        """Stops the registry and removes its images."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def push(self, daemon: DockerDaemon, reference: str, name: str) -> str:
        """Pushes the daemon's image `reference` as `ADDRESS/NAME` (NAME:TAG), forgets it there; returns its digest."""
        repository, tag = name.rsplit(":", 1)
        full = f"{self.address}/{repository}"
        daemon.api.tag(reference, full, tag)
        for line in daemon.api.push(full, tag, auth_config=self.login, stream=True, decode=True):
            if "error" in line:
                raise RuntimeError(f"push of {name}: {line['error']}")
        daemon.api.remove_image(f"{full}:{tag}")
        return self.digest(name)

    def digest(self, name: str) -> str:
        """The digest that NAME:TAG has now."""
        repository, tag = name.rsplit(":", 1)
        answer = httpx2.head(
            f"http://{self.address}/v2/{repository}/manifests/{tag}",
            headers={"Accept": _MANIFEST},
            auth=(self.username, self.password),
            timeout=_START_TIMEOUT_S,
        )
        answer.raise_for_status()
        return str(answer.headers["Docker-Content-Digest"])

    def _write_settings(self) -> None:
        accounts = self.folder / "htpasswd"
        line = subprocess.run(
            ["htpasswd", "-Bbn", self.username, self.password], capture_output=True, text=True, check=True, timeout=30
        )
        accounts.write_text(line.stdout.strip() + "\n")
        settings = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address},
            "auth": {"htpasswd": {"realm": "alma tests", "path": str(accounts)}},
        }
        (self.folder / "config.yml").write_text(yaml.safe_dump(settings))
