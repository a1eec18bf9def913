"""A Debian base image made from Debian's packages alone, kept between test runs beside the built servers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.go_server import cache_root
from tests.servers.process import NotStarted

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3")
_UNREAD = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")  # left out: half of the files
_TIMEOUT_S = 600.0


def missing() -> str | None:
    """Why no base image can be made here, or None."""
    absent = [tool for tool in ("mmdebstrap", "make") if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)} (python -m tests.servers.system)" if absent else None


def debian_base() -> Path:
    """A tar of a minimal Debian with Python; made once. Raises NotStarted when that fails."""
    name = hashlib.sha256("\0".join((_SUITE, *_PACKAGES, *_UNREAD)).encode()).hexdigest()[:16]
    final = cache_root() / f"debian-{name}.tar"
    if not final.exists():
        cache_root().mkdir(parents=True, exist_ok=True)
        _make(final)
    return final


def _make(final: Path) -> None:
    handle, partial = tempfile.mkstemp(prefix="debian-partial-", suffix=".tar", dir=cache_root())
    os.close(handle)
    left_out = [f"--dpkgopt=path-exclude={path}" for path in _UNREAD]
    include = f"--include={','.join(_PACKAGES)}"
    command = ["mmdebstrap", "--variant=minbase", include, *left_out, "--quiet", _SUITE, partial]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        if done.returncode:
            raise NotStarted(f"mmdebstrap: {done.stderr[-2000:]}")
        Path(partial).rename(final)
    finally:
        Path(partial).unlink(missing_ok=True)
