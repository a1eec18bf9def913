"""`alma review`: a merge, judged offline."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pygit2
import pytest

from controller.git.authoring import Author, commit_files
from controller.git.founding import found_repository
from tests.controller.cli.conftest import SHOP, Alma

AUTHOR = Author("Ada", "ada@example.org", 0)
GOOD = SHOP.replace('specs: {image: "web:1.0", ports: ["8080:80"]}', 'specs: {image: "web:1.0", cpu: 1, memory: 64MB}')


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A bare repository with the branches `main`, `better`, `worse` (no YAML), `apart` (conflicts with better)."""
    path = tmp_path / "infra.git"
    base = found_repository(path, "main", {"shop.yaml": GOOD.encode()}, "begin", AUTHOR)
    repo = pygit2.Repository(str(path))
    branches = {"better": GOOD.replace("1.0", "1.1"), "worse": "name: [", "apart": GOOD.replace("1.0", "2.0")}
    for name, text in branches.items():
        commit = commit_files(repo, base, {"shop.yaml": text.encode()}, name, AUTHOR)
        repo.references.create(f"refs/heads/{name}", commit)
    return path


def test_the_comment_is_printed_and_nothing_changes(alma: Alma, infra: Path) -> None:
    said = alma("review", infra, "--base", "main", "--head", "better")
    assert said.code == 0, said
    assert said.out.startswith("### ")
    assert "+     image" in said.out
    assert "web:1.1" in said.out


def test_as_json_it_has_plans_findings_cost_and_statuses(alma: Alma, infra: Path) -> None:
    told = json.loads(alma("review", infra, "--base", "main", "--head", "better", "-o", "json").out)
    assert told["format"] == "alma.review/v1"
    assert told["plans"][0]["format"] == "alma.plan/v1"
    assert told["scopes"][0]["digest"] == told["plans"][0]["digest"]
    assert {line["context"] for line in told["statuses"]} >= {"alma/plan", "alma/audit", "alma/cost", "alma/deploy"}
    assert set(told["cost"]["infra-git"]) >= {"before", "after", "low", "high", "change", "currency", "unpriced"}
    assert 0 <= float(told["scopes"][0]["score"]) <= 10
    assert all({"rule", "severity", "resource", "place", "scope"} <= set(f) for f in told["findings"])


def test_as_sarif_and_junit_other_programs_read_the_findings(alma: Alma, infra: Path) -> None:
    told = json.loads(alma("review", infra, "--base", "main", "--head", "better", "-o", "sarif").out)
    assert told["version"] == "2.1.0"
    assert {r["ruleId"] for r in told["runs"][0]["results"]} >= {"image-without-digest", "capabilities-kept"}
    said = alma("review", infra, "--base", "main", "--head", "better", "-o", "junit")
    assert said.code == 0
    assert ElementTree.fromstring(said.out).tag == "testsuites"


def test_the_frameworks_of_the_policy_and_the_room_on_targets_are_judged(alma: Alma, tmp_path: Path) -> None:
    files = {
        "alma.yaml": b"version: 1\nscopes: [{name: prod, path: prod}]\n"
        b"policy: {audit: {frameworks: [SOC2, ISO-9000]}}\n",
        "prod/shop.yaml": GOOD.encode(),
    }
    path = tmp_path / "own.git"
    base = found_repository(path, "main", files, "begin", AUTHOR)
    repo = pygit2.Repository(str(path))
    more = GOOD.replace("memory: 64MB", "memory: 2GB").replace("1.0", "1.1")
    repo.references.create("refs/heads/more", commit_files(repo, base, {"prod/shop.yaml": more.encode()}, "m", AUTHOR))
    told = json.loads(alma("review", path, "--base", "main", "--head", "more", "-o", "json").out)
    (scope,) = told["scopes"]
    assert scope["problems"] == [] and not scope["refused"], scope
    assert set(scope["compliance"]) == {"SOC2"}
    assert scope["compliance"]["SOC2"]["controls"]["CC1.1"]["status"] == "not assessable"
    assert [(load["measure"], load["change"]) for load in scope["capacity"] if load["change"]]
    shown = alma("review", path, "--base", "main", "--head", "more").out
    assert "<summary>Compliance: SOC2 " in shown and "<summary>Capacity" in shown
    assert "ISO-9000 not known; known: SOC2" in shown.replace("`", "")


def test_a_blocked_verdict_is_exit_4(alma: Alma, infra: Path) -> None:
    said = alma("review", infra, "--base", "main", "--head", "worse")
    assert said.code == 4
    assert "shop.yaml" in said.out


def test_a_conflict_names_the_files(alma: Alma, infra: Path) -> None:
    said = alma("review", infra, "--base", "better", "--head", "apart")
    assert said.code == 3
    assert "shop.yaml:1:1: conflicts with better" in said.err


def test_an_unknown_revision_is_exit_3(alma: Alma, infra: Path) -> None:
    said = alma("review", infra, "--base", "main", "--head", "nobody")
    assert (said.code, said.out) == (3, "")
    assert "nobody is no branch and no commit" in said.err
