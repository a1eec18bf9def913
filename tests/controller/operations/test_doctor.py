"""The doctor names what is not as it should be, and the step that mends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.errors import RefusedByPolicy
from controller.operations.access import os_actor
from controller.plan.resource import ObjectKey
from engines.simulation import tamper as by_hand
from engines.simulation.world import World
from tests.controller.runtime.estate import (
    ALMA_YAML,
    DB,
    WEB,
    WEB_BROKEN,
    Estate,
    Repo,
    blueprint,
    estate,
)

SHOP = "prod/shop.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB, DB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


async def checks(home: Estate) -> list[dict[str, Any]]:
    told = await home.ask("doctor")
    assert told["format"] == "alma.doctor/v1"
    return list(told["checks"])


async def ill(home: Estate) -> list[str]:
    return [
        f"{c['state']} {c['what']}: {c['detail']} → {c['next_step']}" for c in await checks(home) if c["state"] != "ok"
    ]


async def test_all_is_well_after_a_deploy(home: Estate) -> None:
    assert await ill(home) == []
    assert [c["what"] for c in await checks(home)] == ["journal", "repository infra", "scope prod", "target sim"]


async def test_a_quarantine_comes_with_what_lifts_it(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN, DB)})
    await home.settle(60)
    assert await ill(home) == [
        "look scope prod: 1 contents are in quarantine → push other content, merge the revert, or: alma retry prod"
    ]


async def test_a_waiting_run_comes_with_its_confirmation(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB)})
    await home.settle()
    run = (await home.runs())[-1]
    [told] = await ill(home)
    assert told.startswith(f"look scope prod: run {run.run} waits: ") and told.endswith(f"→ alma confirm {run.run}")


async def test_what_a_person_stopped_and_what_is_parked_are_named(home: Estate) -> None:
    await home.ask("pause", scope="prod", reason="looking")
    records = home.controller.install.records
    await records.save("t", replace(await home.scope(), parked="abcdefabcdef", contested=True))
    told = "\n".join(await ill(home))
    assert "paused by" in told and "alma resume prod" in told
    assert "bad scope prod: parked by run abcdefabcdef" in told and "alma unlock abcdefabcdef" in told
    assert "contested" in told


async def test_live_objects_that_the_journal_does_not_know_are_named(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    for file in (tmp_path / "state").glob("alma.db*"):
        file.unlink()
    async with estate(repo, tmp_path / "state") as home:
        [told] = await ill(home)
        assert told.startswith(
            "look target sim: scope prod, which the journal does not know, owns simulation/container:"
        )
        assert "alma reconcile prod" in told


async def test_a_verified_object_that_is_gone_is_named(home: Estate) -> None:
    world = World(home.state / "simulation" / "sim.json")
    await by_hand.remove(world, ObjectKey("simulation/database", "prod-shop-db"))
    assert await ill(home) == [
        "look target sim: verified of scope prod and not here: prod/shop/db → alma reconcile prod"
    ]


async def test_the_doctor_changes_nothing(home: Estate) -> None:
    world, head = home.world, home.controller.install.journal.head
    await checks(home)
    assert (home.world, home.controller.install.journal.head) == (world, head)


async def test_who_may_only_read_is_not_told(home: Estate) -> None:
    reader = os_actor("rita", ())
    with pytest.raises(RefusedByPolicy):
        await home.ask("doctor", reader)
    with pytest.raises(RefusedByPolicy):
        await home.ask("journal.verify", reader)
