"""A folder on this machine as desired state, for commands that need no Git (`alma plan PATH`, `alma deploy PATH`)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from controller.blueprint.attached import own_files
from controller.blueprint.limits import DEFAULT_LIMITS
from controller.blueprint.loader import check_sizes, load_scope
from controller.blueprint.repository import REPOSITORY_FILE, Repository, ScopeConfig, blueprint_files, load_repository
from controller.blueprint.sops import SopsFile
from controller.errors import InvalidInput, Place, Problem
from controller.plan.resource import Allow
from controller.runtime.attaching import Attaching, Kinds, Read
from controller.runtime.planning import Wanted, where_named
from controller.runtime.sops_files import sops_files, with_sops

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read: `files` relative to the root, and what `alma.yaml` there says (or one scope named after it)."""

    root: Path
    repository: Repository
    files: Mapping[str, bytes]
    below: Read  # files of whatever name, for resources that name some

    async def wanted(
        self,
        scope: ScopeConfig,
        targets: Mapping[str, tuple[str, ...]],
        allow: Allow,
        kinds: Kinds,
        offered: frozenset[str] = frozenset(),
    ) -> Wanted:
        """Raises InvalidInput with every mistake at its place. `offered` count only where an entry names them."""
        _targets_are_known(scope, targets)
        own = own_files(self.files)
        kept = blueprint_files(own, scope, self.repository.prices)
        loaded = load_scope({f: own[f] for f in kept}, scope)
        placed = replace(scope, targets=scope.targets or where_named(targets, offered, loaded.entries))
        attaching = Attaching(kinds)
        entries = await attaching.attached(loaded.entries, placed, self.below)
        entries, found = await with_sops(entries, scope, self._file, attaching.documents)
        content = self._content(kept, found)
        wanted = Wanted(scope.name, "worktree", entries, placed.targets, allow, content, scope.outputs)
        return replace(wanted, sops=found)

    async def sops(self, paths: Collection[str]) -> Mapping[str, SopsFile]:
        """The encrypted files at these paths, as they are now. Raises InvalidInput."""
        return await sops_files(paths, self._file, Attaching({}).documents)

    async def _file(self, path: str) -> bytes | None:
        return (await self.below(path)).get(path)

    def _content(self, kept: tuple[str, ...], sops: Mapping[str, SopsFile]) -> str:
        digest = hashlib.sha256("".join(f.blob for _, f in sorted(sops.items())).encode())
        for name in kept:
            digest.update(name.encode() + b"\0" + hashlib.sha256(self.files[name]).digest())
        return digest.hexdigest()[:40]


def _targets_are_known(scope: ScopeConfig, known: Mapping[str, tuple[str, ...]]) -> None:
    problems = [
        Problem(Place(REPOSITORY_FILE), f"scope {scope.name}: no {engine} target {name}; known: {_listed(known)}")
        for engine, names in scope.targets.items()
        for name in names
        if name not in known.get(engine, ())
    ]
    if problems:
        raise InvalidInput(problems, hint="name one of these, or add it under targets in alma-server.yaml")


def _listed(known: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(sorted(f"{name} ({engine})" for engine, names in known.items() for name in names)) or "none"


def read_folder(path: Path) -> Folder:
    """Read a folder, or one file as the only blueprint of a scope named after its folder. Links are not followed, sizes
    are checked before reading. Raises InvalidInput."""
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder", hint="name a folder of blueprints or one blueprint")
    root = path.absolute() if path.is_dir() else path.absolute().parent
    names = sorted(_names(root)) if path.is_dir() else [path.name]
    try:
        check_sizes({n: (root / n).lstat().st_size for n in names}, DEFAULT_LIMITS)
        files = {n: (root / n).read_bytes() for n in names}
    except OSError as e:
        raise InvalidInput(f"{e.filename}: {e.strerror}") from e
    text = files.pop(REPOSITORY_FILE, None)
    return Folder(root, load_repository(text, default_scope=scope_name(root)), files, partial(_below, root))


async def _below(root: Path, path: str) -> Mapping[str, bytes]:
    """The file at `path`, or every regular file below it; links are not followed."""
    return await asyncio.to_thread(_read_below, root, path)


def _read_below(root: Path, path: str) -> dict[str, bytes]:
    start = root / path
    if start.is_symlink() or start.is_file():
        found = [] if start.is_symlink() else [start]
    else:
        found = sorted(f for f in start.rglob("*") if f.is_file() and not f.is_symlink())
    names = [f.relative_to(root).as_posix() for f in found]
    check_sizes({n: (root / n).lstat().st_size for n in names}, DEFAULT_LIMITS)
    return {n: (root / n).read_bytes() for n in names}


def scope_name(root: Path) -> str:
    """The folder's name as a scope may be called."""
    plain = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40].strip("-")
    return plain or "default"


def _names(root: Path) -> Iterator[str]:
    """YAML and JSON below `root`, nothing hidden, no links."""
    for folder, below, names in os.walk(root, followlinks=False):
        below[:] = sorted(d for d in below if not d.startswith(".") and not (Path(folder) / d).is_symlink())
        for name in names:
            full = Path(folder) / name
            if name.endswith(SUFFIXES) and not name.startswith("."):
                relative = full.relative_to(root).as_posix()
                if not stat.S_ISREG(full.lstat().st_mode):
                    raise InvalidInput([Problem(Place(relative), "is a link or no regular file; it is not followed")])
                yield relative
