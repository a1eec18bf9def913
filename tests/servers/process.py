"""One server process of a test run: started, waited for in a bounded loop, stopped for certain.

What differs between servers (arguments, when it answers) is an argument. A server that does not come up raises
NotStarted with the end of its own log, so a red test says why.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_INTERVAL_S = 0.05
_STOP_TIMEOUT_S = 30.0
_LOG_LINES = 20


class NotStarted(Exception):
    """A server did not begin to answer in time, or ended; the text ends with its last log lines."""


def wait_until(true: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Returns as soon as `true()`; raises TimeoutError naming `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(_POLL_INTERVAL_S)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """True if something accepts connections on 127.0.0.1:`port`."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def listens(path: Path) -> bool:
    """True if something accepts connections on the unix socket `path`."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False


class ServerProcess:
    """A child process whose output goes to `log`; it does not outlive the test run, even one that is killed."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        # A test run that is killed runs no clean-up; the kernel then ends the server (Linux, util-linux), as it does
        # when only the thread is over that started it: start servers in the main one.
        tied = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*tied, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int:
        """The exit status of the ended process, negative for a signal."""
        return int(self._process.wait(_STOP_TIMEOUT_S))

    def running(self) -> bool:
        """True until the process has ended."""
        return self._process.poll() is None

    def wait_ready(self, answers: Callable[[], bool], *, timeout_s: float) -> None:
        """Returns when `answers()`; raises NotStarted when the process ended or `timeout_s` passed."""
        try:
            wait_until(lambda: not self.running() or answers(), timeout_s=timeout_s, what="server")
        except TimeoutError as late:
            raise NotStarted(f"no answer within {timeout_s:g} s\n{self.last_lines()}") from late
        if not self.running():
            raise NotStarted(f"ended with status {self._process.returncode}\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of the server's own log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def send(self, number: signal.Signals) -> None:
        """Sends `number` to the process, if it still runs."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process and waits for its end; one that ignores `number` is killed."""
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_TIMEOUT_S)
