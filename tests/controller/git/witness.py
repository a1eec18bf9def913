"""Sees what a test must prove did not happen: programs started, sockets opened, files outside opened.

Python's audit events tell what Python does; libgit2 opens files by itself, so the kernel is asked too (inotify).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "pty.spawn")
_CALLS = ("socket.connect", "socket.getaddrinfo", "socket.bind")


@dataclass
class Witness:
    """`started` and `called` name audit events, `addresses` what was connected to or looked up; `opened` counts files
    opened in the watched folders."""

    watched: tuple[Path, ...] = ()
    looking: bool = False
    started: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    addresses: list[object] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    def audit(self, event: str, args: tuple[object, ...]) -> None:
        if not self.looking:
            return
        if event in _STARTS:
            self.started.append(event)
        elif event in _CALLS:
            self.called.append(event)
            self.addresses.append(args[:2] if event == "socket.getaddrinfo" else args[1])
        elif event == "open" and isinstance(args[0], str | os.PathLike):
            named = os.path.realpath(args[0])
            if any(named.startswith(str(folder)) for folder in self.watched):
                self.opened.append(named)


WITNESS = Witness()
sys.addaudithook(WITNESS.audit)


@contextmanager
def witnessing(*outside: Path) -> Iterator[Witness]:
    """Look on while the body runs; `outside` are folders in which nothing may be opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_NONBLOCK)
    assert inotify >= 0
    for folder in outside:
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            assert libc.inotify_add_watch(inotify, os.fsencode(each), _IN_OPEN | _IN_ACCESS) >= 0
    WITNESS.watched, WITNESS.started, WITNESS.called, WITNESS.opened = outside, [], [], []
    WITNESS.addresses = []
    WITNESS.looking = True
    try:
        yield WITNESS
    finally:
        WITNESS.looking = False
        try:
            events = os.read(inotify, 65536)
            WITNESS.opened.append(f"{len(events)} bytes of events")
        except BlockingIOError:
            events = b""
        os.close(inotify)
