"""`alma` without any configuration, beside a kubeconfig: its cluster is a target for what names it, on a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli.main import run
from tests.servers.kubernetes import ControlPlane

pytestmark = pytest.mark.kubernetes

_WEB = '  - {name: web, type: container, provider: simulation, specs: {image: "web:1.0"}}\n'
_CONF = """\
  - name: conf
    type: manifest
    provider: kubernetes
    specs: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {a: "1"}}}
"""


def test_what_was_put_on_an_offered_cluster_is_taken_away_when_no_entry_names_it_any_more(
    tmp_path: Path, cluster: ControlPlane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("ALMA_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prod"
    folder.mkdir()
    blueprint = folder / "b.yaml"
    text = "name: b\nresources:\n" + _WEB
    (folder / "alma.yaml").write_text("version: 1\nscopes:\n  - {name: prod, path: .}\n")

    blueprint.write_text(text + _CONF)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert run(["deploy", str(folder), "--yes"]) == 0, capsys.readouterr()
    assert cluster.get("configmap", "conf", "prod")
    blueprint.write_text(text)
    capsys.readouterr()
    assert run(["plan", str(folder)]) == 0
    assert "- prod/b/conf" in capsys.readouterr().out
    assert run(["deploy", str(folder), "--yes"]) == 0, capsys.readouterr()
    assert cluster.get("configmap", "conf", "prod") is None
    blueprint.write_text("name: b\nresources: []\n")
    assert run(["destroy", str(folder), "--yes"]) == 0, capsys.readouterr()
