"""What `specs` name is a dependency like a written one."""

from __future__ import annotations

import pytest

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import load_repository
from controller.errors import InvalidInput
from controller.plan.graph import DesiredGraph, Placement, desired_graph
from engines.registry import load_engine

KINDS = {name: load_engine(name).kinds for name in ("docker", "simulation")}
TARGETS = {"docker": ("host",), "simulation": ("sim",)}
RESOURCES = """\
resources:
  - {name: app, type: container, specs: {image: "web:1", networks: [lan], volumes: ["data:/data"]}}
  - {name: data, type: volume%s}
  - {name: lan, type: network}
"""


def graph(provider: str, of_volume: str = "") -> DesiredGraph:
    scope = load_repository(None, default_scope="prod").scopes[0]
    text = f"name: shop\nprovider: {provider}\n{RESOURCES % of_volume}"
    entries = load_scope({"shop.yaml": text.encode()}, scope).entries
    return desired_graph(scope.name, entries, Placement(TARGETS, KINDS))


@pytest.mark.parametrize("provider", ["docker", "simulation"])
def test_a_network_and_a_volume_come_a_wave_before_what_names_them(provider: str) -> None:
    made = graph(provider)
    assert set(made.edges["prod/shop/app"]) == {"prod/shop/lan", "prod/shop/data"}
    assert made.waves == {"prod/shop/app": 1, "prod/shop/data": 0, "prod/shop/lan": 0}


@pytest.mark.parametrize("provider", ["docker", "simulation"])
def test_a_volume_that_waits_for_what_mounts_it_is_a_cycle(provider: str) -> None:
    with pytest.raises(InvalidInput, match="wait for each other") as raised:
        graph(provider, ", dependencies: [app]")
    assert raised.value.problems[0].place is not None
