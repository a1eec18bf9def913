"""The simulated platform at rest: one JSON file that several processes may share.

A write holds the lock, replaces the file as a whole and syncs it, so a kill at any instruction leaves either the old
platform or the new one. A read takes no lock. What cannot be read is `Transient`, never an empty platform (I9).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from engines.engine import Transient, Unclear

FORMAT = "alma.simulation/v1"
LEDGER_ROWS_MAX = 50_000  # an older request is forgotten by the platform
LOCK_WAIT_S = 10.0
LOCK_RETRY_S = 0.005

# {serial, format, calls, objects: {KIND:NAME: record}, ops: {op: task}, ledger: [row], fired: {rule: count}}
Data: TypeAlias = dict[str, Any]
Record: TypeAlias = dict[str, Any]
# Time, size and inode alone may all come again within one tick of the kernel's clock; the serial number, which stands
# in the first bytes of the file, does not.
Stamp: TypeAlias = tuple[int, int, int, bytes]
_HEAD_BYTES = 48


def empty() -> Data:
    """A platform on which nothing was ever made."""
    return {"serial": 0, "format": FORMAT, "calls": 0, "objects": {}, "ops": {}, "ledger": [], "fired": {}}


def forget_oldest(data: Data, rows_max: int) -> None:
    """Keep the newest rows of the ledger and what their requests answered."""
    for row in data["ledger"][:-rows_max]:
        data["ops"].pop(row["op"], None)
    del data["ledger"][:-rows_max]


class World:
    """The state file of one target. `lock_wait_s` bounds how long a write waits for another process."""

    def __init__(self, path: Path, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._new_path = path.with_name(path.name + ".new")
        self._lock_wait_s = lock_wait_s
        self._cached: tuple[Stamp, Data] | None = None

    def read(self) -> Data:
        """The platform now; the caller changes nothing in it. Raises Transient when it cannot be read in full."""
        try:
            with self.path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
                stamp = _stamp(os.fstat(file.fileno()), head)
                if self._cached and self._cached[0] == stamp:
                    return self._cached[1]
                data = _parsed(self.path, head + file.read())
        except FileNotFoundError:
            return self._never_written()
        except OSError as error:
            raise Transient(f"simulation state {self.path} cannot be read: {error.strerror}") from error
        self._cached = (stamp, data)
        return data

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[Data]:
        """The platform under the lock. Only `save` keeps what the caller changes in it. Raises Transient."""
        with contextlib.closing(await self._locked()):
            try:
                yield self.read()
            except BaseException:
                self._cached = None  # may hold half a change that was never saved
                raise

    def save(self, data: Data) -> None:
        """Replace the file by `data`, all or nothing; the lock is held. Raises Transient (nothing was done) or
        Unclear (it stands, but may not survive a power cut)."""
        forget_oldest(data, LEDGER_ROWS_MAX)
        self._cached = None
        data["serial"] += 1
        blob = orjson.dumps(data)
        try:
            _write_synced(self._new_path, blob)
            os.replace(self._new_path, self.path)
        except OSError as error:
            raise Transient(f"simulation state {self.path} cannot be written: {error.strerror}") from error
        try:
            _sync_folder(self.path.parent)
            if not self._lock_path.stat().st_size:
                self._lock_path.write_text("written\n")
            self._cached = (_stamp(os.stat(self.path), blob[:_HEAD_BYTES]), data)
        except OSError as error:
            raise Unclear(f"simulation state {self.path} may not be on disk: {error.strerror}") from error

    def _never_written(self) -> Data:
        """A lock that says `written` beside no file: the platform was taken away, it is not empty."""
        with contextlib.suppress(FileNotFoundError):
            if self._lock_path.stat().st_size:
                raise Transient(
                    f"simulation state {self.path} is gone; restore it, or remove {self._lock_path} to begin anew"
                )
        return empty()

    async def _locked(self) -> _Lock:
        for _ in range(max(1, int(self._lock_wait_s / LOCK_RETRY_S))):
            lock = _try_lock(self._lock_path)
            if lock is not None:
                return lock
            await asyncio.sleep(LOCK_RETRY_S)
        raise Transient(f"simulation state {self.path} is held by another process", retry_after_s=1.0)


class _Lock:
    """An open file description that holds the lock; the kernel lets it go when its process dies."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)


def _try_lock(path: Path) -> _Lock | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Transient(f"simulation state: {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        raise Transient(f"simulation state: {path} cannot be locked: {error.strerror}") from error
    return _Lock(fd)


def _parsed(path: Path, blob: bytes) -> Data:
    try:
        data = orjson.loads(blob)
    except orjson.JSONDecodeError as error:
        raise Transient(f"simulation state {path} is damaged: {error.msg} at byte {error.pos}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or not _whole(data):
        raise Transient(f"simulation state {path} is not of format {FORMAT}")
    return data


def _whole(data: Data) -> bool:
    return all(isinstance(data.get(part), type(value)) for part, value in empty().items())


def _stamp(stat: os.stat_result, head: bytes) -> Stamp:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, head


def _write_synced(path: Path, blob: bytes) -> None:
    with path.open("wb") as file:
        path.chmod(0o600)
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
