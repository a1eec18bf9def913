"""Whose token it is."""

from __future__ import annotations

from controller.forges.forge import Account, ForgeRefused
from controller.forges.github_payload import account
from controller.forges.github_repository import GitHubRepository

PERMISSIONS = "Contents: write, Pull requests: write, Commit statuses: write, Metadata: read"


class TokenIdentity:
    """The account that made the token."""

    async def ask(self, repository: GitHubRepository) -> Account:
        try:
            raw = repository.read(await repository.http.get(*repository.outside("user")))
        except ForgeRefused as refused:
            hint = refused.hint or f"make a fine-grained token for this repository with {PERMISSIONS}"
            raise ForgeRefused(str(refused), hint=hint, code=refused.code) from None
        return account(raw, own_id=raw["id"].number())
