"""The story on a real Gitea with webhooks and a real Docker host: pull request, review, merge, deploy, undo."""

from __future__ import annotations

from time import perf_counter

import pytest

from tests.e2e.gitea_scene import BOT, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container, container_id
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def test_a_pull_request_is_answered_in_one_comment_that_a_further_push_edits(
    scene: GiteaScene, hooked: Alma, shop: Shop
) -> None:
    hooked.start()
    began_s = perf_counter()
    number = scene.open(shop.files(shop.web(), shop.careless()), "web")
    hooked.wait(lambda: scene.comment(number), "the comment")
    print(f"pull request opened → comment: {perf_counter() - began_s:.2f} s")
    text = scene.comment(number)
    assert "2 to create · worst disruption none" in text
    assert "prod/shop/web" in text and "alma-test/web:1.0" in text
    assert "#### Findings" in text and "`no-memory-limit`" in text
    assert "#### Cost per month" in text and "EUR/month" in text
    assert "Order of the run" in text and "create prod/shop/side" in text and "n0 --> n1" in text
    hooked.wait(lambda: "alma/plan: prod" in scene.statuses(scene.head_of(number)), "statuses")
    statuses = scene.statuses(scene.head_of(number))
    assert set(statuses) == {"alma/plan", "alma/audit", "alma/cost", "alma/deploy", "alma/plan: prod"}
    assert statuses["alma/plan"].startswith("success 2 to create")
    [first] = scene.ours(number)
    began_s = perf_counter()
    scene.push(shop.files(shop.web("1.1"), shop.careless(), shop.store()), "web")
    hooked.wait(lambda: "3 to create" in scene.comment(number), "the edited comment")
    print(f"push → edited comment: {perf_counter() - began_s:.2f} s")
    [second] = scene.ours(number)
    assert second["id"] == first["id"] and second["updated_at"] >= first["updated_at"]
    assert "alma-test/web:1.1" in second["body"]


def test_commands_are_answered_once_and_seen_with_eyes(scene: GiteaScene, hooked: Alma, shop: Shop) -> None:
    hooked.start()
    number = scene.open(shop.files(), "web")
    hooked.wait(lambda: scene.comment(number), "the comment")
    plan, help_ = scene.say(number, "/alma plan"), scene.say(number, "/alma help")
    hooked.wait(lambda: len(scene.answers(number)) == 2, "two answers")
    scene.say(number, "just talking")
    scene.push(shop.files(shop.web("1.1")), "web")  # makes further passes over the same comments
    hooked.wait(lambda: "web:1.1" in scene.comment(number), "the edited comment")
    told_plan, told_help = scene.answers(number)
    assert f":answer:{plan} " in told_plan and "1 to create" in told_plan
    assert f":answer:{help_} " in told_help and "/alma confirm" in told_help
    assert scene.reactions(plan) == [f"{BOT} eyes"] and scene.reactions(help_) == [f"{BOT} eyes"]


def test_a_merge_deploys_and_is_reported_in_the_same_comment(
    scene: GiteaScene, hooked: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    hooked.start()
    number = scene.open(shop.files(), "web")
    hooked.wait(lambda: scene.comment(number), "the comment")
    [first] = scene.ours(number)
    began_s = perf_counter()
    merged = scene.merge(number)
    hooked.wait(lambda: container(docker_host), "the container")
    print(f"merge → container: {perf_counter() - began_s:.2f} s")
    hooked.wait(lambda: shop.page() == "alma-test/web:1.0", "the page")
    hooked.wait(lambda: "Final state" in scene.comment(number), "the final state")
    [last] = scene.ours(number)
    assert last["id"] == first["id"]
    assert last["body"].count("Final state: done") == 1
    assert "| `prod/shop/web` | create | done |" in last["body"]
    assert scene.statuses(scene.head_of(number))["alma/deploy"].startswith("success done")
    hooked.wait_synced(merged)


def test_what_never_becomes_healthy_is_undone_and_a_revert_is_open_while_drift_still_heals(
    scene: GiteaScene, hooked: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    hooked.start()
    hooked.wait_synced(scene.push(shop.files()))
    before = container_id(docker_host)
    number = scene.open(shop.files(shop.web("broken")), "bad")
    hooked.wait(lambda: scene.comment(number), "the comment")
    scene.merge(number)
    hooked.wait(lambda: "Final state" in scene.comment(number), "the final state")
    assert container_id(docker_host) == before
    assert shop.page() == "alma-test/web:1.0"
    text = scene.comment(number)
    assert text.count("Final state: undone") == 1
    assert "Probable cause: it did not become healthy in time; the message says: not healthy" in text, text
    hooked.wait(lambda: hooked.scope()["quarantined"] == 1, "the quarantine")
    hooked.wait(lambda: [p for p in scene.open_pulls() if "Revert" in p["title"]], "the revert pull request")
    [revert] = [p for p in scene.open_pulls() if "Revert" in p["title"]]
    hooked.wait(lambda: f"#{revert['number']}" in scene.comment(number), "the revert named in the comment")
    docker_host.api.remove_container("prod-shop-web", force=True)
    hooked.wait(lambda: shop.page() == "alma-test/web:1.0", "the container healed")
    assert hooked.runs()[-1]["heal"] and container_id(docker_host) != before
    docker_host.api.stop("prod-shop-web", timeout=0)
    hooked.wait(lambda: shop.page() == "alma-test/web:1.0", "the stopped container healed")
    scene.merge(revert["number"])
    hooked.wait(lambda: hooked.scope()["sync"] == "synced", "synced after the revert")
    assert scene.comment(number).count("Final state") == 1
