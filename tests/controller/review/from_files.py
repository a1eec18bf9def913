"""A review made from `tests/golden/CASE/`: blueprint.yaml (and base.yaml) through the real loader, kinds and planner,
against the objects of observed.yaml on one simulated target. Nobody is asked anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from controller.blueprint.loader import LoadedScope, load_scope
from controller.blueprint.repository import ScopeConfig
from controller.errors import InvalidInput
from controller.plan.graph import Placement, desired_graph
from controller.plan.planner import make_plan
from controller.plan.resource import Capacity, Snapshot
from controller.review.audit import audit
from controller.review.cost import cost
from controller.review.finding import Severity
from controller.review.narrative import told_by_rules
from controller.review.report import Review, ScopeReview
from controller.review.rules.rule import ScopeView
from engines.simulation.kinds import KINDS
from engines.simulation.preview import effects
from engines.simulation.record import seen_of
from tests.controller.review.cases import BASE, BOOK, HEAD

INSTALL, SCOPE, TARGET = "home", "prod", "sim"
TODAY = date(2026, 11, 21)
_FILLED_IN = {"restart": "no"}  # by the platform; no mark claims them


def review_from(folder: Path) -> Review:
    """Of the files in `folder`, as the pull request that brings blueprint.yaml would get it."""
    try:
        scope = _scope(folder)
    except InvalidInput as e:
        scope = ScopeReview(SCOPE, problems=e.problems)
    review = Review((scope,), HEAD, BASE, Severity.CRITICAL)
    return replace(review, narrative=told_by_rules(review))


def _scope(folder: Path) -> ScopeReview:
    wanted, base = _loaded(folder / "blueprint.yaml"), _loaded(folder / "base.yaml")
    placement = Placement({"simulation": (TARGET,)}, {"simulation": KINDS})
    graph = desired_graph(SCOPE, wanted.entries, placement)
    seen = {TARGET: _snapshot(folder / "observed.yaml")}
    needed = {TARGET: effects(graph.desired[TARGET], seen[TARGET], SCOPE, INSTALL)}
    plan = make_plan(graph, seen, needed, HEAD)
    found = audit(ScopeView(graph, plan, seen), TODAY)
    return ScopeReview(SCOPE, plan, found, cost(BOOK, base.entries, wanted.entries))


def _loaded(file: Path) -> LoadedScope:
    files = {file.name: file.read_bytes()} if file.exists() else {}
    return load_scope(files, ScopeConfig(SCOPE))


def _snapshot(file: Path) -> Snapshot:
    return Snapshot(tuple(seen_of(_record(o)) for o in yaml.safe_load(file.read_text())["objects"]), (), Capacity())


def _record(told: Mapping[str, Any]) -> dict[str, Any]:
    """An object of observed.yaml as the simulated platform stores it. One without `resource` is foreign."""
    type_, _, name = told["key"].partition("/")
    mark = {
        "install": INSTALL,
        "scope": SCOPE,
        "resource": f"{SCOPE}/{told.get('resource')}",
        "op": "before",
        "protect": told.get("protect", False),
        "on_delete": told.get("on_delete", "destroy"),
        "fields": sorted(told["fields"]),
        "secrets": [],
    }
    return {
        "kind": f"simulation/{type_}",
        "name": name,
        "uid": told["uid"],
        "version": 1,
        "part": "current",
        "running": True,
        "fields": {"hostname": name, **_FILLED_IN, **told["fields"]},
        "pending": {},
        "mark": mark if "resource" in told else None,
        "task": None,
        "checks": 0,
        "broken": False,
    }
