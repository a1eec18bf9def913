"""The tools from the command line: JSON in, JSON out, blueprints as files."""

from __future__ import annotations

import json
from pathlib import Path

from tests.controller.cli.conftest import SHOP, Alma


def test_tools_are_listed_and_shown(alma: Alma) -> None:
    assert len(alma("tools", "list").out.splitlines()) == 14
    assert json.loads(alma("tools", "show", "calculate_capacity").out)["parameters"]["properties"]["users"]


def test_a_blueprint_is_given_as_a_path(alma: Alma, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    said = alma("tools", "run", "security_audit", "--json", json.dumps({"blueprint": str(tmp_path / "shop.yaml")}))
    told = json.loads(said.out)
    assert told["tool_name"] == "security_audit" and told["result"]["vulnerabilities"]


def test_what_is_wrong_is_told_with_the_next_step(alma: Alma) -> None:
    assert "did you mean security_audit?" in alma("tools", "run", "security_audi").err
    assert "--json:1:2: " in alma("tools", "run", "security_audit", "--json", "{").err
    said = alma("tools", "run", "security_audit", "--json", '{"blueprint": "none.yaml"}')
    assert said.code == 3 and "none.yaml: no such file" in said.err
    assert alma("tools", "run", "calculate_capacity", "--json", "[]").code == 3
