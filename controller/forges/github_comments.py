"""Comments, reactions and statuses at GitHub, where pull requests are issues with code."""

from __future__ import annotations

from controller.forges.forge import Account, Comment, ForgeRefused, Reaction, Status
from controller.forges.github_payload import comment, comment_number
from controller.forges.github_repository import GitHubRepository


class GitHubComments:
    """The comments of one repository's pull requests; a `CommentApi`."""

    def __init__(self, repository: GitHubRepository) -> None:
        self._repository = repository

    async def own(self) -> Account:
        return await self._repository.own()

    async def all(self, number: int) -> tuple[Comment, ...]:
        own_id = await self._repository.own_id()
        listed = [comment(raw, own_id) for raw in await self._repository.pages("issues", number, "comments")]
        return tuple(sorted(listed, key=lambda one: int(one.id)))

    async def find(self, number: int, comment_id: str) -> Comment | None:
        answer = await self._repository.find("issues", "comments", comment_id)
        if answer is None:
            return None
        raw = self._repository.read(answer)
        return comment(raw, await self._repository.own_id()) if comment_number(raw) == number else None

    async def post(self, number: int, body: str) -> Comment:
        answer = await self._repository.send("POST", "issues", number, "comments", body={"body": body})
        return comment(self._repository.read(answer), await self._repository.own_id())

    async def edit(self, number: int, comment_id: str, body: str) -> bool:
        return await self._still_there("PATCH", comment_id, {"body": body})

    async def delete(self, number: int, comment_id: str) -> bool:
        return await self._still_there("DELETE", comment_id)

    async def react(self, to: Comment, reaction: Reaction) -> None:
        """GitHub keeps one of each kind per account by itself."""
        await self._repository.send("POST", "issues", "comments", to.id, "reactions", body={"content": reaction.value})

    async def _still_there(self, method: str, comment_id: str, body: object = None) -> bool:
        try:
            await self._repository.send(method, "issues", "comments", comment_id, body=body)
        except ForgeRefused as refused:
            if refused.code not in (404, 410):
                raise
            return False
        return True


class GitHubStatuses:
    """The statuses of one repository's commits; a `StatusApi`."""

    def __init__(self, repository: GitHubRepository) -> None:
        self._repository = repository

    async def post(self, sha: str, status: Status) -> None:
        wanted = {"context": status.context, "state": status.state.value, "description": status.description}
        target = {"target_url": status.url} if status.url else {}
        await self._repository.send("POST", "statuses", sha, body={**wanted, **target})

    async def shows(self, sha: str, status: Status) -> bool:
        listed = await self._repository.pages("commits", sha, "statuses")
        same = [raw for raw in listed if raw["context"].text() == status.context]
        newest = max(same, key=lambda raw: raw["id"].number(), default=None)
        if newest is None:
            return False
        shown = (newest["state"].text(), newest["description"].text_or(""), newest["target_url"].text_or(""))
        return shown == (status.state.value, status.description, status.url or "")
