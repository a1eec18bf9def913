"""Planning a scope takes time in proportion to it: shares of memory, CPU and disk are not compared with each other."""

from __future__ import annotations

import pytest

from controller.blueprint.loader import load_scope
from controller.blueprint.repository import load_repository
from controller.errors import InvalidInput
from controller.plan.graph import DesiredGraph, Placement, desired_graph
from controller.plan.planner import make_plan
from controller.plan.resource import Claim, Snapshot
from engines.registry import load_engine
from engines.simulation.preview import effects


def graph(count: int, port: str = "") -> DesiredGraph:
    scope = load_repository(None, default_scope="prod").scopes[0]
    specs = f"cpu: 1, memory: 1GB{f', ports: [{port}]' if port else ''}"
    lines = "".join(f"  - {{name: r{n}, type: container, specs: {{{specs}}}}}\n" for n in range(count))
    entries = load_scope({"a.yaml": f"name: a\nprovider: simulation\nresources:\n{lines}".encode()}, scope).entries
    kinds = {"simulation": load_engine("simulation").kinds}
    return desired_graph("prod", entries, Placement({"simulation": ("sim",)}, kinds))


def test_shares_are_never_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Claim] = []
    real = Claim.collides

    def counted(self: Claim, other: Claim) -> bool:
        asked.append(self)
        return real(self, other)

    monkeypatch.setattr(Claim, "collides", counted)
    made, live = graph(200), Snapshot()
    plan = make_plan(made, {"sim": live}, {"sim": effects(made.desired["sim"], live, "prod", "home")}, "r")
    assert len(plan.changes) == 200
    assert len(asked) <= 200


def test_one_port_wanted_twice_is_still_an_error() -> None:
    made, live = graph(2, '"8080:80"'), Snapshot()
    with pytest.raises(InvalidInput, match="already held by"):
        make_plan(made, {"sim": live}, {"sim": effects(made.desired["sim"], live, "prod", "home")}, "r")


def test_the_names_of_a_scope_are_shared_between_its_blueprints() -> None:
    scope = load_repository(None, default_scope="prod").scopes[0]
    text = "name: {0}\nprovider: simulation\nresources: [{{name: app, type: container, dependencies: [{1}/app]}}]\n"
    files = {"a.yaml": b"name: a\nprovider: simulation\nresources: [{name: app, type: container}]\n"}
    files["b.yaml"] = text.format("b", "a").encode()
    kinds = {"simulation": load_engine("simulation").kinds}
    made = desired_graph("prod", load_scope(files, scope).entries, Placement({"simulation": ("sim",)}, kinds))
    assert made.waves == {"prod/a/app": 0, "prod/b/app": 1}
