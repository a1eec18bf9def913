"""Templates from the command line: listed, shown, and rendered into a file that is valid as it is."""

from __future__ import annotations

import json
from pathlib import Path

from tests.controller.cli.conftest import Alma


def test_every_template_is_listed_and_shown(alma: Alma) -> None:
    assert len(alma("templates", "list").out.splitlines()) == 11
    told = json.loads(alma("templates", "list", "-o", "json").out)
    assert {t["name"] for t in told["templates"]} >= {"ha-web-app", "ml-training"}
    shown = alma("templates", "show", "ha-web-app").out
    assert "8 resources, 300 to 500 EUR per month" in shown
    assert "instance_count" in shown


def test_what_is_rendered_is_a_valid_blueprint(alma: Alma, tmp_path: Path) -> None:
    text = alma("templates", "render", "ha-web-app", "--set", "instance_count=2", "--name", "shop").out
    (tmp_path / "shop.yaml").write_text(text)
    assert "valid, 7 resources" in alma("validate", tmp_path / "shop.yaml").out


def test_a_wrong_parameter_or_name_is_told_with_the_next_step(alma: Alma) -> None:
    said = alma("templates", "render", "ha-web-app", "--set", "instance_count=many")
    assert said.code == 3
    assert "instance_count: must be a whole number from 2 to 20" in said.err
    assert "alma templates show ha-web-app" in said.err
    assert "did you mean ha-web-app?" in alma("templates", "show", "ha-webapp").err
