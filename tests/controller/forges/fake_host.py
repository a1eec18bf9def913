"""The other side of a forge in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.forges.forge import Account, Forge, ForgeBinding, Reaction, Status, StatusState
from tests.controller.forges.fake_repository import FakeRepository
from tests.controller.forges.host import People

PEOPLE = People(
    admin=Account("2", "ada"),
    writer=Account("3", "will"),
    reader=Account("4", "rita"),
    stranger=Account("5", "stan"),
    gone=Account("99", "gone"),
)


class FakeHost:
    """`opens`: how a process of ours is opened, where that is not the server's own way."""

    people = PEOPLE

    def __init__(self, server: FakeRepository, opens: Callable[[ForgeBinding], Forge] | None = None) -> None:
        self.server = server
        self._opens = opens or server.forge

    def forge(self) -> Forge:
        return self._opens(self.server.binding())

    async def branch(self, name: str) -> str:
        return self.server.push(name)

    async def pull(self, name: str) -> int:
        self.server.push(name)
        return self.server.add_pull(name)

    async def delete_branch(self, name: str) -> None:
        del self.server.branches[name]

    async def merge(self, number: int) -> str:
        return self.server.merge(number, 2)

    async def approve(self, number: int, who: Account, head_sha: str) -> None:
        self.server.review(number, int(who.id), "APPROVED", head_sha)

    async def say(self, number: int, who: Account, body: str) -> str:
        return str(self.server.say(number, int(who.id), body))

    async def erase(self, number: int, comment_id: str) -> bool:
        del self.server.comments[int(comment_id)]
        return True

    async def statuses(self, sha: str) -> list[Status]:
        return [_status(raw) for raw in self.server.statuses if raw["sha"] == sha]

    async def reactions(self, number: int, comment_id: str) -> list[Reaction]:
        names = [name for _, name in self.server.comments[int(comment_id)].reactions]
        return [Reaction("+1" if name == "thumbsup" else name) for name in names]


def _status(raw: dict[str, Any]) -> Status:
    state = StatusState(raw.get("status") or raw["state"])
    return Status(raw["context"], state, raw["description"], raw["target_url"] or None)
