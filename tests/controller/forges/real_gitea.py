"""The real Gitea's other side: one organization and its people for all tests, a repository for each."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from typing import Any

from controller.forges.forge import Account, Forge, ForgeBinding, Reaction, Status, StatusState
from controller.forges.gitea import GiteaForge
from tests.controller.forges.host import People
from tests.servers.gitea import ApiError, GiteaServer
from tests.servers.process import wait_until

ORG = "forge-org"
BOT = "forge-bot"
SCOPES = ("write:repository", "write:issue", "read:user", "read:organization")  # the documented minimum (E14)
SECRET = "real-hook-secret"
_count = itertools.count(1)


@dataclass(frozen=True)
class Cast:
    """Accounts of the server by name, with a token of each."""

    bot: Account
    bot_token: str
    people: People
    tokens: dict[str, str]


def make_cast(server: GiteaServer) -> Cast:
    """Once per server. The bot gets only the scopes that the product documents."""
    server.call("POST", "/orgs", body={"username": ORG})
    names = ("forge-ada", "forge-will", "forge-rita", "forge-stan", "forge-gone", BOT)
    tokens = {name: server.create_user(name) for name in names}
    accounts = {name: _account(server, name) for name in names}
    server.call("DELETE", "/admin/users/forge-gone?purge=true")
    people = People(*(accounts[name] for name in names[:5]))
    return Cast(accounts[BOT], server.create_token(BOT, SCOPES), people, tokens)


class RealHost:
    """A repository of its own, with the people's rights on it."""

    def __init__(self, server: GiteaServer, cast: Cast) -> None:
        self.server = server
        self.cast = cast
        self.people = cast.people
        self.name = f"infra-{next(_count)}"
        self.repo = f"/repos/{ORG}/{self.name}"
        body = {"name": self.name, "private": True, "auto_init": True, "default_branch": "main"}
        server.call("POST", f"/orgs/{ORG}/repos", body=body)
        rights = {BOT: "admin", "forge-ada": "admin", "forge-will": "write", "forge-rita": "read"}
        for login, right in rights.items():
            server.add_collaborator(ORG, self.name, login, right)
        self._forges: list[Forge] = []
        self._files = itertools.count()

    def binding(self, **config: object) -> ForgeBinding:
        entry = {"url": self.server.url, "token": self.cast.bot_token, "webhook_secret": SECRET, **config}
        return ForgeBinding("infra", f"{self.server.url}/{ORG}/{self.name}.git", "main", entry)

    def forge(self) -> Forge:
        return self.gitea()

    def gitea(self, **config: object) -> GiteaForge:
        forge = GiteaForge.open(self.binding(**config))
        self._forges.append(forge)
        return forge

    async def close(self) -> None:
        for forge in self._forges:
            await forge.close()

    async def branch(self, name: str) -> str:
        return self.push(name)

    def push(self, name: str) -> str:
        if name not in {branch["name"] for branch in self.call("GET", "/branches")}:
            self.call("POST", "/branches", {"new_branch_name": name, "old_branch_name": "main"})
        content = base64.b64encode(name.encode()).decode()
        body = {"branch": name, "content": content, "message": f"Add to {name}"}
        return str(self.call("POST", f"/contents/file-{next(self._files)}", body)["commit"]["sha"])

    async def pull(self, name: str) -> int:
        self.push(name)
        body = {"head": name, "base": "main", "title": "A change"}
        return int(self.call("POST", "/pulls", body, self.people.writer.login)["number"])

    async def delete_branch(self, name: str) -> None:
        self.call("DELETE", f"/branches/{name}")

    async def merge(self, number: int) -> str:
        wait_until(lambda: self._merges(number), timeout_s=30, what="merge")
        return str(self.call("GET", f"/pulls/{number}")["merge_commit_sha"])

    def _merges(self, number: int) -> bool:
        """False while Gitea still checks for conflicts; its `mergeable` may be of the check before."""
        try:
            self.call("POST", f"/pulls/{number}/merge", {"Do": "merge"}, self.people.admin.login)
        except ApiError as error:
            if "try again later" in str(error):
                return False
            raise
        return True

    async def approve(self, number: int, who: Account, head_sha: str) -> None:
        review = {"event": "APPROVED", "body": "fine", "commit_id": head_sha}
        self.call("POST", f"/pulls/{number}/reviews", review, who.login)

    async def say(self, number: int, who: Account, body: str) -> str:
        return str(self.call("POST", f"/issues/{number}/comments", {"body": body}, who.login)["id"])

    async def erase(self, number: int, comment_id: str) -> bool:
        self.call("DELETE", f"/issues/comments/{comment_id}")
        return True

    async def statuses(self, sha: str) -> list[Status]:
        listed = sorted(self.call("GET", f"/statuses/{sha}"), key=lambda raw: int(raw["id"]))
        return [
            Status(raw["context"], StatusState(raw["status"]), raw["description"], raw["target_url"] or None)
            for raw in listed
        ]

    async def reactions(self, number: int, comment_id: str) -> list[Reaction]:
        listed = self.call("GET", f"/issues/comments/{comment_id}/reactions") or []
        return [Reaction(raw["content"]) for raw in listed]

    def call(self, method: str, path: str, body: object = None, login: str | None = None) -> Any:
        """Of this repository, by a person; without `login` by the server's administrator."""
        token = self.cast.tokens[login] if login else None
        return self.server.call(method, f"{self.repo}{path}", token=token, body=body)


def _account(server: GiteaServer, name: str) -> Account:
    return Account(str(server.call("GET", f"/users/{name}")["id"]), name)
