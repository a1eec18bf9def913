"""A commit status as every forge takes it, and the memory that keeps an equal one from being written twice."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import Protocol

from controller.forges.forge import ForgeRefused, ForgeUnavailable, Status

DESCRIPTION_CHARS_MAX = 140
CONTEXT_CHARS_MAX = 200
STATUSES_KEPT = 10_000
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def full_sha(sha: str) -> str:
    """Itself. Raises ForgeRefused for anything but a whole commit id: never a branch (I5)."""
    if not _SHA.fullmatch(sha):
        raise ForgeRefused("a status is written to a whole commit id, nothing else")
    return sha


def fitted(status: Status) -> Status:
    """With a description of at most 140 characters on one line."""
    text = " ".join(status.description.split())
    if len(text) > DESCRIPTION_CHARS_MAX:
        text = text[: DESCRIPTION_CHARS_MAX - 1] + "…"
    if not status.context or len(status.context) > CONTEXT_CHARS_MAX:
        raise ForgeRefused(f"a status context has 1 to {CONTEXT_CHARS_MAX} characters")
    return replace(status, description=text)


class StatusApi(Protocol):
    """The calls of one forge behind its statuses."""

    async def post(self, sha: str, status: Status) -> None: ...

    async def shows(self, sha: str, status: Status) -> bool:
        """Whether `status` is the newest of its context there."""
        ...


class StatusWriter:
    """Writes each status once: no equal one twice in a row, and after a lost answer it looks first (I19)."""

    def __init__(self, api: StatusApi) -> None:
        self._api = api
        self._written = WrittenStatuses()

    async def write(self, sha: str, status: Status) -> None:
        wanted = fitted(status)
        full_sha(sha)
        if self._written.is_last(sha, wanted):
            return
        if not (self._written.is_unsure(sha, wanted.context) and await self._api.shows(sha, wanted)):
            try:
                await self._api.post(sha, wanted)
            except ForgeUnavailable:
                self._written.lost(sha, wanted.context)
                raise
        self._written.wrote(sha, wanted)


class WrittenStatuses:
    """The last status this process wrote per commit and context; the oldest are forgotten."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], Status] = OrderedDict()
        self._unsure: set[tuple[str, str]] = set()

    def is_last(self, sha: str, status: Status) -> bool:
        return self._last.get((sha, status.context)) == status

    def is_unsure(self, sha: str, context: str) -> bool:
        """Whether an answer was lost here: the forge must be asked before it is written again (I19)."""
        return (sha, context) in self._unsure

    def wrote(self, sha: str, status: Status) -> None:
        self._unsure.discard((sha, status.context))
        self._last[(sha, status.context)] = status
        self._last.move_to_end((sha, status.context))
        if len(self._last) > STATUSES_KEPT:
            self._last.popitem(last=False)

    def lost(self, sha: str, context: str) -> None:
        self._last.pop((sha, context), None)
        self._unsure.add((sha, context))
