"""The Git repository around a folder, for commands that read a revision of it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from controller.blueprint.attached import own_files
from controller.blueprint.repository import REPOSITORY_FILE, load_repository
from controller.errors import InvalidInput
from controller.git.credentials import configure_git
from controller.git.repository import Mirror
from controller.runtime.folder import SUFFIXES, Folder, scope_name


@asynccontextmanager
async def repository_around(path: Path, state: Path) -> AsyncIterator[Mirror]:
    """The Git repository that `path` lies in, read from its objects, never from its work tree."""
    root = next((p for p in (path.absolute(), *path.absolute().parents) if (p / ".git").exists()), None)
    bare = path.absolute() if (path / "HEAD").is_file() and (path / "refs").is_dir() else None
    if root is None and bare is None:
        raise InvalidInput(f"{path} is in no Git repository", hint="leave --ref away to plan the folder as it is")
    configure_git(60_000)
    source = bare or root
    mirror = Mirror.open(
        state / "mirrors" / f"folder-{hashlib.sha256(str(source).encode()).hexdigest()[:12]}.git", str(source)
    )
    try:
        await mirror.fetch((await mirror.refs()).branches)
        yield mirror
    finally:
        await mirror.close()


async def commit_named(mirror: Mirror, name: str) -> str:
    """The commit of a branch, or of a full or shortened id. Raises InvalidInput."""
    listing = await mirror.refs()
    if name in listing.branches:
        return listing.branches[name]
    for head in listing.branches.values():
        found = next((c.id for c in await mirror.log("", None, head) if len(name) >= 7 and c.id.startswith(name)), None)
        if found:
            return found
    raise InvalidInput(f"{name} is no branch and no commit of a branch", hint="git log shows them")


async def folder_at(path: Path, state: Path, ref: str) -> Folder:
    """The folder as it was at a commit or branch, read from Git objects (I35)."""
    async with repository_around(path, state) as mirror:
        return await _folder_of(path.absolute(), mirror, await commit_named(mirror, ref))


async def _folder_of(root: Path, mirror: Mirror, commit: str) -> Folder:
    """`root` names the scope where there is no alma.yaml."""
    files = dict(await mirror.files(commit, "", SUFFIXES))
    text = files.pop(REPOSITORY_FILE, None)
    folder = Folder(root, load_repository(text, default_scope=scope_name(root)), files, _nothing)
    if not any(name.endswith(SUFFIXES) for name in set(files) - set(own_files(files))):
        return folder
    # The mirror is closed before anything is planned, so what resources may name is read now.
    everything = await mirror.files(commit, "", ("",))
    return replace(folder, below=partial(_kept_below, everything))


async def _nothing(path: str) -> Mapping[str, bytes]:
    return {}


async def _kept_below(files: Mapping[str, bytes], path: str) -> Mapping[str, bytes]:
    return {n: d for n, d in files.items() if n == path or path == "." or n.startswith(f"{path}/")}
