"""Questions about commits: ancestry, changed paths, the merge that would come out, what a merge brought in.

Answers come from deltas of trees; patches hold the interpreter lock, so they are made only for one bounded change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import pygit2
from pygit2.enums import DiffOption, ObjectType, SortMode

from controller.errors import InvalidInput, Place, Problem
from controller.git.objects import commit_of, entry_at, reading, tree_of
from controller.git.url import tree_path

_PATCH_BYTES_MAX: Final = 32 * 2**20
_COMMITS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit. Names, addresses and `summary` are hostile text and authorise nothing (I47)."""

    id: str
    parents: tuple[str, ...]
    author_name: str
    author_email: str
    committer_name: str
    committer_email: str
    committed_s: int  # seconds since the epoch, as the committer claims
    summary: str  # the first line of the message, at most 4 KiB


@dataclass(frozen=True, slots=True)
class MergePreview:
    """What merging would give: the id of the resulting tree, or the paths that conflict. No branch moves."""

    tree: str | None
    conflicts: tuple[str, ...] = ()


def commit_info(repo: pygit2.Repository, commit: str) -> CommitInfo:
    """Who and what one commit says it is."""
    found = commit_of(repo, commit)
    with reading(f"commit {commit}"):
        return CommitInfo(
            id=str(found.id),
            parents=tuple(str(parent) for parent in found.parent_ids),
            author_name=_text(found.author.raw_name),
            author_email=_text(found.author.raw_email),
            committer_name=_text(found.committer.raw_name),
            committer_email=_text(found.committer.raw_email),
            committed_s=found.commit_time,
            summary=_text(found.raw_message.partition(b"\n")[0][:4096]),
        )


def tree_id(repo: pygit2.Repository, commit: str, path: str) -> str | None:
    """Id of the folder or file at `path` of a commit or tree: equal ids, equal content. None when nothing is there."""
    found = entry_at(repo, _tree(repo, commit).id, tree_path(path))
    return str(found[0]) if found else None


def changed_paths(repo: pygit2.Repository, old: str, new: str) -> tuple[str, ...]:
    """Every path that differs between two commits or trees, sorted; a rename counts as both of its paths."""
    with reading(f"the difference of {old} and {new}"):
        diff = _tree(repo, old).diff_to_tree(_tree(repo, new))
        return tuple(sorted({_text(f.raw_path) for delta in diff.deltas for f in (delta.old_file, delta.new_file)}))


def is_ancestor(repo: pygit2.Repository, ancestor: str, commit: str) -> bool:
    """Whether `commit` contains `ancestor`; a commit contains itself."""
    older, newer = commit_of(repo, ancestor), commit_of(repo, commit)
    with reading(f"the history of {commit}"):
        return older.id == newer.id or repo.descendant_of(newer.id, older.id)


def merge_base(repo: pygit2.Repository, one: str, other: str) -> str | None:
    """The best common ancestor; None for unrelated histories."""
    first, second = commit_of(repo, one), commit_of(repo, other)
    with reading(f"the history of {other}"):
        found: pygit2.Oid | None = repo.merge_base(first.id, second.id)
        return str(found) if found else None


def merge_preview(repo: pygit2.Repository, base: str, head: str) -> MergePreview:
    """The tree that merging `head` into `base` gives; its objects are written to the mirror so they can be read."""
    ours, theirs = commit_of(repo, base), commit_of(repo, head)
    _refuse_large_merge(repo, base, head)
    with reading(f"the merge of {head}"):
        index = repo.merge_commits(ours, theirs)
        if index.conflicts is not None:
            sides = (side for conflict in index.conflicts for side in conflict if side is not None)
            return MergePreview(None, tuple(sorted({side.path for side in sides})))
        return MergePreview(str(index.write_tree(repo)))


def patch_id(repo: pygit2.Repository, base: str, head: str) -> str | None:
    """A fingerprint of what `head` changes since it left `base`, the same wherever that change is applied.

    None when it changes nothing, or too much to be compared.
    """
    start = merge_base(repo, base, head)
    return _patch_id(repo, commit_of(repo, start).tree if start else None, commit_of(repo, head).tree)


def find_merged(repo: pygit2.Repository, head: str, base_old: str, base_new: str) -> str | None:
    """The commit that brought `head` into the branch on its way from `base_old` to `base_new`; None if it is not in.

    Reachable: the first commit of the branch that contains it. Squashed: the one with an equal patch-id. Rebased: the
    last of those whose patch-ids equal the commits of `head`. Looks at no more than the newest 1,000 commits.
    """
    if is_ancestor(repo, head, base_new):
        return _first_with(repo, head, base_old, base_new)
    start = merge_base(repo, base_old, head)
    new = {_own_patch_id(repo, commit): str(commit.id) for commit in _between(repo, start or base_old, base_new)}
    squashed = new.get(patch_id(repo, base_old, head) or "")
    if squashed:
        return squashed
    own = [_own_patch_id(repo, commit) for commit in _between(repo, start, head)]
    return new[own[0]] if own and all(each is not None and each in new for each in own) else None


def log(
    repo: pygit2.Repository, path: str, since: str | None, until: str, limit: int = _COMMITS_MAX
) -> tuple[CommitInfo, ...]:
    """Commits that changed `path`, newest first: those in `until` and not in `since`, at most `limit`."""
    checked = tree_path(path)
    touching = (commit for commit in _between(repo, since, until) if not checked or _touches(repo, commit, checked))
    return tuple(commit_info(repo, str(commit.id)) for commit in islice(touching, limit))


def _between(repo: pygit2.Repository, since: str | None, until: str) -> Iterator[pygit2.Commit]:
    tip = commit_of(repo, until)
    with reading(f"the history of {until}"):
        walker = repo.walk(tip.id, SortMode.TOPOLOGICAL | SortMode.TIME)
        if since is not None:
            walker.hide(commit_of(repo, since).id)
        yield from islice(walker, _COMMITS_MAX)


def _first_with(repo: pygit2.Repository, head: str, base_old: str, base_new: str) -> str:
    """Along the branch itself (first parents), the oldest new commit that contains `head`."""
    found = base_new
    with reading(f"the history of {base_new}"):
        walker = repo.walk(commit_of(repo, base_new).id, SortMode.TOPOLOGICAL)
        walker.simplify_first_parent()
        walker.hide(commit_of(repo, base_old).id)
        for commit in islice(walker, _COMMITS_MAX):
            if not is_ancestor(repo, head, str(commit.id)):
                break
            found = str(commit.id)
    return found


def _touches(repo: pygit2.Repository, commit: pygit2.Commit, path: str) -> bool:
    ours = entry_at(repo, commit.tree_id, path)
    theirs = [entry_at(repo, commit_of(repo, str(parent)).tree_id, path) for parent in commit.parent_ids]
    return all(each != ours for each in theirs) if theirs else ours is not None


def _own_patch_id(repo: pygit2.Repository, commit: pygit2.Commit) -> str | None:
    """The patch-id of one commit; None for a merge, whose change is not its own."""
    if len(commit.parent_ids) > 1:
        return None
    parent = commit_of(repo, str(commit.parent_ids[0])).tree if commit.parent_ids else None
    return _patch_id(repo, parent, commit.tree)


def _patch_id(repo: pygit2.Repository, old: pygit2.Tree | None, new: pygit2.Tree) -> str | None:
    with reading("a change"):
        # Binary content counts too: without the flag two different images would look like one change.
        flags = DiffOption.SHOW_BINARY
        diff = old.diff_to_tree(new, flags) if old else new.diff_to_tree(flags=flags, swap=True)
        sizes = [_size(repo, f.id) for delta in diff.deltas for f in (delta.old_file, delta.new_file)]
        return str(diff.patchid) if sizes and sum(sizes) <= _PATCH_BYTES_MAX else None


def _refuse_large_merge(repo: pygit2.Repository, base: str, head: str) -> None:
    """Merging text takes time and memory with its size, so size is looked at first (I33)."""
    start = merge_base(repo, base, head)
    if start is None:
        raise InvalidInput(f"{head} shares no history with {base}", hint="rebase it on the tracked branch")
    for path in set(changed_paths(repo, start, base)) & set(changed_paths(repo, start, head)):
        for commit in (start, base, head):
            found = _file_size(repo, commit, path)
            if found > _PATCH_BYTES_MAX:
                raise InvalidInput([Problem(Place(path), f"is too large to be merged: {found} bytes")])


def _file_size(repo: pygit2.Repository, commit: str, path: str) -> int:
    """Bytes of the file at a path of a commit, from its header; 0 for anything else."""
    with reading(path):
        try:
            entry = commit_of(repo, commit).tree[path]
        except KeyError:
            return 0
        return _size(repo, entry.id) if isinstance(entry, pygit2.Blob) else 0


def _size(repo: pygit2.Repository, oid: pygit2.Oid) -> int:
    if oid not in repo.odb:  # the missing side of an addition, or a submodule's commit
        return 0
    kind, size_bytes = repo.odb.read_header(oid)
    return size_bytes if kind == ObjectType.BLOB else 0


def _tree(repo: pygit2.Repository, name: str) -> pygit2.Tree:
    found = repo.get(name)
    return found if isinstance(found, pygit2.Tree) else tree_of(repo, commit_of(repo, name).tree_id)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
