"""What every forge checks before it acts on a pull request."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from controller.forges.forge import ForgeRefused, PullRequest


class PullReader(Protocol):
    """A forge, as far as this is concerned."""

    def pull(self, number: int) -> Awaitable[PullRequest | None]: ...


async def existing(forge: PullReader, number: int) -> PullRequest:
    """Raises ForgeRefused where there is none."""
    pull = await forge.pull(number)
    if pull is None:
        raise ForgeRefused(f"there is no pull request {number}", code=404)
    return pull


async def at_head(forge: PullReader, number: int, head_sha: str) -> PullRequest:
    """Raises ForgeRefused where its head is another one by now."""
    pull = await existing(forge, number)
    if pull.head_sha != head_sha:
        raise ForgeRefused(f"pull request {number} has moved on from {head_sha[:12]}", hint="look at it again")
    return pull
