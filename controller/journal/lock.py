"""One process at a time: an advisory lock on a file, refused where such locks cannot be trusted (B17)."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

from controller.errors import AlmaError

MOUNTS = Path("/proc/self/mountinfo")

# File systems on which another machine may hold the same lock, or on which locks are not kept at all.
_NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|9p|afs|ceph|lustre|gfs2?|ocfs2|glusterfs|beegfs|gpfs|pvfs2|orangefs|davfs"
    r"|fuse\.(sshfs|glusterfs|ceph|ceph-fuse|s3fs|rclone|davfs2?|smbnetfs|curlftpfs|juicefs|gcsfuse|cifs|nfs)"
)


class LockHeld(AlmaError):
    """Another process works on this; its pid is in the text."""


class FileLock:
    """Held until `release` or the end of the process, kill included. Never waits."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path, *, mounts: Path = MOUNTS) -> FileLock:
        """Take the lock, making the file and its directory if need be. Raises LockHeld at once when another process
        has it, AlmaError when the directory cannot be written or lies on a network file system."""
        _prepare(path.parent, mounts)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise AlmaError(f"{path}: {error.strerror}", hint="check the path and its rights") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise _refusal(path, holder, error) from None
        lock = cls(path, fd)
        if not lock.intact():  # the file was removed between open and flock: what we hold is not what others see
            os.close(fd)
            raise LockHeld(f"{path} changed while it was taken", hint="try again")
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return lock

    def intact(self) -> bool:
        """True if this process still holds the lock and the path still leads to the locked file."""
        if self._fd < 0:
            return False
        try:
            held, there = os.fstat(self._fd), os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files under one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def file_system(path: Path, mountinfo: str) -> str:
    """The type of the file system `path` (absolute, resolved) lies on, by the kernel's mount table; "" if unknown."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        if len(parts) < 5 or not rest:
            continue
        point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), parts[4])
        inside = point == "/" or path == Path(point) or Path(point) in path.parents
        if inside and len(point) >= len(best):  # of two mounts on one point the later one is on top
            best, kind = point, rest.split(" ")[0]
    return kind


def is_network(kind: str) -> bool:
    """True for file systems where a lock of this machine may mean nothing to another."""
    return bool(_NETWORK.fullmatch(kind))


def _prepare(directory: Path, mounts: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = file_system(directory.resolve(), mounts.read_text()) if mounts.exists() else ""
    except OSError as error:
        raise AlmaError(f"{directory}: {error.strerror}", hint="check the path and its rights") from None
    if is_network(kind):
        raise AlmaError(
            f"{directory} lies on a network file system ({kind}), where locks cannot be trusted",
            hint="choose a directory on a local disk with --state or $ALMA_STATE",
        )


def _refusal(path: Path, holder: str, error: OSError) -> AlmaError:
    if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
        return AlmaError(f"{path}: cannot be locked: {error.strerror}", hint="choose a directory on a local disk")
    who = f"process {holder}" if holder.isdigit() else "another process"
    return LockHeld(f"{path} is in use by {who}", hint="use that controller (its socket), or stop it first")
