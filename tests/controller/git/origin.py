"""A remote made in a test: commits from a dict of files, without a work tree; odd objects are written byte by byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType

from controller.git.authoring import Author

SOMEONE = Author("Some One", "one@example.org", 1_700_000_000)
_SIGNATURE = pygit2.Signature("Some One", "one@example.org", 1_700_000_000, 0)


class Origin:
    """A bare repository with the branch `main`; every method returns a commit id."""

    def __init__(self, path: Path, branch: str = "main") -> None:
        self.path = path
        self.repo = pygit2.init_repository(str(path), bare=True, initial_head=branch)

    @property
    def url(self) -> str:
        return str(self.path)

    def commit(
        self,
        files: Mapping[str, bytes | None],
        branch: str | None = "main",
        parents: Sequence[str] | None = None,
        message: str = "A change",
        modes: Mapping[str, FileMode] | None = None,
    ) -> str:
        """A commit on the branch's tip (or `parents`), with these files changed; the branch moves there."""
        above = [str(self.repo.references[f"refs/heads/{branch}"].target)] if parents is None else list(parents)
        index = pygit2.Index()
        if above:
            parent: object = self.repo[above[0]]
            assert isinstance(parent, pygit2.Commit)
            index.read_tree(parent.tree)
        for path, content in files.items():
            if content is None:
                index.remove(path)
                continue
            mode = (modes or {}).get(path, FileMode.BLOB)
            oid = pygit2.Oid(hex=content.decode()) if mode == FileMode.COMMIT else self.repo.create_blob(content)
            index.add(pygit2.IndexEntry(path, oid, mode))
        return self._commit(index.write_tree(self.repo), branch, above, message)

    def first(self, files: Mapping[str, bytes | None], branch: str | None = "main") -> str:
        """A commit without a parent."""
        return self.commit(files, branch, parents=[])

    def odd(self, entries: Sequence[tuple[str, bytes, str]], branch: str | None = "main") -> str:
        """A commit whose root tree holds exactly (mode, name, object id), however wrong they are."""
        data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return self._commit(self.repo.odb.write(ObjectType.TREE, data), branch, [], "Odd")

    def blob(self, content: bytes) -> str:
        return str(self.repo.create_blob(content))

    def tree(self, entries: Sequence[tuple[str, bytes, str]]) -> str:
        data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return str(self.repo.odb.write(ObjectType.TREE, data))

    def tip(self, branch: str = "main") -> str | None:
        found = self.repo.references.get(f"refs/heads/{branch}")
        return str(found.target) if found else None

    def point(self, branch: str, commit: str) -> None:
        """Move a branch anywhere, as a force-push does."""
        self.repo.references.create(f"refs/heads/{branch}", pygit2.Oid(hex=commit), force=True)

    def drop(self, branch: str) -> None:
        self.repo.references.delete(f"refs/heads/{branch}")

    def _commit(self, tree: pygit2.Oid, branch: str | None, parents: Sequence[str], message: str) -> str:
        oid = self.repo.create_commit(
            None, _SIGNATURE, _SIGNATURE, message, tree, [pygit2.Oid(hex=each) for each in parents]
        )
        if branch is not None:
            self.point(branch, str(oid))
        return str(oid)
