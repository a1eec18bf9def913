"""Comments and reactions at Gitea."""

from __future__ import annotations

from controller.forges.forge import Account, Comment, ForgeRefused, ForgeUnavailable, Reaction
from controller.forges.gitea_payload import comment
from controller.forges.gitea_repository import GiteaRepository
from controller.forges.json_reader import Json


class GiteaComments:
    """The comments of one repository's pull requests; a `CommentApi`."""

    def __init__(self, repository: GiteaRepository) -> None:
        self._repository = repository

    async def own(self) -> Account:
        return await self._repository.own()

    async def all(self, number: int) -> tuple[Comment, ...]:
        own_id = await self._repository.own_id()
        listed = [comment(raw, own_id) for raw in await self._listed(number)]
        return tuple(sorted(listed, key=lambda one: int(one.id)))

    async def _listed(self, number: int) -> tuple[Json, ...]:
        try:
            return await self._repository.pages("issues", number, "comments")
        except ForgeUnavailable as unavailable:
            # Gitea answers 500 for the comments of what is not there; that will never mend.
            if unavailable.code == 500 and await self._repository.find("pulls", number) is None:
                raise ForgeRefused(f"there is no pull request {number}", code=404) from None
            raise

    async def find(self, number: int, comment_id: str) -> Comment | None:
        """Comment ids are one sequence for all pull requests; its address names the one it is on."""
        answer = await self._repository.find("issues", "comments", comment_id)
        if answer is None or not answer.body:
            return None
        raw = self._repository.read(answer)
        found = comment(raw, await self._repository.own_id())
        return found if raw["pull_request_url"].text_or("").rstrip("/").endswith(f"/{number}") else None

    async def post(self, number: int, body: str) -> Comment:
        answer = await self._repository.send("POST", "issues", number, "comments", body={"body": body})
        return comment(self._repository.read(answer), await self._repository.own_id())

    async def edit(self, number: int, comment_id: str, body: str) -> bool:
        return await self._still_there("PATCH", comment_id, {"body": body})

    async def delete(self, number: int, comment_id: str) -> bool:
        return await self._still_there("DELETE", comment_id)

    async def react(self, to: Comment, reaction: Reaction) -> None:
        """Gitea keeps one of each kind per account by itself."""
        await self._repository.send("POST", "issues", "comments", to.id, "reactions", body={"content": reaction.value})

    async def _still_there(self, method: str, comment_id: str, body: object = None) -> bool:
        try:
            await self._repository.send(method, "issues", "comments", comment_id, body=body)
        except ForgeRefused as refused:
            if refused.code != 404:
                raise
            return False
        return True
