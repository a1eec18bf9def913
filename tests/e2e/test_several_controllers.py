"""Controllers on one PostgreSQL: each scope has one at a time, and nothing is lost or doubled when one or the database
dies, or when one was only asleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.serving import Alma
from tests.e2e.sharing import SCOPES, Fleet, everywhere
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def fleet(postgres: PostgresServer, tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path, postgres.empty(), stack)


def synced(alma: Alma, revision: str) -> None:
    for scope in SCOPES:
        alma.wait_synced(revision, scope)


def made_once(fleet: Fleet) -> bool:
    """Every object of the first deploy, and none of them twice."""
    creations = fleet.creations()
    return len(creations) == 3 * len(SCOPES) and set(creations.values()) == {1}


def one_run_each(alma: Alma, revision: str, word: str = "done") -> bool:
    runs = [(r["scope"], r["word"]) for r in alma.runs() if r["revision"] == revision]
    return sorted(runs) == sorted((scope, word) for scope in SCOPES)


def test_a_controller_alone_that_is_killed_in_mid_run_goes_on_and_its_journal_is_whole(
    fleet: Fleet, postgres: PostgresServer, tmp_path: Path
) -> None:
    alma = fleet.make()
    alma.start()
    revision = fleet.checkout.push(everywhere("1.0"))
    alma.wait(lambda: any(alma.scope(s).get("run") for s in SCOPES) and fleet.images(), "the middle of a run")
    alma.kill()
    alma.start()
    synced(alma, revision)
    assert made_once(fleet) and one_run_each(alma, revision)
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


def test_scopes_are_spread_and_one_that_dies_in_mid_run_is_replaced(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B16, I14."""
    for _ in range(2):
        fleet.make().start()
    revision = fleet.checkout.push(everywhere("1.0"))
    fleet.members[0].wait(lambda: any(fleet.members[0].scope(s).get("run") for s in SCOPES), "a run")
    scope = next(s for s in SCOPES if fleet.members[0].scope(s).get("run"))
    victim = fleet.holder(postgres.sql, scope)
    survivor = fleet.other(victim)
    victim.kill()
    synced(survivor, revision)
    assert made_once(fleet) and one_run_each(survivor, revision)
    assert len(set(fleet.holders(postgres.sql).values())) == 1
    victim.start()
    survivor.wait(lambda: len(set(fleet.holders(postgres.sql).values())) == 2, "the scopes are spread again")
    revision = fleet.checkout.push(everywhere("1.1"))
    for member in fleet.members:
        synced(member, revision)
    assert one_run_each(survivor, revision)
    assert "intact" in survivor.cli("journal", "verify")
    report_n("B16 holder killed", 1)
