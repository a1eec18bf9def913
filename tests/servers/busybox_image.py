"""Images made of nothing but a static busybox, so a test needs no registry on the internet."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
WEB_PORT = 8080

# The first process of a container has no default handler for TERM: without the trap each stop takes its full grace.
_HTTPD = f"trap 'exit 0' TERM; httpd -f -p {WEB_PORT} -h /www & wait"
_SLEEP = "trap 'exit 0' TERM; sleep 86400 & wait"
_SILENT = f"trap 'exit 0' TERM; nc -ll -p {WEB_PORT} -e sleep 86400 & wait"


@dataclass(frozen=True, slots=True)
class BusyboxImage:
    """`reference` runs `script` in a shell; `/www/index.html` says `reference`. `changes` are Dockerfile lines."""

    reference: str
    script: str = _HTTPD
    changes: tuple[str, ...] = (f"EXPOSE {WEB_PORT}",)


IMAGES = (
    BusyboxImage("alma-test/web:1.0"),
    BusyboxImage("alma-test/web:1.1"),
    BusyboxImage("alma-test/web:1.2"),
    BusyboxImage("alma-test/web:broken", _SLEEP),  # runs, but nothing ever listens
    BusyboxImage("alma-test/web:silent", _SILENT),  # accepts connections and never answers
    BusyboxImage("alma-test/web:crash", "exit 1"),  # ends at once
    BusyboxImage("alma-test/db:1.0", _HTTPD, (f"EXPOSE {WEB_PORT}", "VOLUME /data")),
    BusyboxImage(
        "alma-test/web:healthcheck",
        _HTTPD,
        (f"EXPOSE {WEB_PORT}", f"HEALTHCHECK --interval=1s CMD wget -q -O /dev/null http://127.0.0.1:{WEB_PORT}/"),
    ),
)


def root_file_system(page: str) -> bytes:
    """A tar with busybox, a link for each of its applets, and `page` as `/www/index.html`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "data", "etc", "tmp", "www"):
            _add_folder(tar, folder)
        _add_file(tar, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        _add_file(tar, "www/index.html", page.encode(), 0o644)
        _add_file(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nalma:x:1000:1000:alma:/:/bin/sh\n", 0o644)
        for applet in _applets():
            _add_link(tar, f"bin/{applet}", "busybox")
    return out.getvalue()


def _applets() -> list[str]:
    listed = subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True, timeout=30)
    return [name for name in listed.stdout.split() if name != "busybox"]


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
