"""A running emulator with a frozen clock, and root's client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxmox.client import Client, logged_in
from tests.proxmox.serving import Serving


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as running:
        yield running


@pytest.fixture
def pve(serving: Serving) -> Iterator[Client]:
    client = logged_in(serving.url)
    yield client
    client.close()
