"""A real PostgreSQL 15 from Debian's packages, on a unix socket and on loopback; each test gets it empty."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.servers.process import ServerProcess, accepts, free_port, wait_until

_START_TIMEOUT_S = 60.0
_BINARIES = Path("/usr/lib/postgresql/15/bin")
_PASSWORD = "canary-of-the-database"
_USER = "alma"


def missing() -> str | None:
    """Why no PostgreSQL can be started here, or None."""
    if not (_BINARIES / "postgres").exists():
        return "not installed: postgresql-15 (python -m tests.servers.system)"
    if os.geteuid() == 0 and (_account() is None or shutil.which("setpriv") is None):
        return "PostgreSQL refuses root, and there is no user postgres or no setpriv to become it"
    return None


def _account() -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return None


class PostgresServer:
    """One cluster; its data outlive `stop`, `kill` and `start`. Runs as user postgres where the tests run as root."""

    password = _PASSWORD

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alma-pg-"))
        self.port = free_port()
        self._data = self.folder / "data"
        self._process: ServerProcess | None = None
        self._as = []
        if (account := _account()) is not None and os.geteuid() == 0:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig=INT"]
            self._as = ["setpriv", *ids, "--"]
        self._initialise()

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(_PASSWORD)
        secret.chmod(0o644)
        done = subprocess.run(
            [*self._as, str(_BINARIES / "initdb"), f"--pgdata={self._data}", f"--username={_USER}", "--encoding=UTF8",
             "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-instructions"],
            capture_output=True, text=True, check=False, cwd=self.folder, timeout=_START_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Returns when it takes connections. Raises NotStarted."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "16MB",
            "max_connections": "60",
            "log_min_messages": "fatal",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        arguments = [*self._as, str(_BINARIES / "postgres"), "-D", str(self._data), *options]
        self._process = ServerProcess(arguments, self.folder / "postgres.log")
        self._process.wait_ready(self.answers, timeout_s=_START_TIMEOUT_S)

    def answers(self) -> bool:
        """True if it takes queries now."""
        if not accepts(self.port):
            return False
        return self._psql("SELECT 1").returncode == 0

    def empty(self) -> str:
        """The URL of the one database the tests use, with nothing in it and nobody connected."""
        # A new database would be 7 MB of log each.
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        self.sql(f"{others} AND pid <> pg_backend_pid(); DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        return self.url()

    def url(self, port: int | None = None) -> str:
        """With its password; through `port`, where a proxy of the test listens."""
        return f"postgresql://{_USER}:{_PASSWORD}@127.0.0.1:{port or self.port}/postgres"

    def sql(self, statement: str) -> str:
        """What psql prints, without headings."""
        done = self._psql(statement)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def kill(self) -> None:
        """Every process of it at once, as a power cut would. Returns when none is left."""
        assert self._process is not None, "it was started"
        leader = self._process.pid
        children = subprocess.run(["pgrep", "-P", str(leader)], capture_output=True, text=True, check=False)
        for pid in (leader, *map(int, children.stdout.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.stop(signal.SIGKILL)
        self._process = None
        wait_until(lambda: not accepts(self.port), timeout_s=10, what="the end of PostgreSQL")

    def stop(self) -> None:
        """A quick, clean end. Does nothing if it is stopped."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
            self._process = None

    def close(self) -> None:
        """Ends the server, without a word to the disk, and removes its data."""
        if self._process is not None:
            self._process.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _psql(self, statement: str) -> subprocess.CompletedProcess[str]:
        words = [
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            f"--host={self.folder}",
            f"--port={self.port}",
        ]
        return subprocess.run(
            [str(_BINARIES / "psql"), *words, f"--username={_USER}", "--dbname=postgres", "--command", statement],
            env={**os.environ, "PGPASSWORD": _PASSWORD},
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_TIMEOUT_S,
        )
