"""A mirror: one configured repository, fetched into a bare copy and read by commit id (I35).

The face of this room. All of libgit2 runs in two threads of the mirror's own: one talks to the remote, one reads, so
that a remote that hangs never stops what is already here. A copy that turns out to be damaged is fetched anew and the
question is asked again (B23). Errors are AlmaErrors; no exception of libgit2 leaves.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Self, TypeVar

import pygit2

from controller.errors import AlmaError, InvalidInput, Unreachable
from controller.git import authoring, history
from controller.git.authoring import Author
from controller.git.credentials import GitCredentials
from controller.git.history import CommitInfo, MergePreview
from controller.git.objects import Damaged, ReadLimits, commit_of, read_file, read_files, reading
from controller.git.signature import Signers
from controller.git.store import Store
from controller.git.transport import TRACKED, RefListing, Remote
from controller.git.url import branch_name, commit_id, remote_url

_T = TypeVar("_T")


class Mirror:
    """One repository. Commit ids are 40 digits, paths relative to its root; both are checked here.

    Any method may raise InvalidInput for a bad argument, Unreachable where it talks to the remote, and AlmaError when
    the mirror is damaged and cannot be fetched anew.
    """

    def __init__(self, store: Store, remote: Remote) -> None:
        self._store = store
        self._remote = remote
        self._talking = ThreadPoolExecutor(1, thread_name_prefix="git-remote")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="git-read")
        self._mending = asyncio.Lock()
        self._mended_from: RefListing | None = None
        self._in_vain: RefListing | None = None
        self._closing = threading.Event()

    @classmethod
    def open(
        cls,
        path: Path,
        url: str,
        *,
        credentials: GitCredentials | None = None,
        timeout_s: float = 60.0,
        max_bytes: int = 2**30,
    ) -> Self:
        """The mirror kept at `path` of the remote `url`. Touches neither disk nor network yet."""
        checked = remote_url(url)
        remote = Remote(checked, credentials or GitCredentials(), timeout_s, max_bytes)
        return cls(Store(path, checked), remote)

    async def close(self) -> None:
        """End transfers and threads."""
        self._closing.set()
        for pool in (self._talking, self._reading):
            pool.shutdown(wait=False, cancel_futures=True)

    async def refs(self) -> RefListing:
        """What the remote offers now: one listing, nothing fetched."""
        return await self._ask(self._remote.list_refs)

    async def fetch(
        self, branches: Collection[str] = (), commits: Collection[str] = (), listing: RefListing | None = None
    ) -> RefListing:
        """Bring branches and single commits here; nothing moves if nothing moved. Returns the listing it went by.

        A branch that the remote no longer has is forgotten here too; its commits stay readable. Cancelling the
        awaiting task ends the transfer.
        """
        names = [branch_name(name) for name in branches]
        ids = [commit_id(commit) for commit in commits]
        seen = listing or await self.refs()

        def fetched(repo: pygit2.Repository, cancel: threading.Event) -> None:
            self._remote.fetch(repo, seen, names, ids, cancel)
            self._store.gather()

        await self._ask(fetched)
        return seen

    async def head(self, branch: str) -> str:
        """The commit of `branch` as last fetched."""
        name = branch_name(branch)

        def read(repo: pygit2.Repository) -> str:
            with reading(f"branch {name}"):
                found = repo.references.get(TRACKED + name)
            if found is None:
                raise InvalidInput(f"the remote has no branch {name}", hint="was it deleted or renamed? see `branch:`")
            return str(found.target)

        return await self._read(read)

    async def has(self, commit: str) -> bool:
        """Whether a commit is here."""
        oid = pygit2.Oid(hex=commit_id(commit))
        return await self._read(lambda repo: oid in repo.odb)

    async def commit(self, commit: str) -> CommitInfo:
        """Author, committer and first line; all hostile text."""
        return await self._read(lambda repo: history.commit_info(repo, commit))

    async def file(self, commit: str, path: str, limits: ReadLimits | None = None) -> bytes | None:
        """One regular file; None when nothing is there."""
        bounds = limits or ReadLimits()
        return await self._read(lambda repo: read_file(repo, commit_of(repo, commit).tree_id, path, bounds))

    async def files(
        self, commit: str, path_prefix: str, suffixes: Collection[str], limits: ReadLimits | None = None
    ) -> Mapping[str, bytes]:
        """Every file below a folder whose name ends in one of `suffixes`, by path from the root, sorted.

        InvalidInput names the file for a link, a submodule, an LFS pointer, a strange mode or name, anything above a
        limit, and a folder that is not there (`tree_id` tells that without raising).
        """
        bounds = limits or ReadLimits()
        return await self._read(
            lambda repo: read_files(repo, commit_of(repo, commit).tree_id, path_prefix, suffixes, bounds)
        )

    async def files_of_tree(
        self, tree: str, path_prefix: str, suffixes: Collection[str], limits: ReadLimits | None = None
    ) -> Mapping[str, bytes]:
        """As `files`, of a tree such as `merge_preview` gives."""
        oid, bounds = pygit2.Oid(hex=commit_id(tree)), limits or ReadLimits()
        return await self._read(lambda repo: read_files(repo, oid, path_prefix, suffixes, bounds))

    async def file_of_tree(self, tree: str, path: str, limits: ReadLimits | None = None) -> bytes | None:
        """As `file`, of a tree such as `merge_preview` gives."""
        oid, bounds = pygit2.Oid(hex=commit_id(tree)), limits or ReadLimits()
        return await self._read(lambda repo: read_file(repo, oid, path, bounds))

    async def tree_id(self, commit: str, path: str) -> str | None:
        """Id of a folder or file: equal ids, equal content. None when nothing is there."""
        return await self._read(lambda repo: history.tree_id(repo, commit, path))

    async def changed_paths(self, old: str, new: str) -> tuple[str, ...]:
        """Every path that differs between two commits or trees; a rename counts as both of its paths."""
        ids = commit_id(old), commit_id(new)
        return await self._read(lambda repo: history.changed_paths(repo, *ids))

    async def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """Whether `commit` contains `ancestor`. False after a force-push from one to the other."""
        return await self._read(lambda repo: history.is_ancestor(repo, ancestor, commit))

    async def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor; None for unrelated histories."""
        return await self._read(lambda repo: history.merge_base(repo, one, other))

    async def merge_preview(self, base: str, head: str) -> MergePreview:
        """The tree that merging `head` into `base` would give, or the paths in conflict."""
        return await self._read(lambda repo: history.merge_preview(repo, base, head))

    async def patch_id(self, base: str, head: str) -> str | None:
        """What `head` changes since it left `base`, as a fingerprint that survives squash and rebase."""
        return await self._read(lambda repo: history.patch_id(repo, base, head))

    async def find_merged(self, head: str, base_old: str, base_new: str) -> str | None:
        """The commit that brought `head` in between `base_old` and `base_new`, also after squash or rebase."""
        return await self._read(lambda repo: history.find_merged(repo, head, base_old, base_new))

    async def log(self, path: str, since: str | None, until: str, limit: int = 1_000) -> tuple[CommitInfo, ...]:
        """Commits in `until` and not in `since` that changed `path` (`""`: any), newest first."""
        return await self._read(lambda repo: history.log(repo, path, since, until, limit))

    async def signature_refusal(self, signers: Signers, since: Collection[str], until: str, today: date) -> str:
        """Which commit in `until`, and in none of `since`, is not signed as it should be, and why; empty if all are."""
        ids = [commit_id(commit) for commit in since]
        return await self._read(lambda repo: signers.refusal(repo, ids, until, today))

    async def commit_files(self, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author) -> str:
        """A commit on `parent` with these bytes at these paths (None: gone). On no branch until pushed."""
        return await self._read(lambda repo: authoring.commit_files(repo, parent, changes, message, author))

    async def restore_paths(
        self, parent: str, from_commit: str, paths: Collection[str], message: str, author: Author
    ) -> str:
        """A commit on `parent` in which `paths` are as they were at `from_commit`: what a revert pull request holds."""
        return await self._read(lambda repo: authoring.restore_paths(repo, parent, from_commit, paths, message, author))

    async def push(self, commit: str, branch: str, expected_old: str | None) -> None:
        """Move the remote's `branch` from `expected_old` (None: it does not exist) to `commit`, forward only.

        Doing it again changes nothing. Raises Moved if the branch is elsewhere, RefusedByPolicy if the remote refuses.
        """
        name, new = branch_name(branch), commit_id(commit)
        old = commit_id(expected_old) if expected_old else None
        if old and await self.has(old) and not await self.is_ancestor(old, new):
            raise InvalidInput(f"{new} does not contain {old}; history is never overwritten")
        await self._ask(lambda repo, cancel: self._remote.push(repo, new, name, old, cancel))

    async def delete_branch(self, branch: str, expected_old: str) -> None:
        """Remove the remote's `branch` if it is at `expected_old`; if it is gone already, that is fine."""
        name, old = branch_name(branch), commit_id(expected_old)
        await self._ask(lambda repo, cancel: self._remote.delete(repo, name, old, cancel))

    async def merge(self, base_branch: str, head: str, message: str, author: Author) -> str:
        """Merge `head` into the remote's branch with a merge commit, push it, and return the branch's commit.

        Already merged: nothing is written. Raises InvalidInput for conflicts and Moved when the branch moved on.
        """
        await self.fetch([base_branch], [head])
        base = await self.head(base_branch)
        merged = await self._read(lambda repo: authoring.merge_commit(repo, base, head, message, author))
        if merged != base:
            await self.push(merged, base_branch, base)
            await self.fetch([base_branch])
        return merged

    async def _read(self, job: Callable[[pygit2.Repository], _T]) -> _T:
        """Run `job` in the reading thread; a damaged mirror is fetched anew, once."""
        generation = self._store.generation
        try:
            return await self._in(self._reading, lambda: job(self._store.repository()))
        except Damaged:
            await self._mend(generation)
        try:
            return await self._in(self._reading, lambda: job(self._store.repository()))
        except Damaged as error:
            raise self._still_damaged(error) from error

    async def _ask(self, job: Callable[[pygit2.Repository, threading.Event], _T]) -> _T:
        """Run `job` in the talking thread, ended after the time limit or when the awaiting task is."""
        generation = self._store.generation

        def asked(cancel: threading.Event) -> _T:
            self._store.sweep()
            return job(self._store.repository(), cancel)

        try:
            return await self._talk(asked)
        except Damaged:
            await self._mend(generation)
        try:
            return await self._talk(asked)
        except Damaged as error:
            raise self._still_damaged(error) from error

    async def _talk(self, job: Callable[[threading.Event], _T]) -> _T:
        cancel = threading.Event()
        try:
            async with asyncio.timeout(self._remote.timeout_s):
                return await self._in(self._talking, lambda: job(cancel))
        except TimeoutError:
            raise Unreachable(f"{self._remote.url} did not answer in {self._remote.timeout_s:g} s") from None
        finally:
            cancel.set()

    async def _in(self, pool: ThreadPoolExecutor, job: Callable[[], _T]) -> _T:
        if self._closing.is_set():
            raise AlmaError("the mirror is closed")
        return await asyncio.get_running_loop().run_in_executor(pool, job)

    async def _mend(self, generation: int) -> None:
        """Fetch everything anew into a fresh directory and put it in place, unless another task just did."""
        async with self._mending:
            if self._store.generation != generation:
                return
            self._mended_from = await self._talk(self._clone)
            await self._in(self._reading, self._store.replace)

    def _clone(self, cancel: threading.Event) -> RefListing:
        repo = self._store.fresh()
        listing = self._remote.list_refs(repo, cancel)
        if listing == self._in_vain:  # a remote that is broken itself must not cost a clone in every pass
            raise AlmaError("the remote itself lacks an object", hint="run `git fsck` there")
        self._remote.fetch(repo, listing, listing.branches, (), cancel)
        return listing

    def _still_damaged(self, error: Damaged) -> AlmaError:
        self._in_vain = self._mended_from
        return AlmaError(f"{error}, although the mirror was fetched anew", hint="run `git fsck` at the remote")
