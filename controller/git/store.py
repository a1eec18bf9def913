"""The mirror's directory: made, mended and replaced here. It is a cache: losing it costs one fetch (B23)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import pygit2

from controller.errors import InvalidInput
from controller.git.objects import GIT_ERRORS, Damaged, reading
from controller.git.url import RemoteUrl

_URL: Final = "alma.mirror"
_PACKS_MOST = 20
_SMALL_BYTES = 16 * 2**20  # a larger pack is left as it is: to write it again takes longer than it saves


class Store:
    """A bare repository at `path` for one remote; one handle per thread. Only the mirror's threads call it."""

    def __init__(self, path: Path, url: RemoteUrl) -> None:
        self.path = path
        self._url = url
        self._handles = threading.local()
        self._making = threading.Lock()
        self._cleared = False
        self._ready = False
        self.generation = 0

    def repository(self) -> pygit2.Repository:
        """This thread's handle. Raises Damaged when what is on disk is no repository of ours any more."""
        with self._making:
            if not self._ready:
                self._prepare()
                self._ready = True
        kept: tuple[int, pygit2.Repository] | None = getattr(self._handles, "kept", None)
        if kept is None or kept[0] != self.generation:
            if kept:
                kept[1].free()  # it is part of a cycle: its files would stay open until the collector comes by
            kept = (self.generation, _opened(self.path))
            self._handles.kept = kept
        return kept[1]

    def fresh(self) -> pygit2.Repository:
        """An empty repository beside the present one, to be filled and then put in its place."""
        shutil.rmtree(self._beside("new"), ignore_errors=True)
        return _made(self._beside("new"), self._url)

    def replace(self) -> None:
        """Put the fresh repository in place. A kill in between leaves no mirror, and the next start makes one."""
        old = self._beside("old")
        shutil.rmtree(old, ignore_errors=True)
        if self.path.exists():
            self.path.rename(old)
        self._beside("new").rename(self.path)
        self.generation += 1
        shutil.rmtree(old, ignore_errors=True)

    def sweep(self) -> None:
        """Take away what a killed process left: lock files, unfinished packs. No other process writes here."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/*.lock", "objects/pack/pack_*", "objects/pack/tmp_*"):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)

    def gather(self) -> None:
        """One pack in the place of many small ones: each fetch brings one, and libgit2 keeps every one of them open.

        A kill in between leaves what is there twice, and the next time gathers it again.
        """
        folder = self.path / "objects" / "pack"
        before = {*folder.glob("*.pack")}
        small = [p for p in before if p.stat().st_size <= _SMALL_BYTES]
        if len(small) <= _PACKS_MOST:
            return
        repo = self.repository()
        with reading("the mirror's packs"):
            repo.pack(pack_delegate=self._all_of(small))
        if before == {*folder.glob("*.pack")}:
            return  # one of them holds all of it already
        for pack in small:
            for suffix in (".idx", ".pack", ".rev", ".keep"):  # without its index nobody looks for a pack
                pack.with_suffix(suffix).unlink(missing_ok=True)
        self.generation += 1  # every thread opens what is there now

    def _all_of(self, packs: Collection[Path]) -> Callable[[pygit2.PackBuilder], None]:
        """Puts every object of `packs` into a new one."""
        oids = self._objects_of(packs)

        def add(builder: pygit2.PackBuilder) -> None:
            for oid in oids:
                builder.add(oid)

        return add

    def _objects_of(self, packs: Collection[Path]) -> list[pygit2.Oid]:
        beside = self._beside("packs")
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "pack").mkdir(parents=True)
        for file in (f for pack in packs for f in (pack, pack.with_suffix(".idx"))):
            (beside / "pack" / file.name).hardlink_to(file)
        try:
            return list(pygit2.Odb(str(beside)))
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _prepare(self) -> None:
        if not self._cleared:  # once: later they may be a rebuild that is under way
            for name in ("new", "old", "packs"):
                shutil.rmtree(self._beside(name), ignore_errors=True)
            self._cleared = True
        if self.path.exists() and not self._ours():
            raise InvalidInput(f"{self.path} holds something that is no mirror", hint="name an empty directory")
        if not self.path.exists() or not self._same_remote():
            self.fresh()
            self.replace()

    def _ours(self) -> bool:
        if not self.path.is_dir():
            return False
        names = {entry.name for entry in self.path.iterdir()}
        return not names or bool(names & {"objects", "HEAD", "alma-mirror"})

    def _same_remote(self) -> bool:
        if not any(self.path.iterdir()):
            return False
        repo = _opened(self.path)
        with reading("the mirror's settings"):
            return bool(repo.config[_URL] == self._url.text)

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")


def _opened(path: Path) -> pygit2.Repository:
    try:
        return pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.BARE)
    except GIT_ERRORS as error:
        raise Damaged(f"the mirror {path} cannot be opened") from error


def _made(path: Path, url: RemoteUrl) -> pygit2.Repository:
    path.parent.mkdir(parents=True, exist_ok=True)
    repo = pygit2.init_repository(str(path), bare=True)
    repo.config[_URL] = url.text
    (path / "alma-mirror").write_text("A cache of the remote named in `config`; it may be deleted.\n")
    return repo
