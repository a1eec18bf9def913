"""New commits in a repository on this machine, seen as they happen: a hint to look, polling finds them too (I21)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from controller.errors import InvalidInput

_STEP_MS: Final = 10
_DEBOUNCE_MS: Final = 50
_TOP: Final = frozenset({"HEAD", "packed-refs"})


async def watch(path: Path, stop: asyncio.Event, *, polling: bool = False) -> AsyncIterator[None]:
    """Yield whenever a reference of the repository at `path` may have moved, bare or checked out, until `stop` is set.

    Several changes at once may be one yield. `polling`: for network mounts, where the kernel tells nothing.
    Raises InvalidInput when there is no repository.
    """
    folder = git_folder(path)
    moved = asyncio.Event()
    tasks = [
        asyncio.create_task(_tell(folder / "refs", True, moved, stop, polling)),
        asyncio.create_task(_tell(folder, False, moved, stop, polling)),
    ]
    try:
        while await _either(moved, stop, tasks):
            moved.clear()
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def git_folder(path: Path) -> Path:
    """The folder that holds the references: of a bare repository, a checkout, or a linked work tree."""
    inside = path / ".git"
    if inside.is_file():
        named = (path / inside.read_text().removeprefix("gitdir:").strip()).resolve()
        common = named / "commondir"
        inside = (named / common.read_text().strip()).resolve() if common.is_file() else named
    folder = inside if inside.is_dir() else path
    if not (folder / "HEAD").is_file() or not (folder / "refs").is_dir():
        raise InvalidInput(f"there is no Git repository at {path}", hint="create it with `git init`")
    return folder


async def _tell(folder: Path, recursive: bool, moved: asyncio.Event, stop: asyncio.Event, polling: bool) -> None:
    changes = awatch(
        folder,
        watch_filter=_reference if recursive else _top_level,
        step=_STEP_MS,
        debounce=_DEBOUNCE_MS,
        stop_event=stop,
        recursive=recursive,
        force_polling=polling,
    )
    async for _ in changes:
        moved.set()


def _reference(change: Change, path: str) -> bool:
    return not path.endswith(".lock")


def _top_level(change: Change, path: str) -> bool:
    return Path(path).name in _TOP


async def _either(moved: asyncio.Event, stop: asyncio.Event, watching: list[asyncio.Task[None]]) -> bool:
    """True once something moved, False once stopped. A watcher that failed raises its error here."""
    waits = [asyncio.ensure_future(moved.wait()), asyncio.ensure_future(stop.wait())]
    try:
        done, _ = await asyncio.wait([*waits, *watching], return_when=asyncio.FIRST_COMPLETED)
        for task in watching:
            if task in done:
                task.result()
        return waits[0] in done and not stop.is_set()
    finally:
        for wait in waits:
            wait.cancel()
