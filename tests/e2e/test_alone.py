"""One person alone who pushes to main: no pull request; what is destructive waits for their word."""

from __future__ import annotations

import pytest

from tests.e2e.gitea_scene import GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container, container_id, names
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def test_in_place_and_restart_changes_run_at_once(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    first = container_id(docker_host)
    smaller = scene.push(shop.files(shop.web(memory="32MB")))
    polling.wait_synced(smaller)
    assert container(docker_host)["HostConfig"]["Memory"] == 32 * 1024**2
    assert container_id(docker_host) == first
    polling.wait(lambda: "alma/deploy" in scene.statuses(smaller), "the commit's statuses")
    assert scene.statuses(smaller)["alma/plan"] == "success 1 to update · in-place"
    newer = scene.push(shop.files(shop.web("1.1", memory="32MB")))
    polling.wait_synced(newer)
    assert shop.page() == "alma-test/web:1.1"
    polling.wait(lambda: scene.statuses(newer).get("alma/deploy") == "success done: 1 of 1", "the end as status")
    assert "restart" in scene.statuses(newer)["alma/plan: prod"]


def test_a_destroy_waits_for_a_confirmation_that_the_commit_and_alma_status_show(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files(shop.web(), shop.careless())))
    gone = scene.push(shop.files(shop.web()))
    polling.wait(lambda: polling.scope().get("waiting"), "the waiting run")
    run = polling.scope()["waiting"]
    polling.wait(lambda: "alma/plan: prod" in scene.statuses(gone), "the commit's statuses")
    statuses = scene.statuses(gone)
    assert statuses["alma/deploy"] == f"pending waiting: alma confirm {run}"
    assert statuses["alma/plan: prod"].startswith("success 1 to destroy") and "prod/shop/side" in str(statuses)
    shown = polling.cli("status")
    assert f"alma confirm {run}" in shown
    assert "prod/shop/side" in polling.cli("status", "-o", "json")
    assert "prod-shop-side" in names(docker_host)
    # The object the person saw is replaced by another of the same name: their word does not count for that one.
    polling.stop()
    labels = container(docker_host, "prod-shop-side")["Config"]["Labels"]
    docker_host.api.remove_container("prod-shop-side", force=True)
    twin = docker_host.api.create_container("alma-test/web:1.0", name="prod-shop-side", labels=labels)
    docker_host.api.start(twin["Id"])
    polling.start()
    polling.wait(lambda: polling.scope().get("waiting") not in (None, run), "a new waiting run")
    polling.cli("confirm", run, status=3)
    polling.wait(lambda: scene.statuses(gone)["alma/deploy"].endswith(polling.scope()["waiting"] or "-"), "new command")
    assert "prod-shop-side" in names(docker_host)
    polling.cli("confirm", polling.scope()["waiting"])
    polling.wait_synced(gone)
    assert names(docker_host) == ["prod-shop-web"]
    polling.wait(lambda: scene.statuses(gone)["alma/deploy"].startswith("success done"), "the end as status")


def test_a_broken_blueprint_is_told_on_its_commit_and_changes_nothing(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    before = container_id(docker_host)
    bad = scene.push({"prod/shop.yaml": "name: shop\nresources:\n  - name: web\n    typ: container\n"})
    polling.wait(lambda: "alma/plan" in scene.statuses(bad), "the commit's statuses")
    assert scene.statuses(bad)["alma/plan"].startswith("failure prod: prod/shop.yaml:3:5")
    assert container_id(docker_host) == before
