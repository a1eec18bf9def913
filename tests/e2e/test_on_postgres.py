"""One controller on PostgreSQL: killed, or its database killed, in the middle of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.sharing import SCOPES, Fleet, everywhere, one_run_each
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def test_a_controller_alone_that_is_killed_in_mid_run_goes_on_and_its_journal_is_whole(
    fleet: Fleet, postgres: PostgresServer, tmp_path: Path
) -> None:
    alma = fleet.make()
    alma.start()
    revision = fleet.checkout.push(everywhere("1.0"))
    alma.wait(lambda: any(alma.scope(s).get("run") for s in SCOPES) and fleet.images(), "the middle of a run")
    alma.kill()
    alma.start()
    fleet.synced(alma, revision)
    assert fleet.made_once() and one_run_each(alma, revision)
    assert "intact" in alma.cli("journal", "verify")
    alma.stop()
    assert fleet.holders(postgres.sql) == {}
    told = [alma.cli("status"), alma.cli("doctor"), alma.cli("journal", "verify"), alma.cli("config", "show")]
    assert "synced" in told[0] and "intact" in told[2]
    export = tmp_path / "chain.jsonl"
    export.write_text(alma.cli("journal", "export"))
    assert "intact" in alma.cli("journal", "verify", str(export))
    everything = "".join(told) + export.read_text() + alma.said()
    assert "canary" not in everything and "postgresql://alma:***@" in told[3]


def test_a_database_that_is_killed_in_mid_run_stops_it_and_it_goes_on_afterwards(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B14, I22: without the journal nothing new is sent; with it again the run ends as if nothing had been."""
    alma = fleet.make()
    alma.start()
    revision = fleet.checkout.push(everywhere("1.0"))
    fleet.in_the_middle(postgres.sql)
    postgres.kill()
    alma.wait(lambda: "journal unavailable" in alma.said(), "it notices")
    before = fleet.creations()
    postgres.start()
    fleet.synced(alma, revision)
    assert fleet.made_once() and one_run_each(alma, revision)
    assert sum((fleet.creations() - before).values()) > 0
    assert "intact" in alma.cli("journal", "verify")
    assert "Traceback" not in alma.said()
    report_n("B14 database killed in mid-run", 1)
