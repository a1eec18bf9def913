"""Comments and reactions at Gitea: ours are found by their first line and our account, never by one of them (I19)."""

from __future__ import annotations

from controller.forges.forge import Comment, ForgeRefused, ForgeUnavailable, Reaction
from controller.forges.gitea_payload import comment
from controller.forges.gitea_repository import GiteaRepository
from controller.forges.json_reader import Json
from controller.forges.marker import bears, marked, same_text

_EDIT_TRIES = 3
_EDIT_WAIT_S = 5.0


class GiteaComments:
    """The comments of one repository's pull requests."""

    def __init__(self, repository: GiteaRepository) -> None:
        self._repository = repository

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

    async def write(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        """Bring our one comment under `marker` to `body`; leave it alone if it says so already."""
        wanted = marked(marker, body)
        ours = await self._short_cut(number, marker, comment_id) or await self._one(number, marker)
        for _ in range(_EDIT_TRIES):
            if ours is None:
                await self._post(number, wanted)
                # Another controller may have posted in between: both look again, and both keep the same one.
                ours = await self._one(number, marker)
            if ours is not None and (same_text(ours.body, wanted) or await self._edited(ours.id, wanted)):
                return ours.id
            ours = await self._one(number, marker)
        raise ForgeUnavailable(f"our comment on pull request {number} is deleted while we write it", _EDIT_WAIT_S)

    async def react(self, to: Comment, reaction: Reaction) -> None:
        """Gitea keeps one of each kind per account by itself."""
        await self._repository.send("POST", "issues", "comments", to.id, "reactions", body={"content": reaction.value})

    async def _post(self, number: int, wanted: str) -> None:
        await self._repository.send("POST", "issues", number, "comments", body={"body": wanted})

    async def _edited(self, comment_id: str, wanted: str) -> bool:
        """False if somebody deleted it meanwhile."""
        return await self._still_there("PATCH", comment_id, {"body": wanted})

    async def _one(self, number: int, marker: str) -> Comment | None:
        """Our oldest comment under `marker`; younger twins of ours are taken away."""
        own = await self._repository.own()
        ours = [c for c in await self.all(number) if c.author.id == own.id and bears(marker, c.body)]
        for twin in ours[1:]:
            await self._still_there("DELETE", twin.id)
        return ours[0] if ours else None

    async def _still_there(self, method: str, comment_id: str, body: object = None) -> bool:
        try:
            await self._repository.send(method, "issues", "comments", comment_id, body=body)
        except ForgeRefused as refused:
            if refused.code != 404:
                raise
            return False
        return True

    async def _short_cut(self, number: int, marker: str, comment_id: str | None) -> Comment | None:
        """The comment of this id, if it is still ours, on this pull request, and under this marker."""
        if comment_id is None or not comment_id.isdecimal():
            return None
        answer = await self._repository.find("issues", "comments", comment_id)
        if answer is None or not answer.body:
            return None
        own = await self._repository.own()
        raw = self._repository.read(answer)
        found = comment(raw, int(own.id))
        ours = found.author.id == own.id and bears(marker, found.body) and _is_on(raw, number)
        return found if ours else None


def _is_on(raw: Json, number: int) -> bool:
    """Comment ids are one sequence for all pull requests; its address names the one it is on."""
    return raw["pull_request_url"].text_or("").rstrip("/").endswith(f"/{number}")
