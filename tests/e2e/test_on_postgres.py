"""One controller on PostgreSQL: killed, or its database killed, in the middle of runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.journal.journal import Document, Journal
from controller.journal.shared_lease import LEASE
from tests.e2e.sharing import SCOPES, Fleet, everywhere, one_run_each
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def hold_elsewhere(journal: str, state: Path, scope: str) -> None:
    """Another process took the scope and has not given it back."""
    state.mkdir()

    async def hold() -> None:
        opened = await Journal.open(journal, state, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
        await opened.append(f"lease:{scope}", [], [Document(LEASE, scope, {"controller": "elsewhere"})])
        await opened.close()

    asyncio.run(hold())


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


def test_a_deploy_by_hand_holds_its_scope_while_it_runs_and_is_refused_where_another_machine_does(
    fleet: Fleet, postgres: PostgresServer, tmp_path: Path
) -> None:
    """I13, I14: from a state folder of its own, as on a machine without a controller."""
    alma = fleet.make()
    folder = tmp_path / "by-hand"
    folder.mkdir()
    (folder / "shop.yaml").write_text(str(everywhere("1.0")["red/shop.yaml"]))
    assert "3 to create" in alma.cli("deploy", str(folder), "--yes")
    assert fleet.images() == ["web:1.0"] * 3
    assert postgres.sql("SELECT count(*) FROM documents WHERE kind LIKE 'journal.lease%'") == "0"
    hold_elsewhere(fleet.journal, tmp_path / "other", "by-hand")
    (folder / "shop.yaml").write_text(str(everywhere("1.1")["red/shop.yaml"]))
    assert "scope by-hand is held by another controller" in alma.cli("deploy", str(folder), "--yes", status=1)
    assert fleet.images() == ["web:1.0"] * 3


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
