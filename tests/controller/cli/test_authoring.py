"""`alma council` and `alma generate` without a model: rules and templates, nothing written that was not asked for."""

from __future__ import annotations

import json
from pathlib import Path

from tests.controller.cli.conftest import SHOP, Alma


def test_the_council_discusses_a_blueprint(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    said = alma("council", "convene", "Is it safe?", "--blueprint", str(tmp_path / "shop.yaml"))
    assert said.code == 0 and "Votes: " in said.out and said.out.index("security") < said.out.index("architect")
    told = json.loads(alma("council", "convene", "a redis cache", "-o", "json").out)
    assert told["format"] == "alma.council/v1" and len(told["statements"]) == 5
    assert alma("council", "convene", "x", "--blueprint", "none.yaml").code == 3


def test_words_become_a_blueprint_that_is_valid_and_only_written(alma: Alma, tmp_path: Path) -> None:
    file = tmp_path / "blueprints" / "cache.yaml"
    file.parent.mkdir()
    said = alma("generate", "a redis cluster for sessions", "-o", str(file))
    assert said.code == 0 and f"wrote {file}" in said.out
    assert alma("validate", str(file.parent)).code == 0
    again = alma("generate", "a redis cluster", "-o", str(file))
    assert again.code == 3 and "is there already" in again.err
    assert alma("generate", "a redis cluster for sessions").out == file.read_text()
    assert "even the smallest" in alma("generate", "a redis cluster", "--max-cost", "1").err
