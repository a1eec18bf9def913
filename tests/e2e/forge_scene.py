"""A repository at a server of GitHub's or GitLab's API, whose branches are those of a real Git remote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_httpserver import HTTPServer

from tests.controller.forges.fake_forge import SECRET, TOKEN
from tests.controller.forges.fake_repository import FakePull, FakeRepository
from tests.controller.forges.github_server.server import GitHubServer
from tests.controller.forges.gitlab_server.server import GitLabServer
from tests.controller.forges.listening import listen, present
from tests.controller.forges.webhook_kinds import github_headers, gitlab_headers
from tests.e2e.checkout import Checkout, bare_remote, git

ADA, WILL = 2, 3
Json = dict[str, Any]


@dataclass(frozen=True)
class Sender:
    """How a forge calls and signs what happened on a pull request."""

    event: str
    headers: Callable[[str, bytes], dict[str, str]]
    body: Callable[[int], Json]


def _of_github(number: int) -> Json:
    return {"number": number, "pull_request": {"number": number}, "repository": {"full_name": "ops/infra"}}


def _of_gitlab(number: int) -> Json:
    project = {"path_with_namespace": "ops/infra"}
    return {"object_kind": "merge_request", "object_attributes": {"iid": number}, "project": project}


_SENDERS: Mapping[str, Sender] = {
    "github": Sender("pull_request", github_headers, _of_github),
    "gitlab": Sender("Merge Request Hook", gitlab_headers, _of_gitlab),
}
_SERVERS: Mapping[str, Callable[..., FakeRepository]] = {"github": GitHubServer, "gitlab": GitLabServer}


class ForgeScene:
    """People push with Git, and say and merge at the server."""

    def __init__(self, kind: str, httpserver: HTTPServer, folder: Path) -> None:
        self.kind = kind
        self.server = _SERVERS[kind](present())
        self._remote = Path(bare_remote(folder / "remote.git"))
        self.checkout = Checkout(folder / "work", str(self._remote))
        self.server.branches.clear()
        self.url = listen(httpserver, self.server, self.look)

    def repository(self, *, webhook: bool) -> Json:
        """The entry of `repositories:`."""
        forge = {"kind": self.kind, "url": self.url, "repo": "ops/infra", "token": "env:E2E_FORGE_TOKEN"}
        if webhook:
            forge["webhook_secret"] = "env:E2E_HOOK_SECRET"
        return {"name": "infra", "url": f"file://{self._remote}", "forge": forge}

    def environment(self) -> dict[str, str]:
        reached = {"ALMA_SERVER_PUBLIC_URL": "https://alma.example"}
        return {"E2E_FORGE_TOKEN": TOKEN, "E2E_HOOK_SECRET": SECRET, **reached}

    def look(self) -> None:
        """The server's branches as Git has them."""
        listed = git(self._remote, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
        refs = dict(line.split() for line in listed.splitlines())
        for branch, sha in refs.items():
            if self.server.branches.get(branch) != sha:
                self.server.arrived(branch, sha)
        for gone in set(self.server.branches) - set(refs):
            del self.server.branches[gone]

    # --- what people do ---

    def push(self, files: Mapping[str, str | None], branch: str = "main") -> str:
        return self.checkout.push(files, branch)

    def open(self, files: Mapping[str, str | None], branch: str) -> int:
        """Pushes `branch` and opens its pull request; the number."""
        self.push(files, branch)
        self.look()
        return self.server.add_pull(branch, WILL, f"Change of {branch}")

    def merge(self, number: int) -> str:
        """With Git, as the forge does it; the merge commit."""
        pull = self.server.pulls[number]
        work = self.checkout.folder
        git(work, "fetch", "--quiet", "origin")
        git(work, "checkout", "--quiet", "-B", "main", "origin/main")
        git(work, "merge", "--quiet", "--no-ff", "--message", f"Merge {number}", f"origin/{pull.head}")
        git(work, "push", "--quiet", "origin", "main")
        sha = git(work, "rev-parse", "HEAD")
        self.look()
        self._merged(pull, sha)
        return sha

    def say(self, number: int, body: str, who: int = WILL) -> int:
        return self.server.say(number, who, body)

    def event(self, number: int) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the webhook that says so."""
        sender = _SENDERS[self.kind]
        body = json.dumps(sender.body(number)).encode()
        return body, sender.headers(sender.event, body)

    # --- what they see ---

    def comment(self, number: int) -> str:
        """The body of the one comment; empty while there is none."""
        found = [b for b in self.server.bodies(number, 1) if ":answer:" not in b.splitlines()[0]]
        assert len(found) <= 1, found
        return found[0] if found else ""

    def answers(self, number: int) -> list[str]:
        return [b for b in self.server.bodies(number, 1) if ":answer:" in b.splitlines()[0]]

    def reactions(self, comment: int) -> list[str]:
        return sorted(name for _, name in self.server.comments[comment].reactions)

    def statuses(self, sha: str) -> dict[str, str]:
        """Context → state and description of the newest of each."""
        return {s["context"]: f"{s['state']} {s['description']}" for s in self.server.statuses if s["sha"] == sha}

    def head_of(self, number: int) -> str:
        return self.server.head_of(self.server.pulls[number])

    def _merged(self, pull: FakePull, sha: str) -> None:
        now_s = self.server.clock.now_s
        pull.state, pull.merged, pull.merged_by, pull.merge_sha, pull.updated = "closed", True, ADA, sha, now_s
