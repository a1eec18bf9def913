"""`/alma ask`: what a text on a pull request is taken for, by its words, its thread and what the branch changes."""

from __future__ import annotations

from dataclasses import dataclass

from controller.blueprint.entry import Entry
from controller.errors import AlmaError
from controller.forges.forge import Comment, Forge, PullRequest
from controller.operations.comment_reads import stored_review
from controller.operations.contents import Contents
from controller.operations.context import Context
from controller.runtime.command import Command
from controller.runtime.records import IprRecord
from controller.tools.asking import Taken, taken

_THREAD_MAX = 50


@dataclass(frozen=True, slots=True)
class AskDesk:
    """Understands; carries nothing out."""

    about: Context
    contents: Contents
    forge: Forge

    async def taken(self, command: Command, record: IprRecord, pull: PullRequest, comment: Comment) -> Taken:
        """Raises InvalidInput to ask back, RefusedByPolicy for what words alone do not do, ForgeError."""
        review = await stored_review(self.about, record)
        scopes = command.scopes or tuple(s.name for s in review.scopes) if review else command.scopes
        changed = [str(c.effect.resource) for p in review.plans for c in p.changes] if review else []
        thread = await self.forge.comments(record.number)
        earlier = [c.body for c in thread if c.id != comment.id and not c.author.bot and c.created <= comment.created]
        entries = await self._entries(pull, scopes)
        return taken(command.text, entries, changed, list(reversed(earlier))[:_THREAD_MAX])

    async def _entries(self, pull: PullRequest, scopes: tuple[str, ...]) -> list[Entry]:
        """None for a pull request that is over, or whose content cannot be had."""
        try:
            content = await self.contents.of(pull, scopes)
        except AlmaError:
            return []
        return [e for s in content.scopes for e in s.after]
