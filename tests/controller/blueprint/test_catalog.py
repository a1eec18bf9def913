"""Starters: the ten by name, with the sizes and costs that are told of them, valid where they say that they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from controller.blueprint.catalog import Template, template, templates
from controller.blueprint.entry import Entry
from controller.blueprint.loader import load_scope
from controller.blueprint.repository import ScopeConfig
from controller.cli.main import run
from controller.errors import InvalidInput
from controller.plan.change import Plan
from controller.plan.graph import Placement, desired_graph
from controller.review.audit import audit
from controller.review.cost import cost
from controller.review.finding import Severity
from controller.review.price_book import default_book
from controller.review.rules.rule import ScopeView
from controller.targets import everything_allowed, kinds_of

# requirements, "Templates": resources and cost a month; 15+ for one of them.
TOLD = {
    "simple-web-app": ("low", 3, 100, 200),
    "ha-web-app": ("medium", 8, 300, 500),
    "microservices-k8s": ("high", 15, 800, 1500),
    "postgres-ha": ("medium", 6, 400, 700),
    "data-pipeline": ("high", 12, 600, 1200),
    "ml-training": ("high", 10, 1000, 3000),
    "zero-trust-network": ("medium", 9, 500, 800),
    "observability-stack": ("medium", 7, 300, 600),
    "api-gateway": ("low", 4, 200, 400),
    "redis-cluster": ("medium", 5, 300, 500),
}
SCOPE = ScopeConfig("prod", ".")


def entries(text: str) -> tuple[Entry, ...]:
    return load_scope({"a.yaml": text.encode()}, SCOPE).entries


def rendered(name: str) -> tuple[Entry, ...]:
    return entries(f"name: a\ntemplate: {name}\n")


def test_the_ten_templates_are_there_as_told() -> None:
    found = {n: (t.complexity, t.resources, int(t.cost_low), int(t.cost_high)) for n, t in templates().items()}
    assert found == TOLD


@pytest.mark.parametrize("name", TOLD)
def test_a_template_has_the_resources_and_the_cost_that_are_told(name: str, report_n: Callable[..., None]) -> None:
    found, told = rendered(name), template(name)
    costs = cost(default_book(), None, found)
    assert len(found) == told.resources
    assert costs.unpriced == ()
    assert costs.low is not None and costs.high is not None
    assert told.cost_low <= costs.low <= costs.total_after <= costs.high <= told.cost_high
    report_n("M21 templates", 1)


@pytest.mark.parametrize(("name", "engine"), [(n, e) for n, t in templates().items() for e in t.engines])
def test_a_template_is_valid_on_its_engines_and_teaches_nothing_a_review_would_stop(name: str, engine: str) -> None:
    targets = {engine: (engine,)}
    placement = Placement(targets, kinds_of(targets), everything_allowed((engine,), {}))
    graph = desired_graph("prod", rendered(name), placement)
    plan = Plan("prod", "0" * 40, (), "0" * 64, "", total=1, wanted=1)
    found = audit(ScopeView(graph, plan), date(2026, 11, 21)).findings
    assert [f for f in found if f.severity.rank >= Severity.MEDIUM.rank] == []


@pytest.mark.parametrize("name", TOLD)
def test_a_template_deploys_on_the_simulated_platform_and_then_has_nothing_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALMA_STATE", str(tmp_path / "state"))
    for secret in ("DB", "GATEWAY", "GRAFANA", "IDENTITY", "MINIO"):
        monkeypatch.setenv(f"APP_{secret}_PASSWORD", "a-password")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.yaml").write_text(f"name: a\nprovider: simulation\ntemplate: {name}\n")
    (tmp_path / "alma-server.yaml").write_text("targets: {here: {engine: simulation}}\n")
    assert run(["deploy", "shop", "--yes"]) == 0, capsys.readouterr().err
    assert run(["plan", "shop", "--detailed-exitcode"]) == 0


def test_parameters_change_what_comes_out() -> None:
    found = entries("name: a\ntemplate: ha-web-app\nparameters: {instance_count: 5, cpu_per_instance: 2}\n")
    copies = [e for e in found if e.name.startswith("web-")]
    assert len(copies) == 5 and {e.specs["cpu"] for e in copies} == {2}
    (balancer,) = [e for e in found if e.name == "balancer"]
    assert set(balancer.dependencies) == {f"prod/a/web-{n}" for n in range(1, 6)}


def test_resources_may_stand_beside_a_template_and_use_it() -> None:
    text = "name: a\ntemplate: redis-cluster\nresources: [{name: app, type: container, dependencies: [first]}]\n"
    found = {e.name: e for e in entries(text)}
    assert found["app"].dependencies == ("prod/a/first",)
    assert found["app"].place.line == 3
    assert found["first"].place.line == 2, "what a template wrote stands where it is named"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: a\ntemplate: ha-web-ap",
            "a.yaml:2:11: template: no template is called ha-web-ap; did you mean ha-web-app?",
        ),
        (
            "name: a\ntemplate: ha-web-app\nparameters: {instances: 3}",
            "a.yaml:3:25: parameters.instances: ha-web-app has no parameter instances; did you mean instance_count?",
        ),
        (
            "name: a\ntemplate: ha-web-app\nparameters: {instance_count: 1}",
            "a.yaml:3:30: parameters.instance_count: instance_count: must be a whole number from 2 to 20",
        ),
        (
            "name: a\ntemplate: ha-web-app\nparameters: {environment: prod}",
            "a.yaml:3:27: parameters.environment: environment: must be one of development, staging, production",
        ),
        (
            "name: a\ntemplate: ha-web-app\nparameters: {database_size: big}",
            "a.yaml:3:29: parameters.database_size: database_size: must be a size, as in 5TB",
        ),
        ("name: a\ntemplate: redis-cluster\nresources: [{name: first, type: vm}]", "resource first is already written"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        entries(text)
    assert said in str(caught.value)


def test_a_parameter_may_not_bring_a_reference() -> None:
    with pytest.raises(InvalidInput, match="must be text"):
        template("microservices-k8s").values({"domain": "${values.x}"})


def test_words_of_the_command_line_become_values_of_their_type() -> None:
    one: Template = template("ha-web-app")
    assert one.parameters["instance_count"].parsed("4") == 4
    assert one.parameters["backup_enabled"].parsed("false") is False
    assert one.parameters["database_size"].parsed("1TB") == "1TB"
    with pytest.raises(ValueError, match="true or false"):
        one.parameters["backup_enabled"].parsed("maybe")
