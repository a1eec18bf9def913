"""Server configuration: every mistake at its place, every value with its origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.settings import load_settings

FULL = """\
id: home
state: /var/lib/alma
repositories:
  - name: infra
    url: "https://git.example/ops/infra.git"
    forge: {kind: gitea, url: "https://git.example", token: "env:FORGE_TOKEN", webhook_secret: "env:HOOK"}
targets:
  edge: {engine: docker, url: "unix:///var/run/docker.sock"}
  sim: {engine: simulation, read_only: true}
allow:
  infra: {targets: [edge], secrets: ["env:APP_*"], docker: {host_paths: ["/srv/media:ro"], devices: ["/dev/dri"]}}
roles:
  infra: {operate: ["forge:write", "os:%ops"]}
reconcile: {interval: 30s, scope_rate: {per_minute: 12}}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "alma-server.yaml"
    file.write_text(text)
    return file


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, FULL), {}).settings
    assert settings.reconcile.interval == 30
    assert settings.reconcile.scope_rate.per_minute == 12 and settings.reconcile.scope_rate.burst == 3
    allow = settings.allow["infra"].allow()
    assert allow.option("docker.host_paths") == ("/srv/media:ro",)
    assert settings.targets["sim"].read_only
    assert settings.secret_refs() == {"env:FORGE_TOKEN", "env:HOOK"}


def test_the_environment_wins_and_is_named_as_origin(tmp_path: Path) -> None:
    loaded = load_settings(written(tmp_path, FULL), {"ALMA_RECONCILE_INTERVAL": "5m", "ALMA_SERVER_LISTEN": "[::1]:80"})
    assert loaded.settings.reconcile.interval == 300
    origins = {o.path: o.origin for o in loaded.origins}
    assert origins["reconcile.interval"] == "$ALMA_RECONCILE_INTERVAL"
    assert origins["server.listen"] == "$ALMA_SERVER_LISTEN"
    assert origins["id"].endswith("alma-server.yaml")
    assert origins["reconcile.step_timeout"] == "default"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://alma:canary@db:5432/alma?sslmode=verify-full",
            "postgresql://alma:***@db:5432/alma?sslmode=verify-full",
        ),
        ("postgresql://db/alma?user=alma&password=canary", "postgresql://db/alma?user=alma&password=***"),
        ("postgresql://alma@db/alma", "postgresql://alma@db/alma"),
        ("sqlite:////var/lib/alma/a:b@c.db", "sqlite:////var/lib/alma/a:b@c.db"),
    ],
)
def test_the_password_of_the_journal_is_never_shown(url: str, shown: str) -> None:
    """I26."""
    origins = {o.path: o.value for o in load_settings(None, {"ALMA_JOURNAL": url}).origins}
    assert origins["journal"] == shown


def test_whole_maps_come_from_the_environment_as_json(tmp_path: Path) -> None:
    loaded = load_settings(None, {"ALMA_TARGETS": '{"sim": {"engine": "simulation"}}'})
    assert loaded.settings.targets["sim"].engine == "simulation"
    with pytest.raises(InvalidInput, match=r"\$ALMA_TARGETS: not valid JSON"):
        load_settings(None, {"ALMA_TARGETS": "{"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("idd: home\n", "did you mean"),
        ("id: home\nserver: {listn: x}\n", "did you mean"),
        ("id: Home!\n", "id"),
        ("reconcile: {interval: 60}\n", "units"),
        ("targets: {a: {engine: dcker}}\n", "targets.a.engine"),
        ("repositories: [{name: a, url: /x}, {name: a, url: /y}]\n", "twice"),
        ("repositories: [{name: a, url: /x}]\nallow: {b: {}}\n", "no such repository"),
        ("repositories: [{name: a, url: /x}]\nallow: {a: {targets: [t]}}\n", "no target t"),
        ("repositories: [{name: a, url: /x}]\nallow: {a: {secrets: ['env:ALMA_KEY']}}\n", "ALMA_"),
        ("repositories: [{name: a, url: /x}]\nroles: {b: {}}\n", "no such repository"),
        ("targets: {a: {engine: proxmox, worker: west, url: 'https://h'}}\n", "targets.a.url: stands in the config"),
        ("targets: {a: {engine: docker, worker: west}}\n", "targets.a.worker: needs executor"),
        ("targets: {a: {engine: docker, worker: west}}\n", "targets.a.worker: needs journal"),
        ("executor: remote\n", "must be local, or a map: temporal"),
        ("executor: {temporal: {}}\n", "address"),
        ("executor: {temporal: {address: 'http://h'}}\n", "executor.temporal.address"),
        ("- a\n", "map"),
        ("id: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_settings(written(tmp_path, text), {})
    assert told in str(caught.value)
    assert "alma-server.yaml" in str(caught.value)


def test_the_executor_is_one_word_or_a_server(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "executor: local\n"), {}).settings.executor.temporal is None
    loaded = load_settings(None, {"ALMA_EXECUTOR": '{"temporal": {"address": "h:7233"}}'})
    where = loaded.settings.executor.temporal
    assert where is not None and (where.address, where.task_queue) == ("h:7233", "alma")
    assert {o.path: o.value for o in load_settings(None, {}).origins}["executor"] == "local"


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        load_settings(tmp_path / "none.yaml", {})
