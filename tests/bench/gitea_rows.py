"""A real Gitea with a webhook and `alma serve` beside it: how long from a push to the comment, and from a merge to the
first thing that changes on the platform."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.measuring import ROOT, quiet
from tests.bench.row import Row, at_most
from tests.servers.gitea import ADMIN, GiteaServer, missing
from tests.servers.process import ServerProcess, accepts, free_port

_RESOURCES = 20
_ROUNDS = 5
_SECRET = "a-webhook-secret"
_POLL_S = 0.005
_QUIET_S = 2.0
_TIMEOUT_S = 60.0
_GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "init.defaultBranch=main")
_SETTINGS = """
id: bench
state: {state}
server: {{listen: "127.0.0.1:{port}", metrics_listen: "127.0.0.1:{metrics}"}}
repositories:
  - name: infra
    url: {url}
    forge: {{kind: gitea, url: "{gitea}", token: "env:BENCH_TOKEN", webhook_secret: "env:BENCH_SECRET"}}
targets: {{sim: {{engine: simulation}}}}
allow: {{infra: {{targets: [sim]}}}}
# Five merges in a row would wait for tokens, as they should: here the way of one is measured.
reconcile:
  interval: 1h
  scope_rate: {{per_minute: 600, burst: 100}}
  target_rate: {{per_minute: 60000, burst: 1000}}
"""


def gitea_rows() -> Iterator[Row]:
    """Five pull requests, each pushed, answered and merged."""
    if missing():
        quiet(f"gitea: {missing()}")
        return
    with tempfile.TemporaryDirectory(prefix="alma-bench-") as folder, closing(GiteaServer()) as server:
        server.start()
        with _controller(server, Path(folder)) as scene:
            answered, begun, own = [], [], []
            for number in range(1, _ROUNDS + 1):
                quiet(f"gitea: pull request {number} of {_ROUNDS}")
                answered.append(scene.push(number))
                taken_s, own_s = scene.merge(number)
                begun.append(taken_s)
                own.append(own_s)
    yield at_most(f"push → comment on Gitea, {_RESOURCES} resources", statistics.median(answered), "s", 3.0)
    yield at_most("webhook of a merge → first engine call", statistics.median(own), "s", 1.0)
    yield Row("  Gitea's answer to the merge → first change live", statistics.median(begun), "s", "-", None)


@dataclass(frozen=True, slots=True)
class _Scene:
    server: GiteaServer
    work: Path
    state: Path
    webhook: str

    def push(self, number: int) -> float:
        """Seconds from a pushed and opened pull request to its comment."""
        branch = f"change-{number}"
        _write(self.work, number + 1)
        _git(self.work, "checkout", "-q", "-B", branch)
        _git(self.work, "commit", "-qam", f"Version {number + 1}")
        _git(self.work, "push", "-q", "origin", branch)
        self.server.wait_for_branch(ADMIN, "infra", branch)
        body = {"head": branch, "base": "main", "title": f"Version {number + 1}"}
        started_s = time.perf_counter()
        self.server.call("POST", f"/repos/{ADMIN}/infra/pulls", body=body)
        return _until(lambda: self._says(number, "to update"), started_s)

    def _says(self, number: int, text: str) -> bool:
        comments: list[dict[str, Any]] = self.server.call("GET", f"/repos/{ADMIN}/infra/issues/{number}/comments") or []
        return any(text in c["body"] for c in comments)

    def merge(self, number: int) -> tuple[float, float]:
        """Seconds from Gitea's answer to the merge to the first resource that has changed; and from the first webhook
        of the merge to the first engine call, by the journal's clock."""
        self.server.wait_until_mergeable(ADMIN, "infra", number)
        _let_webhooks_end(self.state)
        asked = datetime.now(UTC)
        self.server.call("POST", f"/repos/{ADMIN}/infra/pulls/{number}/merge", body={"Do": "merge"})
        started_s = time.perf_counter()
        taken_s = _until(lambda: _lives(self.state, f"web:{number + 1}", 1), started_s)
        own_s = _from_webhook_s(self.state, asked)
        _until(lambda: self._says(number, "Final state: done"), started_s)
        return taken_s, own_s


def _let_webhooks_end(state: Path) -> None:
    """Gitea sends what a review caused up to a second later; those events must not count as the merge's."""
    seen = -1
    while (now := _webhooks(state)) != seen:
        seen = now
        time.sleep(_QUIET_S)


def _webhooks(state: Path) -> int:
    with closing(sqlite3.connect(f"file:{state / 'alma.db'}?mode=ro", uri=True)) as journal:
        return int(journal.execute("SELECT count(*) FROM records WHERE kind = 'webhook.received'").fetchone()[0])


def _from_webhook_s(state: Path, since: datetime) -> float:
    """From the first webhook after `since` to the first engine call after it, by the journal's own clock."""
    with closing(sqlite3.connect(f"file:{state / 'alma.db'}?mode=ro", uri=True)) as journal:
        kinds = "SELECT kind, at FROM records WHERE kind IN ('webhook.received', 'run.op-intended') ORDER BY seq"
        found = [(kind, datetime.fromisoformat(at)) for kind, at in journal.execute(kinds)]
    looked = next(at for kind, at in found if kind == "webhook.received" and at >= since)
    first = next(at for kind, at in found if kind == "run.op-intended" and at >= looked)
    return (first - looked).total_seconds()


def _lives(state: Path, image: str, count: int) -> bool:
    """True if at least `count` live objects run `image`, read past the controller."""
    file = state / "simulation" / "sim.json"
    if not file.exists():
        return False
    objects = json.loads(file.read_text())["objects"].values()
    return sum(1 for o in objects if o["fields"].get("image") == image) >= count


def _until(true: Callable[[], bool], started_s: float) -> float:
    while not true():
        if time.perf_counter() - started_s > _TIMEOUT_S:
            raise TimeoutError("the controller did not answer; its log is above")
        time.sleep(_POLL_S)
    return time.perf_counter() - started_s


@contextmanager
def _controller(server: GiteaServer, folder: Path) -> Iterator[_Scene]:
    port, metrics, state = free_port(), free_port(), folder / "state"
    url = server.create_repo(ADMIN, "infra")
    work = folder / "work"
    work.mkdir()
    _git(work, "init", "-q")
    _git(work, "remote", "add", "origin", server.push_url(ADMIN, "infra", ADMIN, server.admin_token))
    (work / "alma.yaml").write_text("version: 1\nscopes: [{name: prod, path: prod}]\n")
    _write(work, 1)
    _git(work, "add", "-A")
    _git(work, "commit", "-qm", "First")
    _git(work, "push", "-q", "origin", "HEAD:main")
    config = folder / "alma-server.yaml"
    config.write_text(_SETTINGS.format(state=state, port=port, metrics=metrics, url=url, gitea=server.url))
    secrets = {"BENCH_TOKEN": server.admin_token, "BENCH_SECRET": _SECRET, "PYTHONPATH": str(ROOT)}
    alma = [sys.executable, "-m", "controller.cli.main", "--config", str(config), "serve"]
    process = ServerProcess(alma, folder / "alma.log", secrets)
    try:
        process.wait_ready(lambda: accepts(port), timeout_s=_TIMEOUT_S)
        _until(lambda: _lives(state, "web:1", _RESOURCES), time.perf_counter())
        hook = f"http://127.0.0.1:{port}/webhooks/infra"
        server.add_webhook(ADMIN, "infra", hook, _SECRET)
        yield _Scene(server, work, state, hook)
    except TimeoutError:
        print((folder / "alma.log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        process.stop()


def _write(work: Path, version: int) -> None:
    lines = "".join(
        f"  - {{name: web{n}, type: container, specs: {{image: 'web:{version}'}}}}\n" for n in range(_RESOURCES)
    )
    (work / "prod").mkdir(exist_ok=True)
    (work / "prod" / "shop.yaml").write_text(f"name: shop\nprovider: simulation\nresources:\n{lines}")


def _git(where: Path, *arguments: str) -> None:
    subprocess.run([*_GIT, *arguments], cwd=where, check=True, capture_output=True, env=dict(os.environ))
