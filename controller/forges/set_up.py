"""What a person may have done to the repository at its forge: its webhook, and a branch that needs our statuses.

Beside the contract, because nothing that runs by itself ever does it; a forge without it needs no set-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from controller.forges.forge import ForgeRefused


@runtime_checkable
class SetsUp(Protocol):
    """Raises ForgeUnavailable and ForgeRefused. Safe to repeat."""

    async def ensure_webhook(self, url: str, *, renew: bool = False) -> None:
        """One active webhook of ours that sends `url` what we read; those of others stay. `renew` makes it anew."""
        ...

    async def protect_branch(self, contexts: Sequence[str]) -> None:
        """The tracked branch takes pull requests only, and those whose statuses of these names are well. What protects
        it already stays."""
        ...


def secret_for_webhook(secret: str) -> str:
    """Itself; without one a webhook would be refused by us (I42)."""
    if not secret:
        raise ForgeRefused("a webhook needs forge.webhook_secret")
    return secret
