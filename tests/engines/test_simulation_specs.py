"""What may be written for the simulated platform, and where each mistake is told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from controller.blueprint.entry import Entry, Lifecycle, UpdateOrder
from controller.blueprint.value import Output, Secret, Text
from controller.errors import Place, Problem
from controller.plan.resource import Allow, Desired, Expanding, ObjectKey
from engines.simulation import SimulationEngine
from engines.simulation.model import TYPES

KINDS = SimulationEngine.kinds
PLACE = Place("shop.yaml", 3, 5)


def expand(type_: str, specs: Mapping[str, object], **more: object) -> tuple[tuple[Desired, ...], tuple[Problem, ...]]:
    entry = Entry("prod", "shop", "it", type_, PLACE, specs=specs, **more)  # type: ignore[arg-type]  # keywords of a table
    names = {
        "net": ObjectKey("simulation/network", "prod-shop-net"),
        "base/lan": ObjectKey("simulation/network", "lan"),
    }
    return KINDS[type_].expand(entry, Expanding("prod", "one", Allow(), names))


def fields(type_: str, specs: Mapping[str, object], **more: object) -> Mapping[str, object]:
    (wanted,), problems = expand(type_, specs, **more)
    assert not problems
    return wanted.fields


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({"memory": "2048MB"}, {"memory": "2GB"}),
        ({"memory": "1.5GiB"}, {"memory": "1536MB"}),
        ({"cpu": 2}, {"cpu": 2}),
        ({"cpu": Decimal("0.5")}, {"cpu": "500m"}),
        ({"cpus": "2"}, {"cpu": 2}),
        ({"disk": "10GB"}, {"storage": "10GB"}),
        ({"disk": "10GB", "storage": "10240MB"}, {"storage": "10GB"}),
        (
            {"ports": [80, "8080:80/udp", "127.0.0.1:8443:443"]},
            {"ports.80/tcp": True, "ports.80/udp": "8080", "ports.443/tcp": "127.0.0.1:8443"},
        ),
        ({"ports": 80}, {"ports.80/tcp": True}),
        ({"env": {"A": 1, "B": True, "C": None}}, {"env.A": "1", "env.B": "true"}),
        ({"environment": ["A=1", "B=x=y"]}, {"env.A": "1", "env.B": "x=y"}),
        ({"networks": ["net", "other"]}, {"networks": ("prod-shop-net", "other")}),
        ({"networks": {"net": {"aliases": ["a"]}}}, {"networks": ("prod-shop-net",)}),
        ({"command": ["a", 1]}, {"command": ("a", "1")}),
        ({"healthcheck": {"test": ["a"], "retries": 3}}, {"healthcheck.test": ("a",), "healthcheck.retries": 3}),
        ({"simulate": {"health": "slow", "task_polls": 2}}, {"simulate.health": "slow", "simulate.task_polls": 2}),
        ({"image": None}, {}),
        ({"name": "mine"}, {}),
    ],
)
def test_what_is_written_becomes_these_fields(specs: dict[str, object], expected: dict[str, object]) -> None:
    assert fields("container", specs) == expected


@pytest.mark.parametrize(
    ("type_", "specs", "path", "text"),
    [
        ("container", {"memroy": "1GB"}, "specs.memroy", "container has no spec memroy; did you mean memory?"),
        ("network", {"image": "a"}, "specs.image", "network has no spec image"),
        ("container", {"memory": 2048}, "specs.memory", "2048 is no size"),
        ("container", {"memory": Output("prod/shop/db", "x")}, "specs.memory", "must be written out here"),
        ("container", {"cpu": "many"}, "specs.cpu", "many is no number of CPUs"),
        ("container", {"replicas": -1}, "specs.replicas", "must be a whole number"),
        ("container", {"replicas": True}, "specs.replicas", "must be a whole number"),
        ("container", {"tls": "yes"}, "specs.tls", "must be true or false"),
        ("container", {"image": ["a"]}, "specs.image", "must be text"),
        ("container", {"networks": "net"}, "specs.networks", "must be a list"),
        ("container", {"env": "A"}, "specs.env", "must be a map"),
        ("container", {"env": {"A": {"b": 1}}}, "specs.env", "A must be text"),
        ("container", {"ports": ["http"]}, "specs.ports", "a port is 80, 8080:80"),
        ("container", {"ports": [70000]}, "specs.ports", "70000 is out of range"),
        ("container", {"ports": ["0:80"]}, "specs.ports", "0:80 is out of range"),
        ("container", {"disk": "1GB", "storage": "2GB"}, "specs.storage", "the same quantity is 1GB above"),
        ("container", {"simulate": "never"}, "specs.simulate", "must be a map"),
        ("container", {"simulate": {"helth": "never"}}, "specs.simulate", "no helth; did you mean health?"),
        ("container", {"simulate": {"health": "bad"}}, "specs.simulate", "must be one of healthy, slow, never"),
        ("container", {"simulate": {"task_polls": -1}}, "specs.simulate", "a whole number from 0 to 1000"),
        ("container", {"simulate": {"irreversible": "yes"}}, "specs.simulate", "must be true or false"),
    ],
)
def test_a_mistake_is_told_at_its_place(type_: str, specs: dict[str, object], path: str, text: str) -> None:
    objects, problems = expand(type_, specs)
    assert objects == ()
    (problem,) = problems
    assert text in problem.message
    assert (problem.path, problem.place) == (f"resources.0.{path}", PLACE)


def test_every_mistake_is_told_at_once() -> None:
    _, problems = expand("container", {"a": 1, "memory": 1, "cpu": "x"})
    assert len(problems) == 3


def test_references_stay_references() -> None:
    secret, output = Secret("env:KEY"), Output("prod/shop/db", "address")
    mixed = Text(("postgres://", output))
    found = fields("container", {"image": mixed, "env": {"A": secret, "B": output}})
    assert found == {"image": mixed, "env.A": secret, "env.B": output}


def test_resources_named_in_specs_are_needed() -> None:
    (wanted,), _ = expand("container", {"networks": ["net", "base/lan", "else"], "volumes": ["net:/data"]})
    assert wanted.needs == ("prod/shop/net", "prod/base/lan")
    assert wanted.fields["volumes"] == ("prod-shop-net:/data",)


def test_product_network_and_backup_are_fields_too() -> None:
    found = fields(
        "database", {}, product="postgresql", version="16", network={"private_ip": "10.0.0.1"}, backup={"enabled": True}
    )
    assert found == {
        "engine": "postgresql",
        "version": "16",
        "network.private_ip": "10.0.0.1",
        "backup.enabled": True,
    }


def test_a_manifest_takes_any_key() -> None:
    assert fields("manifest", {"spec": {"a": {"b": [1]}}}) == {"spec.a.b": (1,)}


def test_two_that_hold_one_port_cannot_be_updated_start_first() -> None:
    _, problems = expand("container", {"ports": ["80:80"]}, lifecycle=Lifecycle(update=UpdateOrder.START_FIRST))
    assert "write stop-first" in problems[0].message


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_of_a_blueprint_has_a_kind_with_a_schema(type_: str) -> None:
    kind = KINDS[type_]
    (wanted,), problems = expand(type_, {})
    assert not problems
    assert wanted.key == ObjectKey(f"simulation/{type_}", "prod-shop-it")
    assert {"name", "simulate"} <= set(kind.schema()["properties"])  # type: ignore[call-overload]  # JSON
    (named,), _ = expand(type_, {"name": "mine"})
    assert named.key.name == "mine"
