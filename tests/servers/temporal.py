"""A real Temporal: the development server of its command line, its histories in memory or in a file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.servers.go_server import TEMPORAL, built
from tests.servers.process import ServerProcess, accepts, free_port

_START_TIMEOUT_S = 60.0


def missing() -> str | None:
    """Why no Temporal can be started here, or None."""
    return None if built(TEMPORAL) else "not built (python -m tests.servers.build temporal)"


class TemporalServer:
    """One server with the namespace `default`. Its histories outlive `stop`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alma-temporal-"))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Returns when it accepts calls. Raises NotStarted."""
        folder = built(TEMPORAL)
        assert folder is not None, missing()
        arguments = [
            str(folder / "temporal"),
            "server",
            "start-dev",
            "--headless",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            f"--db-filename={self.folder / 'temporal.db'}",
            "--log-level=error",
        ]
        self._process = ServerProcess(arguments, self.folder / "temporal.log", {"HOME": str(self.folder)})
        self._process.wait_ready(lambda: accepts(self.port), timeout_s=_START_TIMEOUT_S)

    def stop(self) -> None:
        """Nothing answers until `start`. Does nothing if it is stopped."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self) -> None:
        """Stops the server and removes its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
