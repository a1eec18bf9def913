"""A commit in a repository on this machine is noticed at once, however its reference is written."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.git.watcher import git_folder, watch
from tests.controller.git.origin import Origin

BOUND_S = 30


def git(folder: Path, *words: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], env=env, check=True)


async def seen_after(changes: AsyncIterator[None], act: object) -> None:
    """`act` is repeated until it is seen, because the kernel tells only what happens after it was asked to."""
    waiting = asyncio.ensure_future(anext(changes))
    assert callable(act)
    async with asyncio.timeout(BOUND_S):
        while not waiting.done():
            act()
            await asyncio.wait([waiting], timeout=0.2)
        await waiting


async def test_a_commit_in_a_bare_repository_is_seen(origin: Origin) -> None:
    origin.first({"a": b"1"})
    stop = asyncio.Event()
    changes = watch(origin.path, stop)
    for _ in range(3):
        await seen_after(changes, lambda: origin.commit({"a": b"2"}))
    stop.set()
    async with asyncio.timeout(BOUND_S):
        async for _ in changes:
            pass


async def test_a_new_branch_a_packed_one_and_head_are_seen(origin: Origin) -> None:
    commit = origin.first({"a": b"1"})
    changes = watch(origin.path, asyncio.Event())
    number = iter(range(1_000))
    await seen_after(changes, lambda: origin.point(f"ipr/{next(number)}/x", commit))
    await seen_after(changes, lambda: git(origin.path, "pack-refs", "--all"))
    await seen_after(changes, lambda: origin.repo.set_head(f"refs/heads/b{next(number)}"))
    await changes.aclose()  # type: ignore[attr-defined] # watch is a generator, its promise is an iterator


async def test_a_commit_in_a_checkout_and_in_a_linked_work_tree_is_seen(tmp_path: Path) -> None:
    checkout, linked = tmp_path / "checkout", tmp_path / "linked"
    checkout.mkdir()
    git(checkout, "init", "-q", "-b", "main")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "one")
    git(checkout, "worktree", "add", "-q", "-b", "side", str(linked))
    assert git_folder(linked) == git_folder(checkout) == checkout / ".git"
    stop = asyncio.Event()
    changes = watch(linked, stop)
    await seen_after(changes, lambda: git(checkout, "commit", "-q", "--allow-empty", "-m", "two"))
    stop.set()
    async with asyncio.timeout(BOUND_S):
        assert [each async for each in changes] == []


async def test_objects_and_lock_files_are_no_news(origin: Origin) -> None:
    commit = origin.first({"a": b"1"})
    stop = asyncio.Event()
    changes = watch(origin.path, stop)
    number = iter(range(1_000))
    await seen_after(changes, lambda: origin.point(f"side{next(number)}", commit))
    for _ in range(2):  # whatever the repeated act above still left behind
        rest = asyncio.ensure_future(anext(changes))
        await asyncio.wait([rest], timeout=0.3)
        if not rest.done():
            break
    origin.commit({"a": b"3"}, branch=None, parents=[commit])
    (origin.path / "refs" / "heads" / "x.lock").write_bytes(b"")
    (origin.path / "description").write_text("x")
    await asyncio.wait([rest], timeout=0.3)
    assert not rest.done()
    stop.set()
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(StopAsyncIteration):
            await rest


async def test_polling_sees_a_commit_too(origin: Origin) -> None:
    origin.first({"a": b"1"})
    stop = asyncio.Event()
    changes = watch(origin.path, stop, polling=True)
    await seen_after(changes, lambda: origin.commit({"a": b"2"}))
    stop.set()
    async with asyncio.timeout(BOUND_S):
        assert [each async for each in changes] == []


async def test_a_folder_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no Git repository"):
        await anext(watch(tmp_path, asyncio.Event()))
