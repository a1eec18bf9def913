"""Comments of the built-in forge: one key each in the store, numbered in the order they were made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from controller.forges.forge import Account, Comment, ForgeRefused, Reaction
from controller.forges.local_backing import LocalStore
from controller.forges.local_record import BOT, comment_from_json, comment_to_json
from controller.forges.marker import COMMENT_CHARS_MAX, bears, marked, same_text
from controller.forges.pacing import iso_stamp

_COMMENTS = "comment/"


class LocalComments:
    """The caller holds the turn while it writes: one writer at a time."""

    def __init__(self, store: LocalStore, wall: Callable[[], float]) -> None:
        self._store = store
        self._wall = wall

    async def count(self, number: int) -> int:
        return len(await self._store.keys(_of(number)))

    async def all(self, number: int) -> tuple[Comment, ...]:
        raws = [await self._store.get(key) for key in sorted(await self._store.keys(_of(number)))]
        return tuple(comment_from_json(raw)[0] for raw in raws if raw is not None)

    async def add(self, number: int, author: Account, body: str) -> Comment:
        """A new one under the next id. Raises ForgeRefused when it is too long."""
        if len(body) > COMMENT_CHARS_MAX:
            raise ForgeRefused(f"the comment has {len(body):,} characters; at most {COMMENT_CHARS_MAX:,} fit")
        taken = [int(key.rsplit("/", 1)[1]) for key in await self._store.keys(_of(number))]
        comment = Comment(str(max(taken, default=0) + 1), author, body, iso_stamp(self._wall()))
        await self._put(number, comment, ())
        return comment

    async def write(self, number: int, marker: str, body: str) -> str:
        """Bring ours under `marker` to `body`. Reading is free here, so a known id saves nothing."""
        wanted = marked(marker, body)
        ours = [c for c in await self.all(number) if c.author.id == BOT.id and bears(marker, c.body)]
        if not ours:
            return (await self.add(number, BOT, wanted)).id
        if not same_text(ours[0].body, wanted):
            await self._put(
                number, replace(ours[0], body=wanted, edited=True), await self.reactions(number, ours[0].id)
            )
        return ours[0].id

    async def react(self, number: int, comment_id: str, reaction: Reaction) -> None:
        comment, reactions = await self._one(number, comment_id)
        if reaction.value not in reactions:
            await self._put(number, comment, (*reactions, reaction.value))

    async def reactions(self, number: int, comment_id: str) -> tuple[str, ...]:
        return (await self._one(number, comment_id))[1]

    async def _one(self, number: int, comment_id: str) -> tuple[Comment, tuple[str, ...]]:
        raw = await self._store.get(_key(number, comment_id)) if comment_id.isdecimal() else None
        if raw is None:
            raise ForgeRefused(f"pull request {number} has no comment {comment_id[:20]}", code=404)
        return comment_from_json(raw)

    async def _put(self, number: int, comment: Comment, reactions: tuple[str, ...]) -> None:
        await self._store.put(_key(number, comment.id), comment_to_json(comment, reactions))


def _of(number: int) -> str:
    return f"{_COMMENTS}{number:09d}/"


def _key(number: int, comment_id: str) -> str:
    return f"{_of(number)}{int(comment_id):09d}"
