"""What the loop does with merges, failures, drift, pauses and people, on the simulation engine and virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from controller.errors import AlmaError, RefusedByPolicy
from controller.operations.access import os_actor
from controller.plan.health import SyncState
from controller.plan.resource import ObjectKey
from controller.runtime.run import RunWord
from controller.runtime.work_queue import Item, Priority
from engines.simulation import tamper as by_hand
from engines.simulation.world import World
from tests.controller.runtime.estate import (
    ALMA_YAML,
    DB,
    WEB,
    WEB_2,
    WEB_BROKEN,
    Estate,
    Repo,
    blueprint,
    estate,
    git,
)

SHOP = "prod/shop.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})


@pytest.fixture
async def home(repo: Repo, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(repo, tmp_path / "state") as opened:
        await opened.settle()
        yield opened


def image(home: Estate, name: str = "prod-shop-web") -> str:
    return str(home.world[f"simulation/container:{name}"]["fields"]["image"])


async def test_a_push_to_the_tracked_branch_is_deployed(home: Estate) -> None:
    assert image(home) == "web:1.0"
    assert (await home.scope()).sync is SyncState.SYNCED


async def test_a_pull_request_is_reviewed_in_one_comment_and_its_merge_reported_there(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    first = await home.comment(1)
    assert "1 to update" in first and "restart" in first
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert image(home) == "web:2.0"
    final = await home.comment(1)
    assert final.count("Final state: done") == 1
    comments = (await home.ask("ipr.show", number=1))["comments"]
    assert len(comments) == 1
    assert (await home.ipr(1)).final


async def test_pushing_again_edits_the_same_comment(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    before = await home.ipr(1)
    repo.push({SHOP: blueprint(WEB_2, DB)}, "ipr/two")
    await home.settle()
    after = await home.ipr(1)
    assert after.comment_id == before.comment_id
    assert "1 to create, 1 to update" in await home.comment(1)


async def test_what_never_becomes_healthy_is_undone_quarantined_and_reverted(home: Estate, repo: Repo) -> None:
    uid = home.world["simulation/container:prod-shop-web"]["uid"]
    repo.push({SHOP: blueprint(WEB_BROKEN)}, "ipr/bad")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle(60)
    assert image(home) == "web:1.0"
    assert home.world["simulation/container:prod-shop-web"]["uid"] == uid
    record = await home.scope()
    assert len(record.quarantine) == 1
    text = await home.comment(1)
    assert text.count("Final state: undone") == 1
    open_pulls = [p for p in (await home.ask("ipr.list"))["iprs"] if p["state"] == "open"]
    assert [p["title"] for p in open_pulls] == [f"Revert prod to {(record.good_revision or '')[:8]}"]
    assert f"#{open_pulls[0]['number']}" in text


async def test_while_quarantined_drift_is_healed_against_the_last_good_state(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    await home.settle(60)
    await remove(home, "simulation/container:prod-shop-web")
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert image(home) == "web:1.0"
    assert [r.word for r in await home.runs()] == [RunWord.DONE, RunWord.UNDONE, RunWord.DONE]
    assert (await home.runs())[-1].heal
    assert (await home.scope()).drift == ()


async def test_merging_the_revert_ends_the_quarantine(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    await home.settle(60)
    number = next(p["number"] for p in (await home.ask("ipr.list"))["iprs"] if p["state"] == "open")
    await home.ask("ipr.merge", number=number)
    await home.settle()
    record = await home.scope()
    assert record.sync is SyncState.SYNCED
    assert image(home) == "web:1.0"


async def test_equal_content_stays_quarantined_and_retry_lifts_it(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_BROKEN)})
    await home.settle(60)
    repo.push({SHOP: blueprint(WEB_BROKEN) + "# a remark\n"})
    await home.settle(60)
    assert [r.word for r in await home.runs()] == [RunWord.DONE, RunWord.UNDONE]
    await home.ask("retry", run="prod")
    await home.settle(60)
    assert [r.word for r in await home.runs()] == [RunWord.DONE, RunWord.UNDONE, RunWord.UNDONE]


async def test_drift_is_healed(home: Estate) -> None:
    await tamper(home, "simulation/container:prod-shop-web", "image", "evil:6.6")
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert image(home) == "web:1.0"


async def test_an_unreviewed_destroy_waits_for_confirm_while_the_rest_is_healed(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB)})
    await home.settle()
    run = (await home.runs())[-1]
    assert run.word is RunWord.WAITING and run.next_step == f"alma confirm {run.run}"
    assert "simulation/database:prod-shop-db" in home.world
    await tamper(home, "simulation/container:prod-shop-web", "image", "evil:6.6")
    await home.ask("reconcile", scope="prod")
    await home.settle(120)
    assert image(home) == "web:1.0"
    await home.ask("confirm", run=run.run)
    await home.settle()
    assert "simulation/database:prod-shop-db" not in home.world
    assert (await home.runs())[-1].word is RunWord.DONE


async def test_a_heal_that_waits_for_a_person_goes_as_the_run_that_was_confirmed(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    await tamper(home, "simulation/database:prod-shop-db", "storage", "20GB")
    await home.ask("reconcile", scope="prod")
    await home.settle()
    waiting = (await home.runs())[-1]
    assert waiting.word is RunWord.WAITING and waiting.heal
    await home.settle(120)
    assert (await home.scope()).waiting == waiting.run
    await home.ask("confirm", run=waiting.run)
    await home.settle()
    healed = (await home.runs())[-1]
    assert (healed.run, healed.word, healed.heal) == (waiting.run, RunWord.DONE, True)
    assert healed.confirmed_by
    assert (await home.scope()).waiting is None
    assert home.world["simulation/database:prod-shop-db"]["fields"]["storage"] == "10GB"


async def test_a_heal_of_the_last_good_state_leaves_the_run_of_the_head_waiting(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB)})
    await home.settle()
    waiting = (await home.runs())[-1]
    await tamper(home, "simulation/container:prod-shop-web", "image", "evil:6.6")
    await home.ask("reconcile", scope="prod")
    await home.settle(120)
    assert image(home) == "web:1.0"
    runs = {r.run: r for r in await home.runs()}
    assert runs[waiting.run].word is RunWord.WAITING and not runs[waiting.run].heal
    assert (await home.scope()).waiting == waiting.run
    assert [r.word for r in runs.values() if r.heal] == [RunWord.DONE]


async def test_a_destroy_that_a_merged_review_listed_runs(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB)}, "ipr/less")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert "simulation/database:prod-shop-db" not in home.world


async def test_an_empty_desired_state_waits_even_after_a_review(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: "name: shop\nprovider: simulation\nresources: []\n"}, "ipr/none")
    await home.settle()
    assert "would be deleted" in await home.comment(1)
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert image(home) == "web:1.0"
    assert (await home.runs())[-1].word is RunWord.WAITING


async def test_a_moved_folder_deletes_nothing(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: None, "elsewhere/shop.yaml": blueprint(WEB)})
    await home.settle()
    assert image(home) == "web:1.0"
    assert (await home.scope()).sync is SyncState.OUT_OF_SYNC


async def test_a_broken_blueprint_changes_nothing_and_says_where(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: "name: shop\nresources:\n  - name: web\n    typ: container\n"})
    await home.settle()
    record = await home.scope()
    assert record.message.startswith("prod/shop.yaml:4:5") or "prod/shop.yaml:4" in record.message
    assert image(home) == "web:1.0"


async def test_a_broken_alma_yaml_keeps_what_is_there_and_healing_goes_on(home: Estate, repo: Repo) -> None:
    repo.push({"alma.yaml": "version: 1\nscopes: nonsense\n"})
    await home.settle()
    await tamper(home, "simulation/container:prod-shop-web", "image", "evil:6.6")
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert image(home) == "web:1.0"


async def test_a_paused_scope_changes_nothing_until_resume(home: Estate, repo: Repo) -> None:
    await home.ask("pause", scope="prod", reason="maintenance")
    repo.push({SHOP: blueprint(WEB_2)})
    await tamper(home, "simulation/container:prod-shop-web", "memory", 1)
    await home.settle(120)
    assert image(home) == "web:1.0"
    await home.ask("resume", scope="prod")
    await home.settle()
    assert image(home) == "web:2.0"


async def test_a_pause_ends_by_itself(home: Estate, repo: Repo) -> None:
    await home.ask("pause", scope="prod", reason="maintenance", until="2m")
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle(60)
    assert image(home) == "web:1.0"
    await home.settle(180)
    assert image(home) == "web:2.0"


async def test_observe_plans_and_applies_nothing(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state", observe=True) as home:
        await home.settle()
        assert home.world == {}
        assert "--observe" in (await home.scope()).message


async def test_a_read_only_target_is_planned_and_never_changed(repo: Repo, tmp_path: Path) -> None:
    targets = {"sim": {"engine": "simulation", "read_only": True}}
    async with estate(repo, tmp_path / "state", targets=targets) as home:
        await home.settle()
        assert home.world == {}
        assert "read_only" in (await home.scope()).message


async def test_losing_the_journal_loses_history_not_ownership(repo: Repo, tmp_path: Path) -> None:
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
    for file in (tmp_path / "state").glob("alma.db*"):
        file.unlink()
    repo.push({SHOP: blueprint(WEB_2)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        assert image(home) == "web:1.0"
        assert "journal knows nothing" in (await home.scope()).message
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert image(home) == "web:2.0"


async def test_rollback_pins_older_content_until_the_branch_changes(home: Estate, repo: Repo) -> None:
    first = (await home.scope()).good_revision
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    await home.ask("rollback", scope="prod", reason="too slow")
    await home.settle()
    record = await home.scope()
    assert image(home) == "web:1.0"
    assert record.pin is not None and record.pin.revision == first
    open_pulls = [p for p in (await home.ask("ipr.list"))["iprs"] if p["state"] == "open"]
    assert [p["title"] for p in open_pulls] == [f"Revert prod to {(first or '')[:8]}"]
    repo.push({SHOP: blueprint(WEB_2.replace("256MB", "512MB"))})
    await home.settle()
    assert image(home) == "web:2.0"
    assert (await home.scope()).pin is None


async def test_a_scope_gone_from_alma_yaml_is_orphaned_and_destroyed_only_by_an_admin(home: Estate, repo: Repo) -> None:
    repo.push({"alma.yaml": ALMA_YAML.replace("name: prod", "name: other")})
    await home.settle()
    assert (await home.scope()).orphaned
    assert image(home) == "web:1.0"
    with pytest.raises(RefusedByPolicy):
        await home.ask("destroy", os_actor("guest", ()), scope="prod")
    told = await home.ask("destroy", scope="prod")
    await home.ask("destroy", scope="prod", confirm=told["plan"]["digest"])
    assert "simulation/container:prod-shop-web" not in home.world


async def test_a_dependent_scope_waits_and_then_goes(tmp_path: Path) -> None:
    two = "version: 1\nscopes:\n  - {name: base, path: base}\n  - {name: apps, path: apps, depends_on: [base]}\n"
    broken = blueprint(WEB_BROKEN, name="net")
    repo = Repo.make(
        tmp_path / "git",
        {"alma.yaml": two, "base/net.yaml": broken, "apps/shop.yaml": blueprint(WEB.replace("8080", "81"))},
    )
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(60)
        assert (await home.scope("apps")).sync is SyncState.OUT_OF_SYNC
        assert "waits for scope base" in (await home.scope("apps")).message
        repo.push({"base/net.yaml": blueprint(WEB, name="net")})
        await home.settle(120)
        assert (await home.scope("apps")).sync is SyncState.SYNCED


async def test_a_guest_may_not_act(home: Estate) -> None:
    with pytest.raises(AlmaError):
        await home.ask("pause", os_actor("guest", ()), scope="prod", reason="because")


async def test_a_thousand_events_for_a_scope_are_one_pass(home: Estate) -> None:
    passes = home.controller.install.metrics
    before = passes.registry.get_sample_value("alma_reconcile_total", {"scope": "prod", "result": "synced"}) or 0
    for _ in range(1000):
        home.controller.queue.add("scope:prod", Priority.WEBHOOK)
    await home.settle(1)
    after = passes.registry.get_sample_value("alma_reconcile_total", {"scope": "prod", "result": "synced"}) or 0
    assert after - before <= 2


async def test_comments_are_answered_once_by_role(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)}, "ipr/two")
    await home.settle()
    await home.ask("ipr.comment", number=1, body="/alma help")
    await home.settle()
    await home.settle()
    bodies = [c["body"] for c in (await home.ask("ipr.show", number=1))["comments"]]
    assert sum("/alma confirm" in b and "answer" in b.split("\n")[0] for b in bodies) == 1


async def test_secrets_reach_the_platform_and_nothing_else(tmp_path: Path) -> None:
    secret = WEB.replace("cpu: 1", 'cpu: 1, env: {PASSWORD: {secret: "env:APP_PASSWORD"}}')
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(secret)})
    async with estate(repo, tmp_path / "state", environment={"APP_PASSWORD": "hunter2-canary"}) as home:
        await home.settle()
        assert (await home.scope()).sync is SyncState.SYNCED
        repo.push({SHOP: blueprint(secret.replace("web:1.0", "web:2.0"))}, "ipr/two")
        await home.settle()
        assert "hunter2" not in await home.comment(1)
    for file in (tmp_path / "state").glob("alma.db*"):
        assert b"hunter2" not in file.read_bytes()


async def test_an_output_of_another_scope_reaches_who_declares_it(tmp_path: Path) -> None:
    alma = (
        "version: 1\nscopes:\n"
        "  - name: base\n    path: base\n    outputs: {db: '${resources.data/db.outputs.address}'}\n"
        "  - {name: apps, path: apps, depends_on: [base]}\n"
    )
    uses = WEB.replace("cpu: 1", 'cpu: 1, env: {DB: "${scopes.base.outputs.db}"}')
    repo = Repo.make(
        tmp_path / "git",
        {"alma.yaml": alma, "base/data.yaml": blueprint(DB, name="data"), "apps/shop.yaml": blueprint(uses)},
    )
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(120)
        address = (await home.scope("base")).exported("db")
        assert home.world["simulation/container:apps-shop-web"]["fields"]["env.DB"] == address


async def test_a_rewritten_branch_waits_for_a_person_while_healing_goes_on(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    git(repo.work, "checkout", "-q", "-B", "main", "HEAD~1")
    (repo.work / SHOP).write_text(blueprint(WEB_2.replace("256MB", "1GB")))
    git(repo.work, "commit", "-q", "-a", "-m", "rewritten")
    git(repo.work, "push", "-q", "-f", "origin", "main")
    await tamper(home, "simulation/container:prod-shop-web", "image", "evil:6.6")
    await home.settle(120)
    assert "rewritten" in (await home.scope()).message
    assert home.world["simulation/container:prod-shop-web"]["fields"]["memory"] == "256MB"
    await home.ask("reconcile", scope="prod")
    await home.settle()
    assert home.world["simulation/container:prod-shop-web"]["fields"]["memory"] == "1GB"


async def test_a_confirmation_before_the_merge_counts_for_what_was_shown(home: Estate, repo: Repo) -> None:
    many = [WEB] + [DB.replace("name: db", f"name: db{i}") for i in range(12)]
    repo.push({SHOP: blueprint(*many)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB)}, "ipr/less")
    await home.settle()
    await home.ask("ipr.comment", number=1, body="/alma confirm")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert [k for k in home.world if "database" in k] == []


async def test_a_push_after_a_confirmation_takes_it_back(home: Estate, repo: Repo) -> None:
    many = [WEB] + [DB.replace("name: db", f"name: db{i}") for i in range(13)]
    repo.push({SHOP: blueprint(*many)})
    await home.settle()
    repo.push({SHOP: blueprint(WEB, many[1])}, "ipr/less")
    await home.settle()
    await home.ask("ipr.comment", number=1, body="/alma confirm")
    await home.settle()
    repo.push({SHOP: blueprint(WEB)}, "ipr/less")
    await home.settle()
    await home.ask("ipr.merge", number=1)
    await home.settle()
    assert len([k for k in home.world if "database" in k]) == 13
    assert (await home.runs())[-1].word is RunWord.WAITING or any(r.word is RunWord.WAITING for r in await home.runs())


async def test_what_a_scope_left_on_a_target_it_no_longer_names_is_planned_away(tmp_path: Path) -> None:
    named = "version: 1\nscopes:\n  - {name: prod, path: prod, targets: {simulation: [TARGETS]}}\n"
    there = blueprint(WEB, DB[:-1] + ", target: other}")
    repo = Repo.make(tmp_path / "git", {"alma.yaml": named.replace("TARGETS", "sim, other"), SHOP: there})
    targets = {"sim": {"engine": "simulation"}, "other": {"engine": "simulation"}}
    allow = {"infra": {"targets": ("sim", "other")}}
    async with estate(repo, tmp_path / "state", targets=targets, allow=allow) as home:
        await home.settle()
        assert (await home.scope()).targets == ("other", "sim")
        repo.push({"alma.yaml": named.replace("TARGETS", "sim"), SHOP: blueprint(WEB)})
        await home.settle()
        run = (await home.runs())[-1]
        assert run.word is RunWord.WAITING and [c.target for c in run.changes] == ["other"]
        await home.ask("confirm", run=run.run)
        await home.settle()
        assert (await home.scope()).targets == ("sim",)


async def test_looks_and_reviews_go_on_while_every_worker_has_a_run(home: Estate) -> None:
    queue = home.controller.queue
    queue.add("scope:slow", Priority.PERSON)
    queue.add("repo:infra", Priority.POLL)
    assert queue.due(lambda item: not item.key.startswith("scope:")) == Item("repo:infra", Priority.POLL)
    assert queue.until_next_s(lambda item: item.key.startswith("none:")) is None


async def test_a_parked_run_holds_its_scope_until_an_admin_unlocks_it_and_its_priors_go(tmp_path: Path) -> None:
    """The undo cannot remove what was staged: the platform refuses it for ever (A6)."""
    secret = 'env: {PASSWORD: {secret: "env:APP_PASSWORD"}}'
    first, second = WEB.replace("cpu: 1", f"cpu: 1, {secret}"), WEB_BROKEN.replace("cpu: 1", f"cpu: 1, {secret}")
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(first)})
    state, environment = tmp_path / "state", {"APP_PASSWORD": "hunter2-canary"}
    async with estate(repo, state, environment=environment) as home:
        await home.settle()
    refuses = {
        "sim": {"engine": "simulation", "fail": ({"match": "start prod-shop-web", "error": "refused", "times": 0},)}
    }
    repo.push({SHOP: blueprint(second)})
    async with estate(repo, state, environment=environment, targets=refuses) as home:
        await home.settle(300)
        run = next(r for r in await home.runs() if r.word is RunWord.PARKED)
        assert run.next_step.endswith(f"alma unlock {run.run}")
        assert (await home.scope()).parked == run.run
        with pytest.raises(RefusedByPolicy):
            await home.ask("unlock", os_actor("guest", ()), run=run.run)
        await home.ask("unlock", run=run.run)
        assert (await home.scope()).parked is None
        assert not await home.controller.install.journal.documents("journal.sealed")


async def test_a_scope_whose_first_run_was_parked_goes_on_after_unlock_with_other_content(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB, DB)})
    refused = [{"match": f"{call} prod-shop-web", "error": "refused", "times": 0} for call in ("start", "remove")]
    async with estate(repo, tmp_path / "state", targets={"sim": {"engine": "simulation", "fail": refused}}) as home:
        await home.settle(300)
        [run] = await home.runs()
        assert run.word is RunWord.PARKED and home.world
        await home.ask("unlock", run=run.run)
    repo.push({SHOP: blueprint(WEB_2)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle(60)
        assert image(home) == "web:2.0" and (await home.scope()).sync is SyncState.SYNCED


async def test_an_open_pull_request_is_planned_again_when_live_state_moves(home: Estate, repo: Repo) -> None:
    repo.push({SHOP: blueprint(WEB, DB)}, "ipr/db")
    await home.settle()
    assert "1 to create" in await home.comment(1)
    repo.push({SHOP: blueprint(WEB_2)})
    await home.settle()
    assert "conflicts" in await home.comment(1) or "web:2.0" not in await home.comment(1)


async def test_a_tolerated_field_heals_only_after_its_date(tmp_path: Path) -> None:
    tolerated = WEB[:-1] + ', tolerate: [{field: image, reason: "trial by hand", until: 2026-03-01}]}'
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(tolerated)})
    async with estate(repo, tmp_path / "state") as home:
        await home.settle()
        await tamper(home, "simulation/container:prod-shop-web", "image", "trial:1")
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert image(home) == "trial:1"
        home.clock.wall_offset += timedelta(days=1)
        await home.ask("reconcile", scope="prod")
        await home.settle()
        assert image(home) == "web:1.0"


async def test_a_newer_revision_takes_over_a_run_that_waits_for_health(home: Estate, repo: Repo) -> None:
    """The older run ends superseded at its barrier; the newer one retires what it had replaced."""
    repo.push({SHOP: blueprint(WEB_BROKEN)}, "ipr/bad")
    await home.settle()
    waiting = home.clock.hold_after(1.0)
    await home.ask("ipr.merge", number=1)
    passes = asyncio.create_task(home.settle(60))
    await waiting
    repo.push({SHOP: blueprint(WEB_2.replace("256MB", "512MB"))})
    await home.controller.loop.one(Item("repo:infra", Priority.WEBHOOK))
    await passes
    await home.settle()
    words = sorted(r.word for r in await home.runs())
    assert words == [RunWord.DONE, RunWord.DONE, RunWord.SUPERSEDED]
    assert image(home) == "web:2.0"
    assert [k for k in home.world if "web" in k] == ["simulation/container:prod-shop-web"]


async def tamper(home: Estate, key: str, field: str, value: object) -> None:
    """Change one field of a live object by hand."""
    await by_hand.tamper(platform(home), object_key(key), field, value)


async def remove(home: Estate, key: str) -> None:
    """Take a live object away by hand."""
    await by_hand.remove(platform(home), object_key(key))


def platform(home: Estate) -> World:
    return World(home.state / "simulation" / "sim.json")


def object_key(text: str) -> ObjectKey:
    kind, _, name = text.partition(":")
    return ObjectKey(kind, name)
