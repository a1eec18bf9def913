"""Controllers on one PostgreSQL: each scope has one of them, whichever dies or sleeps, and none waits for a poll."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.sharing import SCOPES, Fleet, everywhere, one_run_each
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres


def test_scopes_are_spread_and_one_that_dies_in_mid_run_is_replaced(
    fleet: Fleet, postgres: PostgresServer, report_n: Callable[..., None]
) -> None:
    """B16, I14."""
    for _ in range(2):
        fleet.make().start()
    revision = fleet.checkout.push(everywhere("1.0"))
    victim = fleet.in_the_middle(postgres.sql)
    survivor = fleet.other(victim)
    victim.kill()
    fleet.synced(survivor, revision)
    assert fleet.made_once() and one_run_each(survivor, revision)
    assert len(set(fleet.holders(postgres.sql).values())) == 1
    victim.start()
    survivor.wait(lambda: len(set(fleet.holders(postgres.sql).values())) == 2, "the scopes are spread again")
    revision = fleet.checkout.push(everywhere("1.1"))
    for member in fleet.members:
        fleet.synced(member, revision)
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
    sleeper = fleet.in_the_middle(postgres.sql)
    other = fleet.other(sleeper)
    sleeper.freeze()
    try:
        fleet.synced(other, revision)
        assert fleet.made_once() and one_run_each(other, revision)
    finally:
        sleeper.thaw()
    sleeper.wait(lambda: "begins anew" in sleeper.said(), "it notices")
    other.wait(lambda: len(set(fleet.holders(postgres.sql).values())) == 2, "it has its share again")
    assert fleet.made_once() and one_run_each(other, revision)
    newer = fleet.checkout.push(everywhere("1.1"))
    fleet.synced(other, newer)
    assert one_run_each(other, newer)
    assert "Traceback" not in sleeper.said() + other.said()
    assert "intact" in other.cli("journal", "verify")
    report_n("B16 holder stopped", 1)


def test_work_that_comes_up_at_one_controller_wakes_the_holder(fleet: Fleet, postgres: PostgresServer) -> None:
    """No controller polls here: what one hears of and another one holds gets there by a notification."""
    fleet.interval = "1h"
    for _ in range(2):
        fleet.make().start()
    one = fleet.members[0]
    revision = fleet.checkout.push(everywhere("1.0"))
    for member in fleet.members:
        fleet.synced(member, revision)
    one.wait(lambda: set(fleet.holders(postgres.sql).values()) == {"c0", "c1"}, "each has its share")
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
