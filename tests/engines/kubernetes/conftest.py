"""Fixtures of the kill sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.commands import Zygote
from tests.engines.kubernetes.kill_sweep import Place
from tests.servers.kubernetes import ControlPlane


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    running = Zygote("kubernetes")
    yield running
    running.close()


@pytest.fixture
def place(tmp_path: Path, cluster: ControlPlane) -> Place:
    return Place(tmp_path, cluster)
