"""What a pull request would make of its scopes, resource by resource: read from Git, no target is asked (I5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from controller.blueprint.entry import Entry
from controller.blueprint.repository import Repository, ScopeConfig
from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.forges.forge import PullRequest, PullState
from controller.review.price_book import PriceBook
from controller.runtime.reviewing import book_of
from controller.runtime.source import TREE, RepositorySource


@dataclass(frozen=True, slots=True)
class ScopeContent:
    """One scope: what the tracked branch wants, and what the merge would."""

    scope: ScopeConfig
    before: tuple[Entry, ...]
    after: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """An open pull request under the base's configuration and prices (I4). `tree`: what the merge would give."""

    base: str
    tree: str
    config: Repository
    book: PriceBook
    scopes: tuple[ScopeContent, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The pull requests of one repository."""

    source: RepositorySource

    async def of(self, pull: PullRequest, names: Collection[str]) -> Content:
        """The scopes called so. Raises InvalidInput where the pull request is over, does not merge or is invalid."""
        base = self.source.head
        if base is None:
            raise Unreachable("the repository was not read yet", hint="ask again in a moment")
        if pull.state is not PullState.OPEN:
            raise InvalidInput("the pull request is over", hint="ask on an open one")
        await self.source.mirror.fetch(commits=[pull.head_sha])
        preview = await self.source.mirror.merge_preview(base, pull.head_sha)
        if preview.tree is None:
            raise InvalidInput(f"it does not merge into {pull.base}", hint="rebase it first")
        config = await self.source.config(base)
        tree = f"{TREE}{preview.tree}"
        found = [await self._scope(base, tree, config, name) for name in names]
        book = await book_of(self.source, base, config)
        return Content(base, tree, config, book, tuple(s for s in found if s))

    async def _scope(self, base: str, tree: str, config: Repository, name: str) -> ScopeContent | None:
        scope = config.scope(name) or (await self.source.config(tree)).scope(name)
        if scope is None:
            return None
        after = (await self.source.wanted(tree, scope, config.prices)).entries
        return ScopeContent(scope, await self._before(base, config, name), after)

    async def _before(self, base: str, config: Repository, name: str) -> tuple[Entry, ...]:
        """Nothing for a scope that is new, or was not readable before."""
        scope = config.scope(name)
        try:
            return (await self.source.wanted(base, scope, config.prices)).entries if scope else ()
        except AlmaError:
            return ()
