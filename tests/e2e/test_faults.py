"""Repeated and hostile webhooks, a forge that is away, plans that cannot work, a Docker Engine that restarts."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from tests.e2e.gitea_scene import OWNER, SECRET, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container, container_id, image, names
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def signed(body: bytes, event: str = "pull_request") -> dict[str, str]:
    return {"X-Gitea-Event": event, "X-Gitea-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


def test_the_same_webhook_five_times_changes_nothing_more(
    scene: GiteaScene, hooked: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    hooked.start()
    number = scene.open(shop.files(), "web")
    hooked.wait(lambda: scene.comment(number), "the comment")
    scene.merge(number)
    hooked.wait(lambda: "Final state" in scene.comment(number), "the final state")
    comments, before = scene.ours(number), container_id(docker_host)
    repository = {"full_name": f"{OWNER}/{scene.name}"}
    body = json.dumps({"number": number, "pull_request": {"number": number}, "repository": repository}).encode()
    passes = hooked.sample('alma_reconcile_total{result="synced",scope="prod"}')
    assert [hooked.post("/webhooks/infra", body, signed(body)) for _ in range(5)] == [202] * 5
    hooked.ask("reconcile", scope="prod")
    hooked.wait(lambda: hooked.sample('alma_reconcile_total{result="synced",scope="prod"}') > passes, "a pass")
    assert scene.ours(number) == comments
    assert container_id(docker_host) == before and len(hooked.runs()) == 1


def test_garbage_is_refused_even_with_a_valid_signature(scene: GiteaScene, hooked: Alma, shop: Shop) -> None:
    hooked.start()
    hooked.wait_synced(scene.push(shop.files()))
    runs = hooked.runs()
    garbage = [b"", b"null", b"[1,2", b"\xff\xfe", b'{"number": "one"}', b'{"repository": 7}', b"[" * 20_000]
    codes = [hooked.post("/webhooks/infra", body, signed(body)) for body in garbage]
    assert codes == [400] * len(garbage)
    good = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": f"{OWNER}/{scene.name}"}}).encode()
    assert hooked.post("/webhooks/infra", good, {**signed(good, "push"), "X-Gitea-Signature": "0" * 64}) == 401
    assert hooked.post("/webhooks/infra", good, {"X-Gitea-Event": "push"}) == 401
    assert hooked.post("/webhooks/infra", good, signed(good, "push")) == 202
    assert hooked.runs() == runs


def test_a_deploy_goes_on_while_the_forge_is_away_and_is_reported_once_afterwards(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    number = scene.open(shop.files(shop.web("1.1", slow_s=3)), "slow")
    polling.wait(lambda: scene.comment(number), "the comment")
    scene.merge(number)
    polling.wait(lambda: polling.scope().get("run"), "the run")
    with scene.server.outage():
        polling.wait(lambda: not polling.scope().get("run"), "the end of the run")
        assert shop.page() == "alma-test/web:1.1"
    polling.wait(lambda: "Final state" in scene.comment(number), "the final state")
    assert scene.comment(number).count("Final state: done") == 1
    assert len(scene.ours(number)) == 1


def test_two_claims_on_one_port_fail_the_plan_and_change_nothing(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    before = container_id(docker_host)
    number = scene.open(shop.files(shop.web(), shop.web(name="twin")), "twin")
    polling.wait(lambda: scene.comment(number), "the comment")
    assert str(shop.port) in scene.comment(number) and "twin" in scene.comment(number)
    polling.wait(lambda: "alma/plan" in scene.statuses(scene.head_of(number)), "the statuses")
    assert scene.statuses(scene.head_of(number))["alma/plan"].startswith("failure")
    scene.merge(number)
    polling.wait(lambda: str(shop.port) in polling.scope()["message"], "the refusal")
    assert names(docker_host) == ["prod-shop-web"] and container_id(docker_host) == before


def test_an_image_that_does_not_exist_leaves_the_running_container_alone(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    before = container(docker_host)
    wrong = shop.blueprint(shop.web().replace("alma-test/web:1.0", "127.0.0.1:1/nobody/web:9.9"))
    commit = scene.push({"prod/shop.yaml": wrong})
    polling.wait(lambda: polling.runs()[-1]["word"] == "undone", "the undone run")
    after = container(docker_host)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert "9.9" in polling.runs()[-1]["reason"]
    polling.wait(lambda: "failure" in scene.statuses(commit).get("alma/deploy", ""), "the commit's status")


def test_a_docker_engine_that_restarts_under_running_containers_is_outlasted(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    docker_host.set_live_restore(on=True)
    _restart_in_mid_run(scene, polling, shop, docker_host, live_restore=True)
    word = polling.runs()[1]["word"]
    assert word in ("done", "undone"), str(polling.runs()[1]["reason"])
    page = {"done": "alma-test/web:1.1", "undone": "alma-test/web:1.0"}[word]
    polling.wait(lambda: shop.page() == page, f"the page after {word}")
    polling.wait(lambda: names(docker_host) == ["prod-shop-web"], "nothing left over")


def test_a_docker_engine_that_takes_its_containers_down_in_mid_run_ends_the_run_once(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    _restart_in_mid_run(scene, polling, shop, docker_host, live_restore=False)
    run = polling.runs()[1]
    if run["word"] == "parked":  # the engine started the new container by itself while it was taken back (I11)
        assert run["reason"] and f"alma unlock {run['run']}" in run["next_step"]
        assert "prod-shop-web" in names(docker_host)
    else:
        polling.wait(lambda: names(docker_host) == ["prod-shop-web"], f"one container after {run['word']}")
        polling.wait(shop.page, "an answering port")


def _restart_in_mid_run(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon, *, live_restore: bool
) -> None:
    """Returns when the run that was under way has ended."""
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    scene.push(shop.files(shop.web("1.1", slow_s=4)))
    polling.wait(lambda: image(docker_host) == "alma-test/web:1.1", "the cut")
    docker_host.restart(live_restore=live_restore)
    polling.wait(lambda: len(polling.runs()) >= 2 and not polling.scope()["run"], "the end of the run")
