"""Config files on their way into a container and back: a tar with one time of change, which is the mark of its op.
Pure."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass


def time_of(op: str) -> int:
    """A time of change that only this op gives its files (seconds, years 2000 to 2017): the mark of a put, by which
    it is found again."""
    return 946_684_800 + int.from_bytes(hashlib.sha256(op.encode()).digest()[:4], "big") % 2**29


def archive(files: Mapping[str, Mapping[str, str]], time_s: int) -> bytes:
    """A tar of config files, owned by root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, one in sorted(files.items()):
            content = str(one["content"]).encode()
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(content), int(one["mode"], 8), time_s
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@dataclass(frozen=True, slots=True)
class PutFile:
    """One file as it stands in a container."""

    content: str
    mode: str
    time_s: int


def unpacked(content: bytes) -> PutFile | None:
    """The one file in a tar, or None if it holds none."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            if entry.isfile() and (handle := tar.extractfile(entry)) is not None:
                text = handle.read().decode("utf-8", "replace")
                return PutFile(text, f"{entry.mode & 0o777:04o}", int(entry.mtime))
    return None
