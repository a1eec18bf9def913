"""What the conformance suite needs of the other side of a forge: people, branches, and what stands there in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from controller.forges.forge import Account, Forge, Reaction, Status


@dataclass(frozen=True)
class People:
    """Accounts by what they may do; `gone` is an account that the forge does not know any more."""

    admin: Account
    writer: Account
    reader: Account
    stranger: Account
    gone: Account


class ForgeHost(Protocol):
    """One repository with its tracked branch `main`, seen from outside our forge object."""

    people: People

    def forge(self) -> Forge:
        """A new process of ours."""
        ...

    async def branch(self, name: str) -> str:
        """Push `name` with one more commit of its own; returns its head."""
        ...

    async def pull(self, name: str) -> int:
        """A pull request of a person from the branch `name`, just pushed; its number."""
        ...

    async def delete_branch(self, name: str) -> None: ...

    async def merge(self, number: int) -> str:
        """Merged by a person, past us; the commit on main that brought it in."""
        ...

    async def approve(self, number: int, who: Account, head_sha: str) -> None:
        """A person approves that head."""
        ...

    async def say(self, number: int, who: Account, body: str) -> str:
        """A comment of a person; its id."""
        ...

    async def erase(self, number: int, comment_id: str) -> bool:
        """A person deletes a comment; False where nobody can."""
        ...

    async def statuses(self, sha: str) -> list[Status]:
        """Every status written, oldest first."""
        ...

    async def reactions(self, number: int, comment_id: str) -> list[Reaction]: ...
