"""The story at GitHub and GitLab on simulated hosts: pull request, review, command, merge, deploy, undo, revert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.e2e.forge_scene import ForgeScene
from tests.e2e.serving import Alma

ALMA_YAML = "version: 1\nscopes:\n  - {name: prod, path: prod}\n"
SHORT = {
    "interval": "1s",
    "drift_interval": "2s",
    "scope_rate": {"per_minute": 6000, "burst": 100},
    "health_timeout": "5s",
}
SLOW = {**SHORT, "interval": "1h", "drift_interval": "1h"}
KINDS = ("github", "gitlab")


def shop(tag: str, *, memory: str = "256MB", never_well: bool = False) -> dict[str, str | None]:
    more = ", simulate: {health: never}" if never_well else ""
    web = f'{{name: web, type: container, specs: {{image: "web:{tag}", memory: {memory}, cpu: 1{more}}}}}'
    return {"prod/shop.yaml": f"name: shop\nprovider: simulation\nresources:\n  - {web}\n"}


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest, httpserver: HTTPServer, tmp_path: Path) -> ForgeScene:
    made = ForgeScene(request.param, httpserver, tmp_path)
    made.push({"alma.yaml": ALMA_YAML})
    return made


def serving(scene: ForgeScene, folder: Path, *, webhook: bool) -> Alma:
    settings = {
        "id": "home",
        "repositories": [scene.repository(webhook=webhook)],
        "targets": {"edge": {"engine": "simulation"}},
        "allow": {"infra": {"targets": ["edge"]}},
        "reconcile": SLOW if webhook else SHORT,
    }
    return Alma(folder / "alma", settings, scene.environment())


@pytest.fixture
def polling(scene: ForgeScene, tmp_path: Path) -> Iterator[Alma]:
    with closing(serving(scene, tmp_path, webhook=False)) as alma:
        yield alma


@pytest.fixture
def hooked(scene: ForgeScene, tmp_path: Path) -> Iterator[Alma]:
    with closing(serving(scene, tmp_path, webhook=True)) as alma:
        yield alma


def test_review_command_merge_and_undo_by_polling_alone(scene: ForgeScene, polling: Alma) -> None:
    polling.start()
    good = scene.open(shop("1.0"), "good")
    polling.wait(lambda: "1 to create" in scene.comment(good), "the comment")
    polling.wait(lambda: "alma/plan: prod" in scene.statuses(scene.head_of(good)), "the statuses")
    assert scene.statuses(scene.head_of(good))["alma/plan"].startswith("success 1 to create")
    said = scene.say(good, "/alma help")
    polling.wait(lambda: scene.answers(good), "the answer")
    assert scene.reactions(said) == ["eyes"]
    merged = scene.merge(good)
    polling.wait_synced(merged)
    polling.wait(lambda: "Final state: done" in scene.comment(good), "the final state")
    polling.wait(lambda: scene.statuses(scene.head_of(good))["alma/deploy"].startswith("success done"), "the status")
    bad = scene.open(shop("2.0", never_well=True), "bad")
    polling.wait(lambda: scene.comment(bad), "the second comment")
    scene.merge(bad)
    polling.wait(lambda: "Final state: undone" in scene.comment(bad), "the second final state")
    assert len(scene.answers(good)) == 1
    reverts = [(p.title, p.user) for p in scene.server.pulls.values() if p.number > bad]
    assert reverts == [(f"Revert prod to {merged[:8]}", 1)]


def test_a_webhook_is_enough_and_a_replay_changes_nothing(scene: ForgeScene, hooked: Alma) -> None:
    hooked.start()
    number = scene.open(shop("1.0"), "web")
    body, headers = scene.event(number)
    assert hooked.post("/webhooks/infra", body, {**headers, "X-GitHub-Delivery": "0"}) == 202
    hooked.wait(lambda: "1 to create" in scene.comment(number), "the comment")
    merged = scene.merge(number)
    for delivery in range(5):
        assert hooked.post("/webhooks/infra", body, {**headers, "X-GitHub-Delivery": str(delivery)}) == 202
    hooked.wait_synced(merged)
    hooked.wait(lambda: "Final state: done" in scene.comment(number), "the final state")
    assert len(scene.server.bodies(number, 1)) == 1
    assert len(hooked.runs()) == 1
    wrong = {name: "wrong" if "ignature" in name or "oken" in name else value for name, value in headers.items()}
    assert hooked.post("/webhooks/infra", body, wrong) == 401


def test_alma_forge_check_tells_what_is_granted_and_sets_up_when_asked(scene: ForgeScene, hooked: Alma) -> None:
    said = hooked.cli("forge", "check", "infra")
    assert f"ok      forge infra ({scene.kind}): as alma: pull, push, admin" in said
    assert scene.server.hooks == {}
    said = hooked.cli("forge", "check", "--webhook", "--protect")
    assert "the webhook sends to https://alma.example/webhooks/infra" in said
    assert "the tracked branch is protected" in said
    assert len(scene.server.hooks) == 1
    scene.server.permissions[1] = "read"
    said = hooked.cli("forge", "check", status=1)
    assert "missing forge infra: write statuses and merge" in said
    assert "known: infra" in hooked.cli("forge", "check", "other", status=3)
