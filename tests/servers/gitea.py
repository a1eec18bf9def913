"""A real Gitea on a free loopback port, with one administrator, and what a test needs to set a scene on it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.servers.go_server import GITEA, built
from tests.servers.process import NotStarted, ServerProcess, free_port, wait_until

ADMIN = "alma-admin"
_PASSWORD = "not-a-secret-1"  # of every account of this throw-away server
_START_TIMEOUT_S = 90.0
_API_TIMEOUT_S = 30.0
_WAIT_S = 30.0
_EVENTS = ("push", "pull_request", "pull_request_sync", "pull_request_comment", "issue_comment")
_APP_INI = """
APP_NAME = alma tests
RUN_MODE = prod
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static}
OFFLINE_MODE = true
DISABLE_SSH = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[security]
INSTALL_LOCK = true
SECRET_KEY = throw-away
INTERNAL_TOKEN = throw-away
PASSWORD_COMPLEXITY = off
[service]
DISABLE_REGISTRATION = true
[repository]
DEFAULT_BRANCH = main
[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 5
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[packages]
ENABLED = false
[cron]
ENABLED = false
[log]
MODE = console
LEVEL = warn
"""


def missing() -> str | None:
    """Why no Gitea can be started here, or None."""
    if built(GITEA) is None:
        return "not built (python -m tests.servers.build; needs Go and a C compiler)"
    return None if shutil.which("git") else "git is not installed"


class ApiError(Exception):
    """Gitea answered a test's request with an error; the text has its status and body."""


class GiteaServer:
    """One Gitea. `stop` and `start` are an outage: same port, same data."""

    def __init__(self) -> None:
        program = built(GITEA)
        if program is None:
            raise NotStarted(str(missing()))
        self._program = program / GITEA.name
        self.folder = Path(tempfile.mkdtemp(prefix="alma-gitea-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: ServerProcess | None = None
        self._client = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=_API_TIMEOUT_S)
        self._settings = self.folder / "app.ini"
        self._settings.write_text(_APP_INI.format(folder=self.folder, port=self.port, static=program))
        self._command("migrate")
        self.admin_token = self._make_admin()

    def start(self) -> None:
        """Returns when the API answers. Raises NotStarted."""
        self._process = ServerProcess(
            [str(self._program), "--config", str(self._settings), "web"], self.folder / "gitea.log"
        )
        self._process.wait_ready(self.answers, timeout_s=_START_TIMEOUT_S)

    def answers(self) -> bool:
        """True if the API answers now."""
        try:
            return self._client.get("/version").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        """Nothing answers until `start`. Does nothing if it is stopped."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Stopped inside the block, answering again after it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """Stops the server and removes its data."""
        self.stop()
        self._client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method: str, path: str, *, token: str | None = None, body: object = None) -> Any:
        """`METHOD /api/v1PATH` by the owner of `token` (default: the administrator): JSON or None. Raises ApiError."""
        header = {"Authorization": f"token {token or self.admin_token}"}
        return _content(self._client.request(method, path, headers=header, json=body))

    def page(self, path: str, body: object) -> str:
        """What `POST /api/v1PATH` answers where that is a page: Markdown as Gitea shows it."""
        answer = self._client.post(path, headers={"Authorization": f"token {self.admin_token}"}, json=body)
        answer.raise_for_status()
        return answer.text

    def create_user(self, name: str) -> str:
        """Makes an ordinary account and returns a token of it with all scopes."""
        account = {
            "username": name,
            "password": _PASSWORD,
            "email": f"{name}@example.test",
            "must_change_password": False,
        }
        self.call("POST", "/admin/users", body=account)
        return self.create_token(name, ["all"])

    def create_token(self, name: str, scopes: Sequence[str]) -> str:
        """A further token of the account, with just these `scopes` (`write:repository`, `read:user`…)."""
        path = f"/users/{name}/tokens"
        held = _content(self._client.get(path, auth=(name, _PASSWORD)))
        body = {"name": f"test-{len(held)}", "scopes": list(scopes)}
        return str(_content(self._client.post(path, auth=(name, _PASSWORD), json=body))["sha1"])

    def create_repo(self, owner: str, name: str, *, private: bool = False, initialised: bool = False) -> str:
        """Makes a repository with default branch `main` (with a README if `initialised`); returns its clone URL."""
        body = {"name": name, "private": private, "auto_init": initialised, "default_branch": "main"}
        return str(self.call("POST", f"/admin/users/{owner}/repos", body=body)["clone_url"])

    def push_url(self, owner: str, name: str, login: str, token: str) -> str:
        """The clone URL with `login`'s credential in it, for a test's own git commands."""
        return f"http://{login}:{token}@127.0.0.1:{self.port}/{owner}/{name}.git"

    def add_collaborator(self, owner: str, name: str, login: str, permission: str = "write") -> None:
        """Gives `login` the right `read`, `write` or `admin`."""
        self.call("PUT", f"/repos/{owner}/{name}/collaborators/{login}", body={"permission": permission})

    def add_webhook(self, owner: str, name: str, url: str, secret: str, events: Sequence[str] = _EVENTS) -> int:
        """Delivers `events` of the repository to the loopback address `url`; returns the hook's id."""
        body = {
            "type": "gitea",
            "active": True,
            "events": list(events),
            "config": {"url": url, "content_type": "json", "secret": secret},
        }
        return int(self.call("POST", f"/repos/{owner}/{name}/hooks", body=body)["id"])

    def wait_for_branch(self, owner: str, name: str, branch: str) -> None:
        """A pushed branch reaches Gitea's own list a moment later; until then a pull request of it is a 404."""
        path = f"/repos/{owner}/{name}/branches?limit=50"

        def listed() -> bool:
            return branch in [each["name"] for each in self.call("GET", path) or ()]

        wait_until(listed, timeout_s=_WAIT_S, what=f"branch {branch}")

    def wait_until_mergeable(self, owner: str, name: str, number: int) -> None:
        """Gitea finds out in the background whether a pull request can be merged; returns when it says yes."""
        path = f"/repos/{owner}/{name}/pulls/{number}"
        wait_until(lambda: bool(self.call("GET", path)["mergeable"]), timeout_s=_WAIT_S, what="mergeable")

    def _make_admin(self) -> str:
        printed = self._command(
            *("admin", "user", "create", "--admin", "--username", ADMIN, "--password", _PASSWORD),
            *("--email", f"{ADMIN}@example.test", "--must-change-password=false"),
            *("--access-token", "--access-token-name", "tests", "--access-token-scopes", "all"),
        )
        return next(word for word in printed.split() if len(word) == 40 and set(word) <= set("0123456789abcdef"))

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._program), "--config", str(self._settings), *arguments],
            capture_output=True,
            text=True,
            timeout=_START_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise NotStarted(f"gitea {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout


def _content(answer: httpx2.Response) -> Any:
    if answer.is_error:
        raise ApiError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None
