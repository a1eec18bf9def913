"""What a scope is to be now, and where that is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from controller.errors import AlmaError
from controller.runtime.decide import ScopePolicy
from controller.runtime.planning import Wanted
from controller.runtime.records import ScopeRecord


@dataclass(frozen=True, slots=True)
class ScopeHead:
    """What a scope is to be at the revision that counts now. Exactly one of `wanted` and `problem` is there."""

    scope: str
    repository: str
    path: str
    revision: str
    tree: str
    policy: ScopePolicy
    wanted: Wanted | None = None
    problem: AlmaError | None = None
    pinned: bool = False


class Source(Protocol):
    """Where scopes come from: Git, read by commit id only (I35)."""

    async def head(self, record: ScopeRecord) -> ScopeHead | None:
        """The scope at its pin or at the tracked branch; None when no alma.yaml names it any more."""
        ...

    async def at(self, record: ScopeRecord, revision: str) -> Wanted:
        """The scope's content at an older revision, under today's policy. Raises as loading does."""
        ...

    async def content(self, record: ScopeRecord, revision: str) -> str | None:
        """The content id a scope has at a revision; None if it is in no alma.yaml there."""
        ...
