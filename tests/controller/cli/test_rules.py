"""The rules as a person reads them: made from the rules, filtered, with the next step when one is mistyped."""

from __future__ import annotations

import json

from controller.review.rules import RULES
from tests.controller.cli.conftest import Alma


def test_every_rule_is_listed_with_severity_clause_and_kinds(alma: Alma) -> None:
    told = alma("rules", "list")
    assert told.code == 0
    lines = told.out.splitlines()
    assert len(lines) == len(RULES) + 1
    assert lines[1].split()[:2] == ["privileged", "critical"]


def test_a_kind_and_a_framework_narrow_the_list(alma: Alma) -> None:
    told = json.loads(alma("rules", "list", "--kind", "proxmox/lxc", "--framework", "GDPR", "-o", "json").out)
    assert told["format"] == "alma.rules/v1"
    assert all("GDPR" in r["controls"] for r in told["rules"])
    assert {k for r in told["rules"] for k in r["kinds"]} >= {"proxmox/lxc"}
    assert "privileged" not in {r["id"] for r in told["rules"]}


def test_one_rule_is_shown_with_its_examples(alma: Alma) -> None:
    told = alma("rules", "show", "privileged")
    assert told.code == 0
    assert "CIS Docker 1.6.0, 5.5" in told.out
    assert "      privileged: true" in told.out
    assert json.loads(alma("rules", "show", "privileged", "-o", "json").out)["severity"] == "critical"


def test_a_mistyped_rule_is_answered_with_the_nearest(alma: Alma) -> None:
    told = alma("rules", "show", "privilegd")
    assert told.code == 3
    assert "did you mean privileged?" in told.err
    assert "alma rules list" in told.err
