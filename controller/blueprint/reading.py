"""What pydantic finds wrong with a tree, said the way users read it: file, line, column, the path form of M02 and the
nearest known key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.node import Node, position
from controller.errors import Place, Problem

Model = TypeVar("Model", bound=BaseModel)

_MESSAGES = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "dict_attributes_type": "must be a map",
    "mapping_type": "must be a map",
    "decimal_type": "must be a number",
    "date_type": "must be a date such as 2026-12-31",
}


def checked(
    model: type[Model], content: object, node: Node, file: str, problems_max: int = 100
) -> tuple[Model | None, tuple[Problem, ...]]:
    """`content` (what `node` holds) as a `model`, or its mistakes at their places, `problems_max` of them at most."""
    try:
        return model.model_validate(content), ()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    problems = (_problem(model, e["type"], e["loc"], e["msg"], e.get("ctx", {}), node, file) for e in found)
    return None, tuple(sorted(islice(problems, problems_max), key=lambda p: (p.place or Place(file), p.path)))


def _problem(
    model: type[BaseModel],
    kind: str,
    loc: Sequence[str | int],
    message: str,
    context: Mapping[str, Any],
    node: Node,
    file: str,
) -> Problem:
    path = ".".join(shown(str(step), 80) for step in loc)
    place = Place(file, *position(node, loc, of_key=kind in ("extra_forbidden", "missing")))
    return Problem(place, _said(model, kind, loc, message, context), path)


def _said(model: type[BaseModel], kind: str, loc: Sequence[str | int], message: str, context: Mapping[str, Any]) -> str:
    if kind == "extra_forbidden":
        known = _keys(model, loc[:-1])
        near = did_you_mean(str(loc[-1]), known)
        return f"unknown key{near}" if near or not known else f"unknown key; known here: {', '.join(sorted(known))}"
    if kind in ("literal_error", "enum"):
        return f"must be {shown(str(context.get('expected', '')), 200)}"
    if kind in ("value_error", "assertion_error"):
        return shown(str(context.get("error", message)), 500)
    return _MESSAGES.get(kind) or shown(message[:1].lower() + message[1:], 500)


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that the model at `loc` knows."""
    current: Any = model
    for step in loc:
        if isinstance(step, str) and _is_model(current):
            field = _field(current, step)
            current = field.annotation if field is not None else None
        current = _model_in(current)
    return [f.alias or name for name, f in current.model_fields.items()] if _is_model(current) else []


def _field(model: type[BaseModel], key: str) -> Any:
    return next((f for name, f in model.model_fields.items() if key in (f.alias, name)), None)


def _is_model(candidate: object) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _model_in(annotation: Any) -> Any:
    """The one model inside `tuple[Model, ...]` or `Model | None`."""
    if _is_model(annotation):
        return annotation
    inner = (_model_in(a) for a in getattr(annotation, "__args__", ()))
    return next((m for m in inner if m is not None), None)
