"""Reading Git objects by id, and nothing else: no work tree, no filter, no link is ever followed (I35).

Sizes are taken from object headers before content is read (D3). What is refused is named with its file; what cannot be
read although the mirror should hold it is `Damaged`, and the mirror is built again (B23).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pygit2
from pygit2.enums import FileMode, ObjectType

from controller.errors import AlmaError, InvalidInput, Place, Problem
from controller.git.url import commit_id, safe_name, tree_path

_REGULAR: Final = frozenset({int(FileMode.BLOB), int(FileMode.BLOB_EXECUTABLE)})
_ENTRY: Final = re.compile(rb"([0-7]{1,7}) ([^\0]+)\0(.{20})", re.DOTALL)
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_TREE_BYTES_MAX: Final = 8 * 2**20
_ENTRIES_MAX: Final = 100_000
_DEPTH_MAX: Final = 64
GIT_ERRORS: Final = (pygit2.GitError, KeyError, ValueError, OSError, TypeError)


class Damaged(AlmaError):
    """The mirror lacks or garbles something that it should hold."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much one scope may hold (I33)."""

    file_bytes_max: int = 2**20
    files_max: int = 5_000
    total_bytes_max: int = 10 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    oid: pygit2.Oid
    size_bytes: int


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever libgit2 raises inside is Damaged; our own errors pass."""
    try:
        yield
    except AlmaError:
        raise
    except GIT_ERRORS as error:
        raise Damaged(f"{what} cannot be read from the mirror", hint="it is fetched again by itself") from error


def commit_of(repo: pygit2.Repository, commit: str) -> pygit2.Commit:
    """The commit with this full id. Raises InvalidInput when it was never fetched or is no commit."""
    oid = pygit2.Oid(hex=commit_id(commit))
    if oid not in repo.odb:
        if not whole(repo):
            raise Damaged(f"commit {commit} is missing from the mirror")
        raise InvalidInput(f"commit {commit} is not in the mirror", hint="fetch its branch or the commit first")
    with reading(f"commit {commit}"):
        found = _load(repo, oid)
        if not isinstance(found, pygit2.Commit):
            raise InvalidInput(f"{commit} is not a commit")
        return found


def tree_of(repo: pygit2.Repository, tree: str | pygit2.Oid) -> pygit2.Tree:
    """The tree with this id."""
    oid = tree if isinstance(tree, pygit2.Oid) else pygit2.Oid(hex=commit_id(tree))
    with reading(f"tree {oid}"):
        found = _load(repo, oid)
        if not isinstance(found, pygit2.Tree):
            raise InvalidInput(f"{oid} is not a tree")
        return found


def entry_at(repo: pygit2.Repository, root: pygit2.Oid, path: str) -> tuple[pygit2.Oid, int] | None:
    """Id and mode of what stands at `path` below the tree `root`; None when there is nothing.

    Raises InvalidInput when the way there leads through a symbolic link or a submodule.
    """
    oid, mode = root, int(FileMode.TREE)
    walked: list[str] = []
    for part in path.split("/") if path else ():
        if mode != FileMode.TREE:
            _refuse_link("/".join(walked), mode)
            return None
        step = next((e for e in _entries(repo, oid, "/".join(walked)) if e[0] == part), None)
        if step is None:
            return None
        walked.append(part)
        _, oid, mode = step
    return oid, mode


def read_file(repo: pygit2.Repository, root: pygit2.Oid, path: str, limits: ReadLimits) -> bytes | None:
    """The regular file at `path`; None when nothing is there. Raises InvalidInput for anything else."""
    checked = tree_path(path)
    found = entry_at(repo, root, checked)
    if found is None:
        return None
    oid, mode = found
    _refuse_link(checked, mode)
    if mode not in _REGULAR:
        raise _refused(checked or ".", "is not a regular file")
    return _content(repo, _sized(repo, checked, oid, limits))


def read_files(
    repo: pygit2.Repository, root: pygit2.Oid, prefix: str, suffixes: Collection[str], limits: ReadLimits
) -> dict[str, bytes]:
    """Every file below `prefix` whose name ends in one of `suffixes`, by path from the root, in order of path.

    Raises InvalidInput when the folder is not there (an empty answer would read as "delete all"), for a link or a
    submodule anywhere below it, and above a limit; no content is read before all sizes are known.
    """
    checked = tree_path(prefix)
    found = entry_at(repo, root, checked)
    if found is None:
        raise _refused(checked, "there is no such folder at this commit")
    oid, mode = found
    _refuse_link(checked, mode)
    if mode != FileMode.TREE:
        raise _refused(checked, "is a file; a folder is needed here")
    listed: list[_Entry] = []
    total_bytes = 0
    for path, entry in _walk(repo, oid, checked):
        if path.endswith(tuple(suffixes)):
            listed.append(_sized(repo, path, entry, limits))
            total_bytes += listed[-1].size_bytes
            _refuse_sum(checked, len(listed), total_bytes, limits)
    return {entry.path: _content(repo, entry) for entry in sorted(listed, key=lambda e: e.path)}


def _walk(repo: pygit2.Repository, root: pygit2.Oid, prefix: str) -> Iterator[tuple[str, pygit2.Oid]]:
    """Regular files below a tree. The number of entries is bounded: equal subtrees can nest without end."""
    stack, seen = [(prefix, root, 0)], 0
    while stack:
        folder, tree, depth = stack.pop()
        if depth > _DEPTH_MAX:
            raise _refused(folder, f"lies more than {_DEPTH_MAX} folders deep")
        for name, oid, mode in _entries(repo, tree, folder):
            path = f"{folder}/{name}" if folder else name
            seen += 1
            if seen > _ENTRIES_MAX:
                raise _refused(prefix or ".", f"holds more than {_ENTRIES_MAX} entries")
            _refuse_link(path, mode)
            if mode == FileMode.TREE:
                stack.append((path, oid, depth + 1))
            elif mode in _REGULAR:
                yield path, oid
            else:
                raise _refused(path, f"has the mode {mode:o}, which is not a regular file")


def _entries(repo: pygit2.Repository, tree: pygit2.Oid, folder: str) -> Iterator[tuple[str, pygit2.Oid, int]]:
    """Name, id and mode of each entry; a name that no platform could hold safely is refused.

    Read from the bytes: libgit2 would turn a strange mode into the nearest one that it knows.
    """
    data, at = _tree_bytes(repo, tree), 0
    while at < len(data):
        entry = _ENTRY.match(data, at)
        if entry is None:
            raise _refused(folder, f"is a malformed tree ({tree})")
        name = entry[2].decode("utf-8", "backslashreplace")
        if not safe_name(name):
            raise _refused(f"{folder}/{name!a}".lstrip("/"), "has a name that is not an ordinary file name")
        yield name, pygit2.Oid(raw=entry[3]), int(entry[1], 8)
        at = entry.end()


def _tree_bytes(repo: pygit2.Repository, tree: pygit2.Oid) -> bytes:
    """The raw tree, after a look at its size."""
    with reading(f"tree {tree}"):
        kind, size_bytes = repo.odb.read_header(tree)
        if kind != ObjectType.TREE:
            raise InvalidInput(f"{tree} is not a tree")
        if size_bytes > _TREE_BYTES_MAX:
            raise InvalidInput(f"tree {tree} is larger than {_TREE_BYTES_MAX} bytes", hint="split the folder")
        return repo.odb.read(tree)[1]


def _sized(repo: pygit2.Repository, path: str, oid: pygit2.Oid, limits: ReadLimits) -> _Entry:
    with reading(path):
        kind, size_bytes = repo.odb.read_header(oid)
    if kind != ObjectType.BLOB:
        raise _refused(path, "is not a file")
    if size_bytes > limits.file_bytes_max:
        raise _refused(path, f"has {size_bytes} bytes; {limits.file_bytes_max} are allowed")
    return _Entry(path, oid, size_bytes)


def _content(repo: pygit2.Repository, entry: _Entry) -> bytes:
    with reading(entry.path):
        _, data = repo.odb.read(entry.oid)
    if data.startswith(_LFS):
        raise _refused(entry.path, "is a Git LFS pointer; its content is not in Git", "commit the file itself")
    return data


def _refuse_sum(prefix: str, files: int, total_bytes: int, limits: ReadLimits) -> None:
    if files > limits.files_max:
        raise _refused(prefix or ".", f"holds more than {limits.files_max} files to read")
    if total_bytes > limits.total_bytes_max:
        raise _refused(prefix or ".", f"holds more than {limits.total_bytes_max} bytes to read")


def _refuse_link(path: str, mode: int) -> None:
    if mode == FileMode.LINK:
        raise _refused(path, "is a symbolic link, and links are not followed", "commit the file itself")
    if mode == FileMode.COMMIT:
        raise _refused(path, "is a submodule, and submodules are not followed", "keep it outside the scope's path")


def _refused(path: str, reason: str, hint: str = "") -> InvalidInput:
    return InvalidInput([Problem(Place(path or "."), reason)], hint=hint)


def _load(repo: pygit2.Repository, oid: pygit2.Oid) -> object:
    """The parsed object. What reads well and does not parse was written that way: refused, not mended."""
    try:
        return repo[oid]
    except GIT_ERRORS:
        repo.odb.read(oid)  # raises, as damage, when the bytes themselves are gone
        raise InvalidInput(f"object {oid} is malformed") from None


def whole(repo: pygit2.Repository) -> bool:
    """Whether every commit that a reference of the mirror leads to is there, with its tree. Reads the disk anew: a
    handle keeps what it once read."""
    try:
        fresh = pygit2.Repository(repo.path)
        walker = fresh.walk(None)
        for name in fresh.references:
            walker.push(fresh.references[name].target)
        return all(commit.tree_id in fresh.odb for commit in walker)
    except GIT_ERRORS:
        return False
