"""New commits made from objects alone: no work tree, no index on disk, no hook."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

from controller.errors import InvalidInput, Place, Problem
from controller.git.history import is_ancestor, merge_preview
from controller.git.objects import commit_of, entry_at, reading
from controller.git.url import commit_id, tree_path


@dataclass(frozen=True, slots=True)
class Author:
    """Who a commit of ours names. `when_s`: seconds since the epoch, from the caller's clock."""

    name: str
    email: str
    when_s: int


def commit_files(
    repo: pygit2.Repository, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author
) -> str:
    """A commit on top of `parent` in which each path has these bytes, or is gone (None). On no branch until pushed.

    A file keeps its mode. Raises InvalidInput for a path outside the repository or one that leads through a file.
    """
    base = commit_of(repo, parent)
    index = _index(base)
    for path, content in changes.items():
        checked = _file_path(path)
        found = entry_at(repo, base.tree_id, checked)
        if content is None:
            _drop(index, checked)
            continue
        _refuse_inside_file(repo, base, checked)
        mode = FileMode(found[1]) if found and found[1] == FileMode.BLOB_EXECUTABLE else FileMode.BLOB
        with reading(checked):
            index.add(pygit2.IndexEntry(checked, repo.create_blob(content), mode))
    return _commit(repo, index, message, author, [base.id])


def restore_paths(
    repo: pygit2.Repository, parent: str, from_commit: str, paths: Collection[str], message: str, author: Author
) -> str:
    """A commit on top of `parent` in which each of `paths` (file or folder) is as it was at `from_commit`.

    What was not there then is gone. Links and submodules are put back as they were, never followed.
    """
    base, older = commit_of(repo, parent), commit_of(repo, from_commit)
    index, before = _index(base), _index(older)
    checked = [tree_path(path) for path in paths]
    with reading("the older content"):
        for entry in [e for e in index if _below_any(e.path, checked)]:
            index.remove(entry.path)
        for entry in before:
            if _below_any(entry.path, checked):
                index.add(entry)
    return _commit(repo, index, message, author, [base.id])


def merge_commit(repo: pygit2.Repository, base: str, head: str, message: str, author: Author) -> str:
    """A merge commit of `head` into `base`, or `base` when it already contains `head`. Raises InvalidInput naming
    the files in conflict."""
    if is_ancestor(repo, head, base):
        return base
    preview = merge_preview(repo, base, head)
    if preview.tree is None:
        problems = [
            Problem(Place(path), "conflicts with the branch it would be merged into") for path in preview.conflicts
        ]
        raise InvalidInput(problems, hint="rebase the branch, or merge the tracked branch into it")
    return _write(
        repo,
        pygit2.Oid(hex=preview.tree),
        message,
        author,
        [pygit2.Oid(hex=commit_id(base)), pygit2.Oid(hex=commit_id(head))],
    )


def _commit(
    repo: pygit2.Repository, index: pygit2.Index, message: str, author: Author, parents: list[pygit2.Oid]
) -> str:
    with reading("the new tree"):
        tree = index.write_tree(repo)
    return _write(repo, tree, message, author, parents)


def _write(repo: pygit2.Repository, tree: pygit2.Oid, message: str, author: Author, parents: list[pygit2.Oid]) -> str:
    named = author.name.strip() and author.email.strip() and 0 <= author.when_s < 2**40
    if not named or any(not char.isprintable() or char in "<>" for char in author.name + author.email):
        raise InvalidInput("the author's name, address or time cannot stand in a commit")
    signature = pygit2.Signature(author.name, author.email, author.when_s, 0, "utf-8")
    if "\0" in message:
        raise InvalidInput("a commit message holds no NUL")
    with reading("the new commit"):
        return str(repo.create_commit(None, signature, signature, message, tree, parents))


def _index(commit: pygit2.Commit) -> pygit2.Index:
    with reading(f"commit {commit.id}"):
        index = pygit2.Index()
        index.read_tree(commit.tree)
        return index


def _file_path(path: str) -> str:
    checked = tree_path(path)
    if not checked:
        raise InvalidInput("a file is named, not the root of the repository")
    return checked


def _refuse_inside_file(repo: pygit2.Repository, base: pygit2.Commit, path: str) -> None:
    """A path may not lead through something that is no folder, nor replace a folder."""
    parts = path.split("/")
    above = ("/".join(parts[:count]) for count in range(1, len(parts)))
    here = entry_at(repo, base.tree_id, path)
    if here and here[1] not in {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}:
        raise InvalidInput([Problem(Place(path), "is not a regular file there")])
    for folder in above:
        found = entry_at(repo, base.tree_id, folder)
        if found and found[1] != FileMode.TREE:
            raise InvalidInput([Problem(Place(path), f"{folder} is not a folder")])


def _drop(index: pygit2.Index, path: str) -> None:
    for entry in [e for e in index if _below_any(e.path, [path])]:
        index.remove(entry.path)


def _below_any(path: str, roots: Collection[str]) -> bool:
    return any(not root or path == root or path.startswith(f"{root}/") for root in roots)
