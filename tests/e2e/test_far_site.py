"""A site that only its worker reaches: planned, deployed, verified, healed and undone through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.far_site import FarSite
from tests.servers.postgres import PostgresServer
from tests.servers.temporal import TemporalServer

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.timeout(300)]

Report = Callable[..., None]


@pytest.fixture
def far(postgres: PostgresServer, temporal: TemporalServer, tmp_path: Path) -> Iterator[FarSite]:
    with ExitStack() as stack:
        yield FarSite(tmp_path, postgres.empty(), temporal.address, stack)


def test_a_scope_is_deployed_healed_and_undone_by_the_worker_of_its_site(far: FarSite) -> None:
    far.worker.start()
    far.controller.start()
    revision = far.push("1.0")
    far.controller.wait_synced(revision)
    assert far.images() == ["web:1.0"] * 3
