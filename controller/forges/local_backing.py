"""What the built-in forge stands on: a store for numbers, comments and statuses, and the Git remote itself.

Wiring backs `LocalStore` with the journal and `LocalGit` with the mirror; this room knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class LocalStore(Protocol):
    """A durable map from key to a JSON object. One writer at a time (the state lock); a `put` is atomic and durable
    when it returns."""

    async def get(self, key: str) -> dict[str, object] | None: ...

    async def put(self, key: str, value: dict[str, object]) -> None: ...

    async def keys(self, prefix: str) -> tuple[str, ...]:
        """Every key that begins with `prefix`, in any order."""
        ...


class LocalGit(Protocol):
    """The Git remote behind the built-in forge. Raises `controller.errors.Unreachable` when it does not answer, and
    InvalidInput for a commit that it does not have (any more)."""

    async def refs(self) -> Mapping[str, str]:
        """Every branch and the commit it stands at, as the remote tells now (one listing)."""
        ...

    async def subject(self, commit: str) -> str:
        """First line of the commit's message."""
        ...

    async def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `commit` is `of` or reachable from it."""
        ...

    async def find_merged(self, head: str, since: str, tip: str) -> str | None:
        """The commit on the first-parent line `since..tip` that brought `head` in: the first that reaches it, else
        (squash, rebase) the one whose patch-id equals that of the branch as a whole, or of its last commit when every
        commit of the branch has an equal there. None: not merged."""
        ...

    async def merge(self, branch: str, tip: str, head: str, message: str) -> str:
        """Merge `head` into `branch` and push it, only if the remote's branch still stands at `tip`; returns the
        merge commit. Raises `controller.errors.RefusedByPolicy` on a conflict or a moved branch."""
        ...
