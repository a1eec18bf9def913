"""Who may command is asked at the forge at that moment; what was edited never commands (I3, I6)."""

from __future__ import annotations

import pytest

from tests.e2e.gitea_scene import READER, WRITER, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import Shop, names
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def test_readers_and_edited_comments_confirm_nothing_and_writers_do(
    scene: GiteaScene, polling: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    polling.start()
    polling.wait_synced(scene.push(shop.files(shop.web(), shop.careless())))
    gone = scene.push(shop.files(shop.web()))
    polling.wait(lambda: polling.scope().get("waiting"), "the waiting run")
    command = f"/alma confirm {polling.scope()['waiting']}"
    number = scene.open({"notes.md": "a place to talk"}, "talk")
    polling.wait(lambda: scene.comment(number), "the comment")

    innocent = scene.say(number, "looks good", WRITER)
    scene.say(number, command, READER)
    polling.wait(lambda: len(scene.answers(number)) == 1, "the refusal")
    [refusal] = scene.answers(number)
    assert "operate" in refusal and READER in refusal

    scene.call("PATCH", f"/issues/comments/{innocent}", {"body": command}, WRITER)
    scene.say(number, "/alma help", READER)
    polling.wait(lambda: len(scene.answers(number)) == 2, "the answer to a later comment")
    assert "prod-shop-side" in names(docker_host) and polling.scope()["waiting"]
    assert scene.reactions(innocent) == []

    scene.say(number, command, WRITER)
    polling.wait(lambda: len(scene.answers(number)) == 3, "the answer to the writer")
    assert "goes on" in scene.answers(number)[-1]
    polling.wait_synced(gone)
    assert names(docker_host) == ["prod-shop-web"]
