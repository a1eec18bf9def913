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
    if not postgres.answers():
        postgres.start()


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


def in_the_middle(fleet: Fleet, postgres: PostgresServer) -> Alma:
    """Waits for a run; the controller that carries it."""
    watching = fleet.members[0]
    watching.wait(lambda: any(watching.scope(s).get("run") for s in SCOPES), "a run")
    return fleet.holder(postgres.sql, next(s for s in SCOPES if watching.scope(s).get("run")))


def test_scopes_are_spread_and_one_that_dies_in_mid_run_is_replaced(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B16, I14."""
    for _ in range(2):
        fleet.make().start()
    revision = fleet.checkout.push(everywhere("1.0"))
    victim = in_the_middle(fleet, postgres)
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


def test_a_holder_that_slept_beyond_its_lease_does_nothing_more_and_begins_anew(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B16: it is stopped in mid-run, and goes on after another one has finished its run."""
    for _ in range(2):
        fleet.make().start()
    revision = fleet.checkout.push(everywhere("1.0"))
    sleeper = in_the_middle(fleet, postgres)
    other = fleet.other(sleeper)
    sleeper.freeze()
    try:
        synced(other, revision)
        assert made_once(fleet) and one_run_each(other, revision)
    finally:
        sleeper.thaw()
    sleeper.wait(lambda: "begins anew" in sleeper.said(), "it notices")
    other.wait(lambda: len(set(fleet.holders(postgres.sql).values())) == 2, "it has its share again")
    assert made_once(fleet) and one_run_each(other, revision)
    newer = fleet.checkout.push(everywhere("1.1"))
    synced(other, newer)
    assert one_run_each(other, newer)
    assert "Traceback" not in sleeper.said() + other.said()
    assert "intact" in other.cli("journal", "verify")
    report_n("B16 holder stopped", 1)


def test_a_database_that_is_killed_in_mid_run_stops_it_and_it_goes_on_afterwards(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B14, I22: without the journal nothing new is sent; with it again the run ends as if nothing had been."""
    alma = fleet.make()
    alma.start()
    revision = fleet.checkout.push(everywhere("1.0"))
    in_the_middle(fleet, postgres)
    postgres.kill()
    alma.wait(lambda: "journal unavailable" in alma.said(), "it notices")
    before = fleet.creations()
    postgres.start()
    synced(alma, revision)
    assert made_once(fleet) and one_run_each(alma, revision)
    assert sum((fleet.creations() - before).values()) > 0
    assert "intact" in alma.cli("journal", "verify")
    assert "Traceback" not in alma.said()
    report_n("B14 database killed in mid-run", 1)


def test_work_that_comes_up_at_one_controller_wakes_the_holder(fleet: Fleet, postgres: PostgresServer) -> None:
    """No controller polls here: what one hears of and another one holds gets there by a notification."""
    fleet.interval = "1h"
    for _ in range(2):
        fleet.make().start()
    one = fleet.members[0]
    revision = fleet.checkout.push(everywhere("1.0"))
    for member in fleet.members:
        synced(member, revision)
    assert set(fleet.holders(postgres.sql).values()) == {"c0", "c1"}
    fleet.checkout.push({f"{s}/shop.yaml": everywhere("1.1")[f"{s}/shop.yaml"] for s in SCOPES}, "ipr/next")
    one.wait(lambda: [p["number"] for p in one.ask("ipr.list")["iprs"]] == [1], "the pull request")
    one.wait(lambda: one.ask("ipr.show", number=1)["comment"], "the review")
    for member in fleet.members:
        member.cli("ipr", "comment", "1", "/alma help")
    one.cli("ipr", "merge", "1")
    one.wait(lambda: one.ask("ipr.show", number=1)["final"], "the final state")
    shown = fleet.members[1].cli("ipr", "show", "1")
    assert shown.count("Final state: done") == 1
    assert fleet.images() == ["web:1.1"] * 3 * len(SCOPES)
