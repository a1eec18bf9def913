"""Our one comment under a marker, at any forge: found by first line *and* account, never by one of them (I19)."""

from __future__ import annotations

from typing import Protocol

from controller.forges.forge import Account, Comment, ForgeUnavailable
from controller.forges.marker import bears, marked, same_text

_EDIT_TRIES = 3
_EDIT_WAIT_S = 5.0


class CommentApi(Protocol):
    """The calls of one forge behind it."""

    async def own(self) -> Account: ...

    async def all(self, number: int) -> tuple[Comment, ...]:
        """Oldest first."""
        ...

    async def find(self, number: int, comment_id: str) -> Comment | None:
        """None for an id that is no comment of this pull request."""
        ...

    async def post(self, number: int, body: str) -> Comment: ...

    async def edit(self, number: int, comment_id: str, body: str) -> bool:
        """False if somebody deleted it meanwhile."""
        ...

    async def delete(self, number: int, comment_id: str) -> bool: ...


class OneComment:
    """Writes it once, whatever is lost in between."""

    def __init__(self, api: CommentApi) -> None:
        self._api = api

    async def write(self, number: int, marker: str, body: str, comment_id: str | None = None) -> str:
        """Bring our one comment under `marker` to `body`; leave it alone if it says so already."""
        wanted = marked(marker, body)
        ours = await self._short_cut(number, marker, comment_id) or await self._one(number, marker)
        for _ in range(_EDIT_TRIES):
            if ours is None:
                posted = await self._api.post(number, wanted)
                # Another controller may have posted in between: both look again, and both keep the same one. A list
                # that is behind does not show ours yet; then the answer to the post is what we know.
                ours = await self._one(number, marker) or posted
            if same_text(ours.body, wanted) or await self._api.edit(number, ours.id, wanted):
                return ours.id
            ours = await self._one(number, marker)
        raise ForgeUnavailable(f"our comment on pull request {number} is deleted while we write it", _EDIT_WAIT_S)

    async def _one(self, number: int, marker: str) -> Comment | None:
        """Our oldest comment under `marker`; younger twins of ours are taken away."""
        own = await self._api.own()
        ours = [c for c in await self._api.all(number) if c.author.id == own.id and bears(marker, c.body)]
        for twin in ours[1:]:
            await self._api.delete(number, twin.id)
        return ours[0] if ours else None

    async def _short_cut(self, number: int, marker: str, comment_id: str | None) -> Comment | None:
        """The comment of this id, if it is still ours, on this pull request, and under this marker."""
        if comment_id is None or not comment_id.isdecimal():
            return None
        found = await self._api.find(number, comment_id)
        own = await self._api.own()
        return found if found and found.author.id == own.id and bears(marker, found.body) else None
