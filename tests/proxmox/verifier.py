"""A whole call against its method's schema: the map that a 400 answer carries in `errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.proxmox.property_string import Errors, check_object
from tests.proxmox.schema import Method


def as_text(value: Any) -> Any:
    """What the API makes of a JSON value: numbers and booleans become text, lists lists of text."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value if isinstance(value, str) else str(value)


def normalised(method: Method, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as method code sees them: a repeated `…-list` key joined, a single value for an array wrapped."""
    result: dict[str, Any] = {}
    for name, value in params.items():
        schema = method.parameter(name) or {}
        if schema.get("type") == "array" and not isinstance(value, list):
            value = [value]
        elif isinstance(value, list) and str(schema.get("format", "")).endswith("-list"):
            value = ",".join(value)
        result[name] = value
    return result


def verify(method: Method, params: Mapping[str, Any]) -> Errors:
    """Every fault of a call, by parameter; empty if the call is accepted. `params` include those of the path."""
    errors: Errors = {}
    check_object(normalised(method, params), method.properties, errors, refuse_unknown=method.refuses_unknown)
    return errors
