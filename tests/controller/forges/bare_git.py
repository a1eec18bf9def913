"""A bare repository as the remote of the built-in forge, and `LocalGit` over it with the git command."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path

from controller.errors import InvalidInput, RefusedByPolicy, Unreachable

_ENV = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": "/usr/bin:/bin:/usr/local/bin",
    "HOME": "/nonexistent",
}


class BareGit:
    """Fulfils LocalGit; what people do to the remote stands below."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.down = False
        self.lost = set[str]()  # commits that nobody has any more
        self._count = itertools.count()

    async def init(self) -> None:
        await self._git("init", "-q", "--bare", "-b", "main", str(self.path), at=None)
        await self.commit("main", "README", "hello", parent=None)

    async def refs(self) -> Mapping[str, str]:
        if self.down:
            raise Unreachable("the remote does not answer")
        lines = (await self._git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)

    async def subject(self, commit: str) -> str:
        self._check(commit)
        return await self._git("log", "-1", "--format=%s", commit)

    async def is_ancestor(self, commit: str, of: str) -> bool:
        self._check(commit, of)
        return await self._git("merge-base", commit, of) == commit

    async def find_merged(self, head: str, since: str, tip: str) -> str | None:
        self._check(head, since, tip)
        line = (await self._git("rev-list", "--first-parent", "--reverse", f"{since}..{tip}")).split()
        for commit in line:
            if await self.is_ancestor(head, commit):
                return commit
        base = await self._git("merge-base", since, head)
        whole = await self._patch_id(base, head)
        parts = [await self._patch_id(f"{c}^", c) for c in (await self._git("rev-list", f"{base}..{head}")).split()]
        taken = {await self._patch_id(f"{commit}^", commit): commit for commit in line}
        if whole in taken:
            return taken[whole]
        return taken[parts[0]] if all(part in taken for part in parts) else None

    async def merge(self, branch: str, tip: str, head: str, message: str) -> str:
        tree = await self._tree(tip, head)
        commit = await self._git("commit-tree", tree, "-p", tip, "-p", head, "-m", message)
        await self._git("update-ref", f"refs/heads/{branch}", commit, tip)
        return commit

    def _check(self, *commits: str) -> None:
        if self.lost & set(commits):
            raise InvalidInput("there is no such commit")

    # What people do.

    async def commit(self, branch: str, file: str, text: str, parent: str | None = "") -> str:
        """One more commit on `branch`; a new branch starts at main."""
        if parent == "":
            refs = await self.refs()
            parent = refs.get(branch, refs.get("main"))
        blob = await self._git("hash-object", "-w", "--stdin", text=text)
        tree = await self._with_file(parent, file, blob)
        parents = ("-p", parent) if parent else ()
        commit = await self._git("commit-tree", tree, *parents, "-m", f"Change {file}")
        await self._git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    async def squash(self, head: str) -> str:
        """One commit on main with all that the branch changed."""
        tip = (await self.refs())["main"]
        commit = await self._git("commit-tree", await self._tree(tip, head), "-p", tip, "-m", "Squashed")
        await self._git("update-ref", "refs/heads/main", commit)
        return commit

    async def point(self, branch: str, commit: str) -> None:
        await self._git("update-ref", f"refs/heads/{branch}", commit)

    async def delete(self, branch: str) -> None:
        await self._git("update-ref", "-d", f"refs/heads/{branch}")

    async def push(self, branch: str) -> str:
        return await self.commit(branch, f"file-{next(self._count)}", "text")

    async def _tree(self, one: str, other: str) -> str:
        """The tree of the two merged."""
        try:
            return await self._git("merge-tree", "--write-tree", one, other)
        except AssertionError:
            raise RefusedByPolicy("the merge conflicts") from None

    async def _with_file(self, parent: str | None, file: str, blob: str) -> str:
        return await self._index(parent, [(blob, file)])

    async def _index(self, start: str | None, files: list[tuple[str, str]]) -> str:
        entries = dict(line.split("\t")[::-1] for line in (await self._listed(start)).splitlines())
        entries.update({file: f"100644 blob {blob}" for blob, file in files})
        return await self._git("mktree", text="".join(f"{v}\t{k}\n" for k, v in entries.items()))

    async def _listed(self, commit: str | None) -> str:
        return await self._git("ls-tree", commit) if commit else ""

    async def _patch_id(self, base: str, head: str) -> str:
        diff = await self._git("diff-tree", "-p", base, head)
        return (await self._git("patch-id", "--stable", text=diff + "\n")).split(" ")[0]

    async def _git(self, *arguments: str, text: str = "", at: Path | None = Path()) -> str:
        where = () if at is None else ("-C", str(self.path))
        process = await asyncio.create_subprocess_exec(
            "git",
            *where,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_ENV,
        )
        out, err = await process.communicate(text.encode())
        if process.returncode:
            raise AssertionError(f"git {arguments}: {err.decode()}")
        return out.decode().strip()
