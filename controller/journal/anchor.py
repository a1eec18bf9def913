"""The head of the chain, kept in a file outside the database, so that a cut-off tail or a re-written chain shows
(I24, I46).

The file holds two lines of fixed length that are overwritten in turn, so a torn write leaves the older one. It may
be behind the database (a kill between commit and anchor), never ahead of it.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from controller.journal.failure import JournalDamaged, JournalUnavailable

_LINE_BYTES = 128
SYNC_EVERY = 100  # records between two fsyncs of the anchor; every commit is written at once


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record: its number and its hash. `Head(0, GENESIS)` is the empty journal."""

    seq: int
    hash: bytes


class AnchorFile:
    """One anchor on disk. Raises JournalUnavailable when the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0
        self._synced_seq = -1

    def read(self) -> Head | None:
        """The newest whole line; None if there is no file. Raises JournalDamaged when no line is whole."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(error) from None
        heads = [h for at in (0, _LINE_BYTES) if (h := _parse(text[at : at + _LINE_BYTES]))]
        if not heads:
            raise JournalDamaged(f"the anchor file {self.path.name} holds no whole line")
        return max(heads, key=lambda h: h.seq)

    def create(self, head: Head) -> None:
        """A new file that holds `head` twice, durable on return."""
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, _line(head) * 2)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(fresh, self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise _unavailable(error) from None
        self._synced_seq = head.seq

    def write(self, head: Head, *, sync: bool = False) -> None:
        """Overwrite the older line. Durable at once with `sync`, and whenever SYNC_EVERY records have passed."""
        sync = sync or head.seq - self._synced_seq >= SYNC_EVERY
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, _line(head), _LINE_BYTES * (self._written % 2))
                if sync:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise _unavailable(error) from None
        self._written += 1
        self._synced_seq = head.seq if sync else self._synced_seq


def _line(head: Head) -> bytes:
    text = f"{head.seq:020d} {head.hash.hex()}"
    return f"{text} {zlib.crc32(text.encode()):08x}".encode().ljust(_LINE_BYTES - 1) + b"\n"


def _parse(line: bytes) -> Head | None:
    parts = line.split()
    if len(line) != _LINE_BYTES or len(parts) != 3:
        return None
    try:
        head = Head(int(parts[0]), bytes.fromhex(parts[1].decode("ascii")))
    except ValueError:
        return None
    return head if _line(head) == line else None


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unavailable(error: OSError) -> JournalUnavailable:
    return JournalUnavailable(f"the anchor file: {error.strerror or type(error).__name__}")
