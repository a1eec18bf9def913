"""Fixtures of the tests of the Proxmox VE engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.proxmox.cluster import Cluster, emulated


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An emulated cluster of three nodes, empty but for images."""
    with emulated(tmp_path) as running:
        yield running
