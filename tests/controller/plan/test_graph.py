"""Entries become objects in waves; a fingerprint of exactly what is wanted (quarantine holds it)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.entry import Entry
from controller.errors import InvalidInput, Place
from controller.plan.graph import DesiredGraph, Placement, desired_graph, waves
from controller.plan.health import HEALTHY, Health, HealthState, worst
from engines.registry import load_engine

KINDS = {"simulation": load_engine("simulation").kinds}
ONE = Placement({"simulation": ("sim", "second")}, KINDS)


def web(name: str = "web", **more: object) -> Entry:
    base = Entry("prod", "shop", name, "container", Place("shop.yaml", 4, 5), specs={"image": "web:1"})
    return replace(base, **more)  # type: ignore[arg-type]  # any field of an entry


def graph(*entries: Entry, placement: Placement = ONE) -> DesiredGraph:
    return desired_graph("prod", entries, placement)


@given(st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 5), st.frozensets(st.integers(0, 30)))))
def test_a_wave_is_above_every_dependency_and_never_below_its_floor(
    nodes: dict[int, tuple[int, frozenset[int]]],
) -> None:
    floors = {str(n): floor for n, (floor, _) in nodes.items()}
    edges = {str(n): [str(d) for d in needs if d < n] for n, (_, needs) in nodes.items()}
    found = waves(floors, edges)
    for name, needs in edges.items():
        known = [found[d] for d in needs if d in floors]
        assert found[name] == max(floors[name], *(w + 1 for w in known), 0)


def test_a_chain_of_thousands_has_as_many_waves() -> None:
    edges = {str(n): [str(n - 1)] if n else [] for n in range(10_000)}
    assert max(waves(dict.fromkeys(edges, 0), edges).values()) == 9_999


def test_the_fingerprint_is_of_the_content_not_of_its_place_or_order() -> None:
    first, second = web("a"), web("b")
    base = graph(first, second).fingerprint
    assert graph(second, replace(first, place=Place("other.yaml", 9, 9))).fingerprint == base
    assert graph(first, web("b", specs={"image": "web:2"})).fingerprint != base
    assert graph(first, web("b", target="second")).fingerprint != base
    assert graph(first).fingerprint != base
    assert desired_graph("prod", (first, second), ONE, {"web:1": "sha256:1"}).fingerprint == base


@pytest.mark.parametrize(
    ("entry", "placement", "word"),
    [
        (web(provider="docker"), ONE, "has no docker target"),
        (web(type="spaceship"), ONE, "has no type spaceship"),
        (web(target="third"), ONE, "third is no simulation target"),
        (web(), Placement({"simulation": ("sim",), "docker": ("d",)}, KINDS), "say which provider"),
    ],
)
def test_what_cannot_be_placed_is_told_at_its_place(entry: Entry, placement: Placement, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as raised:
        graph(entry, placement=placement)
    assert str(raised.value.problems[0].place) == "shop.yaml:4:5"


def test_two_resources_that_would_be_one_object_are_an_error() -> None:
    named = {"image": "web:1", "name": "same"}
    with pytest.raises(InvalidInput, match="also claimed by prod/shop/a"):
        graph(web("a", specs=named), web("b", specs=named))
    assert graph(web("a", specs=named), web("b", specs=named, target="second")).waves


def test_the_worst_health_counts() -> None:
    degraded = Health(HealthState.DEGRADED, "exit 1")
    assert worst([HEALTHY, degraded, Health(HealthState.PROGRESSING)]) is degraded
    assert worst([]) == HEALTHY
