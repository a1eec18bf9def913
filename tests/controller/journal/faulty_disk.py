"""A disk that remembers every write and sync of SQLite, and fails one of them when told.

It is SQLite's own default file system with three methods of each open file replaced, so that everything above it (the
library, its driver, the journal) is the real thing.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, ClassVar

FULL, READ_ONLY, WRITE_ERROR, SYNC_ERROR = 13, 8, 778, 1034  # SQLite's result codes

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_Close = ctypes.CFUNCTYPE(_I, _P)
_Write = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_Truncate = ctypes.CFUNCTYPE(_I, _P, _L)
_Sync = ctypes.CFUNCTYPE(_I, _P, _I)
# The path stays the caller's own pointer: SQLite keeps it for as long as the file is open.
_Open = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)


class _Methods(ctypes.Structure):
    _fields_: ClassVar[Any] = [("iVersion", _I), ("xClose", _Close), ("xRead", _P), ("xWrite", _Write),
        ("xTruncate", _Truncate), ("xSync", _Sync), *((f"rest{n}", _P) for n in range(13))]  # fmt: skip


class _File(ctypes.Structure):
    _fields_: ClassVar[Any] = [("methods", ctypes.POINTER(_Methods))]


class _Vfs(ctypes.Structure):
    _fields_: ClassVar[Any] = [("iVersion", _I), ("szOsFile", _I), ("mxPathname", _I), ("pNext", _P),
        ("zName", ctypes.c_char_p), ("pAppData", _P), ("xOpen", _Open),
        *((f"rest{n}", _P) for n in range(15))]  # fmt: skip


@dataclass
class Disk:
    """`log` holds (what, file name) in order: write, truncate, sync, and whatever the test adds. The `fail_at`-th one
    from now on (counted from 1) fails with `code`, once, or with `lasting` every one from there."""

    log: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0
    fail_at: int = 0
    code: int = FULL
    lasting: bool = False
    failed: int = 0

    def arm(self, at: int, code: int, *, lasting: bool = False) -> None:
        self.seen, self.fail_at, self.code, self.lasting, self.failed = 0, at, code, lasting, 0

    def mend(self) -> None:
        self.fail_at = 0

    def verdict(self, what: str, name: str) -> int:
        self.seen += 1
        due = self.fail_at and (self.seen == self.fail_at or (self.lasting and self.seen > self.fail_at))
        self.failed += bool(due)
        self.log.append((f"{what} failed" if due else what, name))
        return self.code if due else 0


@contextmanager
def faulty_disk() -> Iterator[Disk]:
    """Every database opened inside lies on the returned disk."""
    library = ctypes.CDLL(_sqlite3.__file__)  # finds the very library that the driver uses
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    real = library.sqlite3_vfs_find(None)
    disk = Disk()
    shim, keep = _shim(real.contents, disk)
    assert library.sqlite3_vfs_register(ctypes.byref(shim), 1) == 0
    try:
        yield disk
    finally:
        library.sqlite3_vfs_register(real, 1)
        library.sqlite3_vfs_unregister(ctypes.byref(shim))
        keep.clear()


def _shim(real: _Vfs, disk: Disk) -> tuple[_Vfs, list[object]]:
    shim = _Vfs.from_buffer_copy(real)
    keep: list[object] = [shim]
    cache: dict[tuple[int, str], _Methods] = {}

    def opened(vfs: int, path: int | None, file: int, flags: int, out: int) -> int:
        code = int(real.xOpen(vfs, path, file, flags, out))
        name = PurePath(ctypes.string_at(path).decode()).name if path else "temporary"
        handle = ctypes.cast(file, ctypes.POINTER(_File)).contents
        if code == 0 and handle.methods:
            at = ctypes.addressof(handle.methods.contents), name
            if at not in cache:
                cache[at] = _watched(handle.methods.contents, name, disk, keep)
            handle.methods = ctypes.pointer(cache[at])
        return code

    shim.zName = b"faulty"
    shim.xOpen = _Open(opened)
    keep += [shim.xOpen, cache]
    return shim, keep


def _watched(real: _Methods, name: str, disk: Disk, keep: list[object]) -> _Methods:
    watched = _Methods.from_buffer_copy(real)

    def before(what: str, act: Callable[..., int]) -> Callable[..., int]:
        def acted(*arguments: Any) -> int:
            return disk.verdict(what, name) or act(*arguments)

        return acted

    watched.xWrite = _Write(before("write", real.xWrite))
    watched.xTruncate = _Truncate(before("truncate", real.xTruncate))
    watched.xSync = _Sync(before("sync", real.xSync))
    keep += [watched, watched.xWrite, watched.xTruncate, watched.xSync, real]
    return watched
