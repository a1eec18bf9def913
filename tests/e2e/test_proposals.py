"""`/alma optimize` on a real Gitea: a commit on the branch whose plan, merged, is what runs on a real Docker host."""

from __future__ import annotations

import re

import pytest

from tests.e2e.checkout import git
from tests.e2e.gitea_scene import READER, WRITER, GiteaScene
from tests.e2e.serving import Alma
from tests.e2e.shop import FILE, Shop, container
from tests.servers.dockerd import DockerDaemon

pytestmark = [pytest.mark.gitea, pytest.mark.docker]


def test_optimize_pushes_a_commit_whose_plan_is_right_and_runs_once_merged(
    scene: GiteaScene, hooked: Alma, shop: Shop, docker_host: DockerDaemon
) -> None:
    hooked.start()
    wide = shop.web(memory="128MB").replace("cpu: 1", "cpu: 2")
    number = scene.open(shop.files(wide), "wide")
    hooked.wait(lambda: scene.comment(number), "the comment")
    written = scene.head_of(number)
    scene.say(number, "/alma optimize 30%", READER)
    hooked.wait(lambda: len(scene.answers(number)) == 1, "the refusal")
    assert "needs the role operate" in scene.answers(number)[0] and scene.head_of(number) == written

    scene.say(number, "/alma optimize 30%", WRITER)
    hooked.wait(lambda: len(scene.answers(number)) == 2, "the answer")
    answer = scene.answers(number)[1]
    assert "#### Made smaller" in answer and "`prod/shop/web` | cpu | 2 | 1 |" in answer, answer
    hooked.wait(lambda: scene.head_of(number) != written, "the new head")
    commit = scene.head_of(number)
    assert commit[:12] in answer
    hooked.wait(lambda: commit in scene.comment(number), "the review of the commit")
    review = scene.comment(number)
    assert re.search(r"^\+ +limits\.cpu +1000$", review, re.MULTILINE), review
    assert f"optimize as `{commit[:8]}` by `{WRITER}" in review
    git(scene.checkout.folder, "fetch", "--quiet", "origin")
    assert git(scene.checkout.folder, "diff", "--name-only", written, commit) == FILE
    assert git(scene.checkout.folder, "log", "-1", "--format=%an", commit) == "ALMA"

    scene.say(number, "/alma council Is that too small?", READER)
    hooked.wait(lambda: len(scene.answers(number)) == 3, "the council")
    council = scene.answers(number)[2]
    assert "Votes: " in council and all(f"| {m} |" in council for m in ("architect", "security", "cost", "performance"))

    hooked.wait_synced(scene.merge(number))
    assert container(docker_host)["HostConfig"]["NanoCpus"] == 10**9
