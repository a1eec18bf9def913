"""A new bare repository with its first commit: what the demonstration starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from controller.git.authoring import Author


def found_repository(path: Path, branch: str, files: Mapping[str, bytes], message: str, author: Author) -> str:
    """Make a bare repository at `path`, which must not exist yet, whose `branch` holds `files`; the commit's id."""
    repo = pygit2.init_repository(str(path), bare=True, initial_head=branch)
    index = pygit2.Index()
    for name, content in files.items():
        index.add(pygit2.IndexEntry(name, repo.create_blob(content), FileMode.BLOB))
    tree = index.write_tree(repo)
    signature = pygit2.Signature(author.name, author.email, author.when_s, 0, "utf-8")
    commit = repo.create_commit(f"refs/heads/{branch}", signature, signature, message, tree, [])
    repo.free()
    return str(commit)
