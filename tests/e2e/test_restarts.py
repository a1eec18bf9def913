"""`alma serve` that dies or is told to stop in the middle of a run, and starts again: nothing lost, nothing doubled."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.gitea_scene import GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container_id, image, names
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


@pytest.mark.parametrize(("tag", "slow_s", "word"), [("1.1", 4, "done"), ("broken", 0, "undone")])
def test_a_run_that_was_killed_is_carried_to_its_end_and_told_once(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon, tag: str, slow_s: int, word: str
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    before = container_id(docker_host)
    number = scene.open(shop.files(shop.web(tag, slow_s=slow_s)), "next")
    polling.wait(lambda: scene.comment(number), "the comment")
    scene.merge(number)
    polling.wait(lambda: image(docker_host) == f"alma-test/web:{tag}", "the cut")
    polling.kill()
    polling.start()
    polling.wait(lambda: "Final state" in scene.comment(number), "the final state")
    assert scene.comment(number).count(f"Final state: {word}") == 1
    assert [r["word"] for r in polling.runs()] == ["done", word]
    assert names(docker_host) == ["prod-shop-web"]
    if word == "undone":
        assert container_id(docker_host) == before
    polling.wait(lambda: shop.page() == f"alma-test/web:{'1.1' if word == 'done' else '1.0'}", "the page")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_mid_run_is_clean_and_the_next_start_goes_on(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon, number: signal.Signals
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files()))
    revision = scene.push(shop.files(shop.web("1.1", slow_s=2)))
    polling.wait(lambda: image(docker_host) == "alma-test/web:1.1", "the cut")
    assert polling.stop(number) in (0, 130)
    assert "Traceback" not in polling.said()
    assert not (polling.state / "alma.sock").exists()
    polling.start()
    polling.wait_synced(revision)
    assert [r["word"] for r in polling.runs()] == ["done", "done"]
    assert names(docker_host) == ["prod-shop-web"]
