"""A repository on the real Gitea with its people, and what they do there by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.checkout import Checkout
from tests.servers.gitea import GiteaServer

OWNER, WRITER, READER, BOT = "e2e-olga", "e2e-will", "e2e-rita", "e2e-alma"
# What the documentation asks for, and nothing more.
BOT_SCOPES = ("write:repository", "write:issue", "read:user", "read:organization")
SECRET = "e2e-hook-secret"
_numbers = itertools.count(1)
Json = Any


@dataclass(frozen=True)
class People:
    """Tokens by login."""

    tokens: dict[str, str]

    @classmethod
    def arrive(cls, server: GiteaServer) -> People:
        """Once per server."""
        tokens = {login: server.create_user(login) for login in (OWNER, WRITER, READER, BOT)}
        return cls({**tokens, BOT: server.create_token(BOT, BOT_SCOPES)})


class GiteaScene:
    """One repository; `main` holds what `push` put there."""

    def __init__(self, server: GiteaServer, people: People, folder: Path) -> None:
        self.server, self._people = server, people
        self.name = f"infra-{next(_numbers)}"
        self.url = server.create_repo(OWNER, self.name, private=True)
        for login, right in ((WRITER, "write"), (READER, "read"), (BOT, "admin")):
            server.add_collaborator(OWNER, self.name, login, right)
        self.checkout = Checkout(folder, server.push_url(OWNER, self.name, OWNER, people.tokens[OWNER]))

    def repository(self, *, webhook: bool) -> dict[str, Json]:
        """The entry of `repositories:`."""
        forge = {"kind": "gitea", "url": self.server.url, "token": "env:E2E_FORGE_TOKEN"}
        if webhook:
            forge["webhook_secret"] = "env:E2E_HOOK_SECRET"
        return {"name": "infra", "url": self.url, "forge": forge}

    def environment(self) -> dict[str, str]:
        return {"E2E_FORGE_TOKEN": self._people.tokens[BOT], "E2E_HOOK_SECRET": SECRET}

    def send_events_to(self, port: int) -> None:
        self.server.add_webhook(OWNER, self.name, f"http://127.0.0.1:{port}/webhooks/infra", SECRET)

    def call(self, method: str, path: str, body: object = None, who: str = OWNER) -> Json:
        return self.server.call(method, f"/repos/{OWNER}/{self.name}{path}", token=self._people.tokens[who], body=body)

    # --- what people do ---

    def push(self, files: dict[str, str | None], branch: str = "main") -> str:
        return self.checkout.push(files, branch)

    def open(self, files: dict[str, str | None], branch: str, who: str = WRITER) -> int:
        """Pushes `branch` and opens its pull request; the number."""
        self.push(files, branch)
        self.server.wait_for_branch(OWNER, self.name, branch)
        body = {"head": branch, "base": "main", "title": f"Change of {branch}"}
        return int(self.call("POST", "/pulls", body, who)["number"])

    def merge(self, number: int) -> str:
        """The merge commit."""
        self.server.wait_until_mergeable(OWNER, self.name, number)
        self.call("POST", f"/pulls/{number}/merge", {"Do": "merge"})
        return str(self.call("GET", f"/pulls/{number}")["merge_commit_sha"])

    def say(self, number: int, body: str, who: str = WRITER) -> int:
        return int(self.call("POST", f"/issues/{number}/comments", {"body": body}, who)["id"])

    # --- what they see ---

    def ours(self, number: int) -> list[Json]:
        """Comments by ALMA, oldest first."""
        return [c for c in self.call("GET", f"/issues/{number}/comments") or [] if c["user"]["login"] == BOT]

    def comment(self, number: int) -> str:
        """The body of the one comment; empty while there is none."""
        found = [c["body"] for c in self.ours(number) if ":answer:" not in c["body"].splitlines()[0]]
        assert len(found) <= 1, found
        return str(found[0]) if found else ""

    def answers(self, number: int) -> list[str]:
        """Answers to commands, oldest first."""
        return [str(c["body"]) for c in self.ours(number) if ":answer:" in c["body"].splitlines()[0]]

    def reactions(self, comment: int) -> list[str]:
        listed = self.call("GET", f"/issues/comments/{comment}/reactions") or []
        return [f"{r['user']['login']} {r['content']}" for r in listed]

    def statuses(self, sha: str) -> dict[str, str]:
        """Context → state and description of the newest of each."""
        listed = sorted(self.call("GET", f"/statuses/{sha}?limit=50") or [], key=lambda s: int(s["id"]))
        return {s["context"]: f"{s['status']} {s['description']}" for s in listed}

    def head_of(self, number: int) -> str:
        return str(self.call("GET", f"/pulls/{number}")["head"]["sha"])

    def open_pulls(self) -> list[Json]:
        return list(self.call("GET", "/pulls?state=open") or [])
