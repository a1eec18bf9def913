"""The contract against the fake: the same words as against the real one, without a server."""

from __future__ import annotations

import pytest

from controller.forges.forge import Account, Forge, Reaction, Status, StatusState
from tests.controller.forges.conformance import ForgeConformance
from tests.controller.forges.fake_gitea import FakeGitea
from tests.controller.forges.host import ForgeHost, People


class FakeHost:
    """The fake's other side."""

    people = People(
        admin=Account("2", "ada"),
        writer=Account("3", "will"),
        reader=Account("4", "rita"),
        stranger=Account("5", "stan"),
        gone=Account("99", "gone"),
    )

    def __init__(self) -> None:
        self.gitea = FakeGitea()

    def forge(self) -> Forge:
        return self.gitea.forge()

    async def branch(self, name: str) -> str:
        return self.gitea.push(name)

    async def pull(self, name: str) -> int:
        self.gitea.push(name)
        return self.gitea.add_pull(name)

    async def delete_branch(self, name: str) -> None:
        del self.gitea.branches[name]

    async def merge(self, number: int) -> str:
        return self.gitea.merge(number, 2)

    async def approve(self, number: int, who: Account, head_sha: str) -> None:
        self.gitea.review(number, int(who.id), "APPROVED", head_sha)

    async def say(self, number: int, who: Account, body: str) -> str:
        return str(self.gitea.say(number, int(who.id), body))

    async def erase(self, number: int, comment_id: str) -> bool:
        del self.gitea.comments[int(comment_id)]
        return True

    async def statuses(self, sha: str) -> list[Status]:
        return [
            Status(s["context"], StatusState(s["status"]), s["description"], s["target_url"] or None)
            for s in self.gitea.statuses
            if s["sha"] == sha
        ]

    async def reactions(self, number: int, comment_id: str) -> list[Reaction]:
        return [Reaction(content) for _, content in self.gitea.comments[int(comment_id)].reactions]


class TestFakeGitea(ForgeConformance):
    @pytest.fixture
    def host(self) -> ForgeHost:
        return FakeHost()
