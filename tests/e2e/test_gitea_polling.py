"""The same story without any webhook: polling alone reaches the same end (I21)."""

from __future__ import annotations

import pytest

from tests.e2e.gitea_scene import BOT, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, container_id
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def test_review_command_merge_and_undo_by_polling_alone(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    good = scene.open(shop.files(), "good")
    polling.wait(lambda: "1 to create" in scene.comment(good), "the comment")
    said = scene.say(good, "/alma help")
    polling.wait(lambda: scene.answers(good), "the answer")
    assert scene.reactions(said) == [f"{BOT} eyes"]
    merged = scene.merge(good)
    polling.wait_synced(merged)
    polling.wait(lambda: "Final state: done" in scene.comment(good), "the final state")
    before = container_id(docker_host)
    bad = scene.open(shop.files(shop.web("broken")), "bad")
    polling.wait(lambda: scene.comment(bad), "the second comment")
    scene.merge(bad)
    polling.wait(lambda: "Final state: undone" in scene.comment(bad), "the second final state")
    assert (container_id(docker_host), shop.page()) == (before, "alma-test/web:1.0")
    assert [p["title"] for p in scene.open_pulls()] == [f"Revert prod to {merged[:8]}"]
    assert len(scene.answers(good)) == 1


def test_a_repository_without_a_secret_has_no_webhook_route(scene: GiteaScene, polling: Alma) -> None:
    polling.start()
    assert polling.post("/webhooks/infra", b"{}", {}) == polling.post("/webhooks/nobody", b"{}", {}) == 404
