"""The thirteen tools by name: what goes in, what comes out, and that none needs a model."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from controller.blueprint.catalog import templates
from controller.errors import AlmaError, InvalidInput
from controller.operations import tools as operations
from controller.review.price_book import default_book
from controller.targets import kinds_of
from controller.tools import registry
from controller.tools.queueing import erlang_c
from controller.tools.registry import BUILT_IN, tools
from controller.tools.tool import Ground

Json = Any
GROUND = Ground(default_book(), date(2026, 11, 21), kinds_of({"simulation": ("simulation",), "docker": ("docker",)}))
SHOP = """\
name: shop
provider: docker
resources:
  - name: web
    type: container
    dependencies: [db]
    specs: {image: "shop:1.4", ports: ["8080:80"], cpu: 4, memory: 8GB, restart: always}
    health: {http: {port: 80}}
  - name: db
    type: database
    engine: postgresql
    version: "17"
    specs:
      image: postgres:17
      ports: ["5432:5432"]
      volumes: ["data:/var/lib/postgresql/data"]
      cpu: 8
      memory: 32GB
  - {name: data, type: volume, specs: {size: 100GB}}
"""


def ask(name: str, **parameters: object) -> Json:
    told = operations.run(name, parameters, GROUND)
    assert told["tool_name"] == name
    return told["result"]


def test_the_thirteen_are_there_by_name_with_schemas_of_both_sides() -> None:
    told = operations.listed()["tools"]
    assert [t["name"] for t in told] == [
        "create_blueprint",
        "validate_blueprint",
        "estimate_resources",
        "optimize_costs",
        "security_audit",
        "generate_deployment_plan",
        "troubleshoot_issue",
        "compare_blueprints",
        "suggest_architecture",
        "calculate_capacity",
        "migrate_infrastructure",
        "check_compliance",
        "forecast_metrics",
    ]
    assert all(t["parameters"]["type"] == t["result"]["type"] == "object" and t["description"] for t in told)


WORKING: Mapping[str, dict[str, object]] = {
    "create_blueprint": {"description": "a highly available web shop with 4 instances"},
    "validate_blueprint": {"blueprint": SHOP},
    "estimate_resources": {"blueprint": SHOP},
    "optimize_costs": {"blueprint": SHOP, "target_reduction": "0.3"},
    "security_audit": {"blueprint": SHOP, "check_compliance": ["SOC2"]},
    "generate_deployment_plan": {"blueprint": SHOP},
    "troubleshoot_issue": {"error_message": "bind: address already in use"},
    "compare_blueprints": {"base": SHOP, "head": SHOP},
    "suggest_architecture": {"requirements": "kubernetes microservices"},
    "calculate_capacity": {"users": 1_000_000},
    "migrate_infrastructure": {"blueprint": SHOP, "target_provider": "kubernetes"},
    "check_compliance": {"blueprint": SHOP},
    "forecast_metrics": {"metric": "disk", "values": [1, 2, 3, 4, 5]},
}


@pytest.mark.parametrize("name", tools())
def test_a_tool_answers_the_same_every_time(name: str, report_n: Callable[..., None]) -> None:
    assert ask(name, **WORKING[name]) == ask(name, **WORKING[name])
    report_n("M16 tools", 1)


@pytest.mark.parametrize("name", tools())
def test_an_unknown_parameter_is_told_with_the_next_step(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        ask(name, **WORKING[name], blueprnt="x")
    assert f"{name}: blueprnt: unknown parameter" in str(caught.value)
    assert caught.value.hint == f"alma tools show {name}"


@pytest.mark.parametrize("name", [n for n, p in WORKING.items() if "blueprint" in p])
def test_a_broken_blueprint_is_told_with_its_line(name: str) -> None:
    given = {**WORKING[name], "blueprint": "name: a\nresources: [{name: x}]"}
    if name == "validate_blueprint":
        told = ask(name, **given)
        assert not told["valid"] and told["errors"][0]["line"] == 2
        return
    with pytest.raises(InvalidInput, match=r"blueprint.yaml:2:\d+: resources.0.type: is required"):
        ask(name, **given)


def test_create_takes_template_count_and_cost_from_words() -> None:
    told = ask("create_blueprint", description="A K8s cluster with 6 services", constraints={"max_cost": 500})
    assert told["template"] == "microservices-k8s" and told["parameters"]["services"] == "6"
    assert Decimal(told["monthly_cost"]) <= 500
    assert ask("validate_blueprint", blueprint=told["blueprint"])["valid"]


@pytest.mark.parametrize("name", templates())
def test_create_knows_every_template_by_its_own_words(name: str) -> None:
    assert ask("create_blueprint", description=f"{name} {templates()[name].use}")["template"] == name


def test_validate_asks_the_kinds_of_the_engines_too() -> None:
    told = ask("validate_blueprint", blueprint=SHOP.replace("restart: always", "restrt: always"))
    assert [(e["path"], e["line"]) for e in told["errors"]] == [("resources.0.specs.restrt", 7)]
    assert "did you mean restart?" in told["errors"][0]["message"]
    assert any("database port 5432" in w for w in ask("validate_blueprint", blueprint=SHOP)["warnings"])


def test_estimate_adds_up_and_names_its_prices() -> None:
    told = ask("estimate_resources", blueprint=SHOP)
    assert Decimal(told["cpu"]) == 12 and Decimal(told["memory"]) == 40
    assert sum(Decimal(r["monthly_cost"]) for r in told["resources"]) == Decimal(told["monthly_cost"]["expected"])
    assert Decimal(told["monthly_cost"]["low"]) < Decimal(told["monthly_cost"]["high"])
    assert "2026" in told["price_source"]


@pytest.mark.parametrize("target", ["0.10", "0.25", "0.30", "0.50"])
def test_optimize_reaches_its_target_with_patches_that_apply(target: str, tmp_path: Path) -> None:
    told = ask("optimize_costs", blueprint=SHOP, target_reduction=target)
    original = Decimal(told["original_cost"])
    assert told["reached"] and Decimal(told["savings"]) >= original * Decimal(target)
    assert original - Decimal(told["savings"]) == Decimal(told["optimized_cost"])
    for patch in (told["patch"], *(r["patch"] for r in told["recommendations"])):
        assert "cost" not in patch
        _applied(tmp_path, patch)
    after = _applied(tmp_path, told["patch"])
    assert ask("estimate_resources", blueprint=after)["monthly_cost"]["expected"] == told["optimized_cost"]


def _applied(folder: Path, patch: str) -> str:
    (folder / "blueprint.yaml").write_text(SHOP)
    (folder / "change.patch").write_text(patch)
    subprocess.run(["git", "apply", "--unsafe-paths", "change.patch"], cwd=folder, check=True, capture_output=True)
    return (folder / "blueprint.yaml").read_text()


COPIES = """\
name: many
provider: simulation
resources:
  - name: web
    type: container
    specs: {image: "w:1", cpu: 4, memory: 8GB, replicas: 4}
"""


def test_copies_and_their_size_are_not_cut_at_once_and_the_sum_is_the_true_one() -> None:
    told = ask("optimize_costs", blueprint=COPIES, target_reduction="0.9")
    assert len(told["recommendations"]) == 1 and not told["reached"]
    assert told["note"] == "this is all that can be saved; the target is not reached"


def test_what_stands_in_no_line_of_its_own_is_not_promised() -> None:
    told = ask("optimize_costs", blueprint="name: a\ntemplate: ha-web-app\n")
    assert told["recommendations"] == [] and told["savings"] == "0.00" and told["patch"] == ""
    with pytest.raises(InvalidInput, match="used names wbe"):
        ask("optimize_costs", blueprint=SHOP, used={"wbe": {"cpu": 0.1}})


def test_optimize_takes_no_more_than_it_must() -> None:
    small, large = (ask("optimize_costs", blueprint=SHOP, target_reduction=t)["savings"] for t in ("0.10", "0.50"))
    assert Decimal(small) < Decimal(large)


def test_with_performance_preserved_only_what_is_idle_is_taken() -> None:
    blind = ask("optimize_costs", blueprint=SHOP, preserve_performance=True)
    assert blind["recommendations"] == [] and not blind["reached"] and "`used`" in blind["note"]
    used = {"db": {"cpu": 0.3, "memory": 0.9}}
    told = ask("optimize_costs", blueprint=SHOP, preserve_performance=True, used=used, target_reduction="0.2")
    assert {(r["resource"], r["change"].split(":")[0]) for r in told["recommendations"]} == {("db", "cpu")}
    # 0.3 used at peak and 30% above it need 0.39: half may go, three quarters may not.
    assert "cpu: 8 → 4" in told["recommendations"][0]["change"]


def test_audit_has_score_findings_and_frameworks() -> None:
    told = ask("security_audit", blueprint=SHOP, check_compliance=["SOC2", "GDPR"])
    assert 0 <= told["security_score"] <= 10 and told["compliance"] == {"SOC2": "failing", "GDPR": "failing"}
    (found,) = [v for v in told["vulnerabilities"] if v["rule_id"] == "database-port-public"]
    assert (found["severity"], found["resource"], found["line"]) == ("high", "db", 15)
    with pytest.raises(InvalidInput, match="ISO is no framework here"):
        ask("security_audit", blueprint=SHOP, check_compliance=["ISO"])


def test_compliance_tells_each_control_with_its_evidence() -> None:
    told = ask("check_compliance", blueprint=SHOP, frameworks=["PCI-DSS"])["frameworks"]["PCI-DSS"]
    control = {c["control"]: c for c in told["controls"]}
    assert control["1.4.4"]["status"] == "failing" and "database-port-public at" in control["1.4.4"]["evidence"]
    assert control["12.6.1"]["status"] == "not assessable"


def test_a_deployment_plan_follows_dependencies_and_ends_with_what_goes() -> None:
    told = ask("generate_deployment_plan", blueprint=SHOP)
    assert [(s["resource"], s["wave"]) for s in told["steps"]] == [("data", 0), ("db", 0), ("web", 1)]
    head = SHOP.replace("shop:1.4", "shop:1.5").replace("  - {name: data, type: volume, specs: {size: 100GB}}\n", "")
    changed = ask("generate_deployment_plan", base=SHOP, blueprint=head.replace('volumes: ["data:', 'volumes: ["/srv:'))
    assert [(s["action"], s["resource"]) for s in changed["steps"]] == [
        ("update", "db"),
        ("update", "web"),
        ("destroy", "data"),
    ]
    assert changed["steps"][-1]["risk"].startswith("high")


def test_comparing_tells_fields_and_cost_and_never_a_secret() -> None:
    head = SHOP.replace("memory: 8GB", "memory: 16GB, env: {TOKEN: ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8}")
    told = ask("compare_blueprints", base=SHOP, head=head)
    assert told["changed"] == [
        {
            "resource": "web",
            "fields": [
                {"path": "specs.env.TOKEN", "before": "(unset)", "after": "(secret)"},
                {"path": "specs.memory", "before": '"8GB"', "after": '"16GB"'},
            ],
        }
    ]
    assert Decimal(told["cost_delta"]) == Decimal("2.74")


def test_suggestions_come_from_the_requirements_and_from_what_is_missing() -> None:
    told = ask("suggest_architecture", requirements="a cache", blueprint=SHOP)
    assert told["template"] == "redis-cluster"
    assert any(s["resources"] == ["db"] and "backup" in s["title"] for s in told["suggestions"])
    with pytest.raises(InvalidInput, match="needs requirements or a blueprint"):
        ask("suggest_architecture")


@pytest.mark.parametrize(("workers", "load", "waits"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (10, 8.0, 0.409180)])
def test_the_queue_is_erlangs(workers: int, load: float, waits: float) -> None:
    """With one worker it is the utilisation; the last value is of published tables."""
    assert math.isclose(erlang_c(workers, load), waits, rel_tol=1e-4)


def test_capacity_keeps_headroom_and_the_wait_that_was_asked_for() -> None:
    told = ask("calculate_capacity", requests_per_second=1000, service_time_ms=50, wait_p95_ms=20, parallel=4)
    assert told["headroom"] >= 0.3 and told["wait_p95_ms"] <= 20
    assert told["instance_count"] * 4 >= math.ceil(50 / 0.7)
    assert told["cpu"] == told["instance_count"] * 2
    more = ask("calculate_capacity", requests_per_second=2000, service_time_ms=50, wait_p95_ms=20, parallel=4)
    assert more["instance_count"] > told["instance_count"]


def test_a_line_is_continued_and_noise_widens_the_interval() -> None:
    line = ask("forecast_metrics", metric="disk", values=[10 + 2 * i for i in range(30)], horizon=5, limit=75)
    assert [round(p["value"], 3) for p in line["points"]] == [70, 72, 74, 76, 78]
    assert line["full_in_steps"] == 4 and line["points"][0]["upper"] - line["points"][0]["lower"] < 1e-6
    noisy = ask("forecast_metrics", metric="disk", values=[10 + (-1) ** i for i in range(30)], horizon=5)
    widths = [p["upper"] - p["lower"] for p in noisy["points"]]
    assert widths == sorted(widths) and widths[0] > 1
    assert all(p["lower"] <= p["value"] <= p["upper"] for p in noisy["points"])


def test_troubles_are_recognised_and_the_blueprint_gives_evidence() -> None:
    told = ask(
        "troubleshoot_issue", error_message="web: bind 0.0.0.0:8080 failed: address already in use", blueprint=SHOP
    )
    assert told["probable_causes"] == ["another process holds the port"]
    assert "web publishes port 8080" in told["evidence"]
    assert any("ss -ltnp" in s for s in told["next_steps"])
    unknown = ask("troubleshoot_issue", error_message="fnord")
    assert unknown["probable_causes"] == ["not among the known ones"] and unknown["next_steps"]


def test_migration_keeps_what_is_the_same_and_names_the_rest() -> None:
    told = ask("migrate_infrastructure", blueprint=SHOP, target_provider="proxmox")
    assert "provider: proxmox" in told["blueprint"] and "cores: 8" in told["blueprint"]
    lost = {(u["resource"], u["field"]) for u in told["unmapped"]}
    assert {("data", "type"), ("web", "specs.image"), ("db", "specs.ports")} <= lost
    assert any("move the data of" in s for s in told["steps"])
    same = ask("migrate_infrastructure", blueprint=SHOP, target_provider="simulation")
    assert same["unmapped"] == [] and ask("validate_blueprint", blueprint=same["blueprint"])["valid"]


def test_a_tool_of_ones_own_comes_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(BUILT_IN[0], name="count_resources")
    monkeypatch.setattr(registry, "entry_points", lambda group: [_Point(own)] if group == "alma.tools" else [])
    tools.cache_clear()
    try:
        assert "count_resources" in tools() and len(tools()) == 14
        monkeypatch.setattr(registry, "entry_points", lambda group: [_Point(BUILT_IN[0])])
        tools.cache_clear()
        with pytest.raises(AlmaError, match="the name create_blueprint is taken"):
            tools()
    finally:
        monkeypatch.undo()
        tools.cache_clear()


class _Point:
    """An entry point of a plug-in."""

    name = value = "plugin:TOOL"

    def __init__(self, made: object) -> None:
        self.made = made

    def load(self) -> object:
        return self.made
