"""The process that forks those that die, for every kill sweep."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.forking import Zygote

_SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    """In memory where there is such a place: what the disk does with an fsync is A9's subject, not this one's."""
    base = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    home = Path(tempfile.mkdtemp(prefix="alma-crash-", dir=base))
    running = Zygote(home)
    yield running
    running.close()
    shutil.rmtree(home)
