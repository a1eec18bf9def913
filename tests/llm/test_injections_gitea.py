"""E11 on a real Gitea: the payload also stands in title, text and a comment, and Gitea itself renders the block."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.controller.runtime.estate import ALMA_YAML, Estate, Repo
from tests.e2e.checkout import Checkout
from tests.llm.injections import Injection
from tests.llm.model_server import model_server, raw
from tests.llm.test_injections import ALL, assert_inert, files_of, run_over
from tests.servers.gitea import GiteaServer

OWNER, BOT, NAME = "llm-olga", "llm-alma", "infra"
SCOPES = ("write:repository", "write:issue", "read:user", "read:organization")
_ACTIVE = re.compile(r"<(?:a|img|svg|math|iframe|script|form|input|h\d)\b|class=\"[^\"]*(?:mention|katex|math)")


class Pulls:
    """A repository with a pull request of each case, opened by a person."""

    def __init__(self, server: GiteaServer, folder: Path) -> None:
        self.server, self._token = server, server.create_user(OWNER)
        server.create_user(BOT)
        self.bot_token = server.create_token(BOT, SCOPES)
        self.url = server.create_repo(OWNER, NAME, private=True)
        server.add_collaborator(OWNER, NAME, BOT, "admin")
        self.checkout = Checkout(folder, server.push_url(OWNER, NAME, OWNER, self._token))
        self.checkout.push({"alma.yaml": ALMA_YAML, "prod/README.md": "nothing yet"})

    def call(self, method: str, path: str, body: object = None) -> Any:
        return self.server.call(method, f"/repos/{OWNER}/{NAME}{path}", token=self._token, body=body)

    def open(self, case: Injection, beacon: str) -> int:
        payload = case.text(beacon)
        self.checkout.push(files_of(case, beacon), case.name)
        self.server.wait_for_branch(OWNER, NAME, case.name)
        title = payload.splitlines()[0][:200]
        pull = {"head": case.name, "base": "main", "title": title, "body": payload}
        number = int(self.call("POST", "/pulls", pull)["number"])
        self.call("POST", f"/issues/{number}/comments", {"body": payload})
        return number

    async def look(self, home: Estate, number: int) -> tuple[str, object]:
        pull = self.call("GET", f"/pulls/{number}")
        listed = sorted(self.call("GET", f"/statuses/{pull['head']['sha']}?limit=50") or [], key=lambda s: int(s["id"]))
        newest = {s["context"]: (s["status"], s["description"]) for s in listed}
        ours = [c["body"] for c in self.call("GET", f"/issues/{number}/comments") if c["user"]["login"] == BOT]
        assert len(ours) == 1
        kept = {key: pull[key] for key in ("state", "merged", "title", "body", "labels", "assignees", "milestone")}
        return str(ours[0]), (kept, newest, self.call("GET", f"/pulls/{number}/reviews"))

    def render(self, part: str) -> None:
        """Gitea's own reading of the block, as of a comment."""
        assert_inert(part)
        if part:
            body = {"Text": part, "Mode": "comment", "Context": f"{OWNER}/{NAME}"}
            page = self.server.page("/markdown", body)
            assert "In words" in page and not _ACTIVE.search(page), page


@pytest.mark.gitea
async def test_30_injections_on_gitea_gain_nothing(
    gitea: GiteaServer, tmp_path: Path, report_n: Callable[..., None]
) -> None:
    pulls = Pulls(gitea, tmp_path / "work")
    forge = {"kind": "gitea", "url": gitea.url, "token": "env:FORGE_TOKEN"}
    async with model_server(raw(b"")) as beacons:
        numbers = {case: pulls.open(case, beacons.url) for case in ALL}
        made = await run_over(
            Repo(tmp_path),
            tmp_path,
            numbers,
            beacons,
            pulls.render,
            pulls.look,
            environment={"FORGE_TOKEN": pulls.bot_token},
            repositories=({"name": "infra", "url": pulls.url, "forge": forge},),
        )
    report_n("E11", made)
