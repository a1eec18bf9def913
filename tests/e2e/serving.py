"""`alma serve` as users run it: a child process with its own state folder, configuration, socket and log."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.servers.process import ServerProcess, free_port, wait_until

_START_TIMEOUT_S = 60.0
_CLI_TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
Json = Any


class Alma:
    """One install. `start` and `stop` may follow each other: same configuration, same state."""

    def __init__(self, folder: Path, settings: Mapping[str, Json], environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state, self.log = folder / "state", folder / "alma.log"
        self.port, self.metrics_port = free_port(), free_port()
        self._environment = {"PYTHONPATH": str(_ROOT), **environment}
        self._config = folder / "alma-server.yaml"
        listening = {"listen": f"127.0.0.1:{self.port}", "metrics_listen": f"127.0.0.1:{self.metrics_port}"}
        self._config.write_text(yaml.safe_dump({"state": str(self.state), "server": listening, **settings}))
        self._process: ServerProcess | None = None

    # --- the process ---

    def start(self, *options: str) -> None:
        """Returns when it has looked at its repositories once."""
        self._process = ServerProcess([*self._alma(), "serve", *options], self.log, self._environment)
        self._process.wait_ready(self.ready, timeout_s=_START_TIMEOUT_S)

    def ready(self) -> bool:
        """True if it says so itself."""
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it with `number`; its exit status, negative for a signal."""
        assert self._process is not None, "it was started"
        process, self._process = self._process, None
        process.stop(number)
        return process.status

    def kill(self) -> None:
        """No chance to clean up."""
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """It does nothing more and loses nothing, until `thaw`."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "it was started"
        self._process.send(number)

    def close(self) -> None:
        if self._process is not None:
            self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    # --- what a person does ---

    def cli(self, *arguments: str, status: int = 0) -> str:
        """`alma ARGUMENTS` beside it; its output. Fails unless the exit status is `status`."""
        done = subprocess.run(
            [*self._alma(), *arguments],
            env={**os.environ, **self._environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=_CLI_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == status, f"alma {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def ask(self, verb: str, **args: Json) -> Json:
        """The same question the command line would ask, over the socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_CLI_TIMEOUT_S)
            connection.connect(str(self.state / "alma.sock"))
            connection.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
        assert "result" in answer, answer
        return answer["result"]

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int:
        """What a forge does; the status code."""
        return httpx2.post(f"http://127.0.0.1:{self.port}{path}", content=body, headers=headers, timeout=10).status_code

    # --- what it says ---

    def scope(self, name: str = "prod") -> dict[str, Json]:
        """The scope as `alma status` has it; empty before it was seen."""
        return next((dict(s) for s in self.ask("status")["scopes"] if s["scope"] == name), {})

    def runs(self) -> list[dict[str, Json]]:
        """Oldest first."""
        return list(reversed(self.ask("history", limit=100)["runs"]))

    def metrics(self) -> str:
        """The page that Prometheus reads."""
        return httpx2.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).text

    def sample(self, series: str) -> float:
        """The value of `NAME{LABELS}` as the page has it, 0 if it has none."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def said(self) -> str:
        """Everything it printed and logged so far."""
        return self.log.read_text(errors="replace")

    def logged(self) -> Iterator[dict[str, Json]]:
        """Its log lines, parsed; lines of the report at the start are left out."""
        for line in self.said().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def wait(self, true: Any, what: str, timeout_s: float = 90.0) -> None:
        """Until `true()`; a failure ends with the log's last lines."""
        try:
            wait_until(lambda: not self.running() or bool(true()), timeout_s=timeout_s, what=what)
            assert self.running(), "alma serve ended by itself"
        except (TimeoutError, AssertionError) as late:
            end = "\n".join(self.said().splitlines()[-25:])
            raise AssertionError(f"{late}\n{end}") from late

    def wait_synced(self, revision: str, name: str = "prod") -> None:
        """Until the scope is verified at `revision`."""
        self.wait(lambda: self._is_synced(revision, name), f"{name} synced at {revision[:8]}")

    def _is_synced(self, revision: str, name: str) -> bool:
        scope = self.scope(name)
        return scope.get("revision") == revision and scope.get("sync") == "synced"

    def _alma(self) -> list[str]:
        return [sys.executable, "-m", "controller.cli.main", "--config", str(self._config)]
