"""A review's findings at their lines, where the forge shows such notes; a no of the forge stops nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.forges.forge import Annotation, ForgeRefused
from tests.controller.runtime.estate import ALMA_YAML, WEB, Repo, blueprint, estate

SHOP = "prod/shop.yaml"
CARELESS = WEB.replace("web:1.0", "web:latest")


async def test_each_finding_is_said_at_its_line_of_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    said: list[tuple[str, bool, Sequence[Annotation]]] = []

    async def annotate(sha: str, summary: str, failed: bool, annotations: Sequence[Annotation]) -> None:
        said.append((sha, failed, annotations))

    async with estate(repo, tmp_path / "state") as home:
        monkeypatch.setattr(home.controller.forges["infra"], "annotate", annotate, raising=False)
        await home.settle()
        head = repo.push({SHOP: blueprint(CARELESS)}, "ipr/careless")
        await home.settle()
        sha, _, notes = said[-1]
        assert sha == head
        assert (SHOP, 4) in {(n.path, n.line) for n in notes}
        assert any("latest" in n.message for n in notes)


async def test_a_mistake_is_said_at_its_line_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repo.make(tmp_path / "git", {"alma.yaml": ALMA_YAML, SHOP: blueprint(WEB)})
    said: list[tuple[bool, Sequence[Annotation]]] = []

    async def annotate(sha: str, summary: str, failed: bool, annotations: Sequence[Annotation]) -> None:
        said.append((failed, annotations))
        raise ForgeRefused("no")

    async with estate(repo, tmp_path / "state") as home:
        monkeypatch.setattr(home.controller.forges["infra"], "annotate", annotate, raising=False)
        await home.settle()
        repo.push({SHOP: blueprint("{name: web, type: container, specs: {imgae: x}}")}, "ipr/wrong")
        await home.settle()
        failed, notes = said[-1]
        assert failed and [(n.path, n.level) for n in notes] == [(SHOP, "failure")]
        assert "imgae" in await home.comment(1)
