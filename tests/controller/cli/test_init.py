"""`alma init`: what it writes works as it is, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.cli.init import starting_files
from controller.forges.registry import forge_kinds
from controller.settings import load_settings
from tests.controller.cli.conftest import Alma


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.cli.session._DOCKER_SOCKET", "/nowhere/docker.sock")


def test_what_it_writes_validates_and_plans(alma: Alma, tmp_path: Path) -> None:
    folder = tmp_path / "infra"
    said = alma("init", folder)
    assert said.code == 0
    server = folder / "alma-server.yaml"
    assert len(said.out.split("Next:\n")[1].splitlines()) == 3
    assert alma("--config", server, "validate", folder).code == 0
    planned = alma("--config", server, "plan", folder)
    assert planned.code == 0
    assert planned.last.startswith("Plan: 1 to create")
    assert alma("--config", server, "review", folder, "--base", "main", "--head", "x").code == 3  # no Git there yet


def test_nothing_is_overwritten(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "alma.yaml").write_text("mine")
    said = alma("init", tmp_path)
    assert said.code == 3
    assert "alma.yaml is there already; nothing was written" in said.err
    assert (tmp_path / "alma.yaml").read_text() == "mine"
    assert not (tmp_path / "alma-server.yaml").exists()


@pytest.mark.parametrize("forge", forge_kinds())
@pytest.mark.parametrize("docker", [False, True])
def test_for_every_forge_and_host_the_configuration_is_accepted(tmp_path: Path, forge: str, docker: bool) -> None:
    environment = {"DOCKER_HOST": "tcp://10.0.0.1:2376"} if docker else {}
    files = starting_files(tmp_path, forge, environment)
    (tmp_path / "s.yaml").write_text(files["alma-server.yaml"])
    settings = load_settings(tmp_path / "s.yaml", {}).settings
    assert settings.repositories[0].forge.kind == forge
    assert settings.targets["here"].engine == ("docker" if docker else "simulation")


def test_a_folder_that_cannot_be_made_is_told(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = alma("init", tmp_path / "file" / "below")
    assert said.code == 3
    assert "next: name a folder that can be written" in said.err
