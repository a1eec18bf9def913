"""Backs the built-in forge: its store with the journal, its Git with the mirror. Part of the wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from controller.errors import InvalidInput, RefusedByPolicy
from controller.git.authoring import Author
from controller.git.repository import Mirror
from controller.journal.journal import Journal
from controller.journal.projections import Document, Entry
from controller.runtime.clock import Clock

_KIND = "local-forge"


@dataclass(frozen=True, slots=True)
class JournalStore:
    """`LocalStore` on the journal's documents; keys of several repositories do not meet."""

    journal: Journal
    repository: str

    async def get(self, key: str) -> dict[str, object] | None:
        found = await self.journal.document(_KIND, f"{self.repository}/{key}")
        return None if found is None else cast(dict[str, object], dict(found))

    async def put(self, key: str, value: dict[str, object]) -> None:
        document = Document(_KIND, f"{self.repository}/{key}", value)
        entry = Entry("local-forge.put", {"key": key})
        await self.journal.append(f"{_KIND}:{self.repository}", [entry], [document])

    async def keys(self, prefix: str) -> tuple[str, ...]:
        start = f"{self.repository}/"
        found = await self.journal.documents(_KIND, start + prefix)
        return tuple(key.removeprefix(start) for key in found)


@dataclass(frozen=True, slots=True)
class MirrorGit:
    """`LocalGit` on a mirror."""

    mirror: Mirror
    clock: Clock
    signed_only: bool = False  # the branch takes signed commits, and ours are not

    async def refs(self) -> Mapping[str, str]:
        return (await self.mirror.refs()).branches

    async def subject(self, commit: str) -> str:
        await self._have(commit)
        return (await self.mirror.commit(commit)).summary

    async def is_ancestor(self, commit: str, of: str) -> bool:
        await self._have(commit, of)
        return commit == of or await self.mirror.is_ancestor(commit, of)

    async def find_merged(self, head: str, since: str, tip: str) -> str | None:
        await self._have(head, since, tip)
        return await self.mirror.find_merged(head, since, tip)

    async def merge(self, branch: str, tip: str, head: str, message: str) -> str:
        if self.signed_only:
            raise RefusedByPolicy(
                f"{branch} takes signed commits only, and ALMA signs none", hint="git merge -S the branch, and push"
            )
        try:
            await self.mirror.fetch([branch], [head])
            if await self.mirror.head(branch) != tip:
                raise RefusedByPolicy(f"{branch} has moved", hint="look again")
            author = Author("ALMA", "alma@localhost", int(self.clock.wall().timestamp()))
            return await self.mirror.merge(branch, head, message, author)
        except InvalidInput as e:
            raise RefusedByPolicy(str(e), hint=e.hint) from e

    async def _have(self, *commits: str) -> None:
        missing = [c for c in commits if not await self.mirror.has(c)]
        if missing:
            await self.mirror.fetch(commits=missing)
