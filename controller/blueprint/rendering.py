"""`template:` in a blueprint file → its resources, before those the file writes itself.

Every rendered value has the place of the `template` key: that is the line a person can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from controller.blueprint.catalog import Template, templates
from controller.blueprint.limits import Limits
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.node import Items, Map, Mark, Node, mark, plain, position
from controller.blueprint.reading import checked
from controller.blueprint.schema import Blueprint
from controller.blueprint.value import Value
from controller.errors import InvalidInput, Place, Problem

Rendered = tuple[Blueprint | None, Map, tuple[Problem, ...]]


def rendered(blueprint: Blueprint, node: Map, file: str, limits: Limits) -> Rendered:
    """The blueprint with the resources of its template, and a tree that says where each stands; or what is wrong."""
    line, col = position(node, ("template",))
    known = templates().get(blueprint.template or "")
    if known is None:
        name = blueprint.template or ""
        near = did_you_mean(name, templates())
        text = f"no template is called {shown(name, 60)}{near}; known: {', '.join(templates())}"
        return None, node, (Problem(Place(file, line, col), text, "template"),)
    problems = tuple(_wrong(known, blueprint.parameters, node, file))
    if problems:
        return None, node, problems
    whole = _with_resources(node, known.render(blueprint.parameters), mark(line - 1, col - 1))
    content = plain(whole)
    assert isinstance(content, dict), "a map stays one"
    made, problems = checked(Blueprint, content, whole, file, limits.problems)
    return made, whole, problems


def _wrong(known: Template, given: Mapping[str, Value], node: Map, file: str) -> list[Problem]:
    """Each parameter that may not stand there, at its place."""
    found = []
    for name, value in given.items():
        try:
            known.values({name: value})
        except InvalidInput as error:
            place = Place(file, *position(node, ("parameters", name)))
            found.append(Problem(place, str(error), f"parameters.{shown(name, 60)}"))
    return found


def _with_resources(node: Map, resources: tuple[dict[str, Value], ...], at: Mark) -> Map:
    """`node` with these resources before its own."""
    own = node.values.get("resources")
    items, marks = (own.items, own.marks) if isinstance(own, Items) else ((), ())
    listed = Items((*(_placed(r, at) for r in resources), *items), (*(at for _ in resources), *marks), at)
    if "resources" in node.values:
        return Map({**node.values, "resources": listed}, node.marks, node.raw, node.at)
    return Map({**node.values, "resources": listed}, (*node.marks, at, at), node.raw, node.at)


def _placed(value: Value, at: Mark) -> Node:
    """A plain value as a tree whose every part stands at `at`."""
    if isinstance(value, Mapping):
        return Map({str(k): _placed(v, at) for k, v in value.items()}, (at,) * (2 * len(value)), {}, at)
    if isinstance(value, list | tuple):
        return Items(tuple(_placed(v, at) for v in value), (at,) * len(value), at)
    assert value is None or isinstance(value, str | int | Decimal), "templates hold plain values"
    return value
