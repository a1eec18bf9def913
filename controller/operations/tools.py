"""What anyone may ask of the tools: their list, and an answer. Nothing is written, no target is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.errors import InvalidInput
from controller.tools.registry import tool, tools
from controller.tools.tool import Ground

Json = Any


def listed() -> Json:
    """`alma.tools/v1`: each tool with the JSON Schema of what it takes and gives."""
    return {"format": "alma.tools/v1", "tools": [described(name) for name in tools()]}


def described(name: str) -> Json:
    """One tool. Raises InvalidInput for a name that none has."""
    found = tool(name)
    return {
        "name": found.name,
        "description": found.about,
        "parameters": found.takes.model_json_schema(),
        "result": found.gives.model_json_schema(),
    }


def run(name: str, parameters: object, ground: Ground) -> Json:
    """`{"tool_name": …, "result": …}`. Raises InvalidInput for a wrong name or parameter."""
    if not isinstance(parameters, Mapping) or not all(isinstance(k, str) for k in parameters):
        raise InvalidInput("parameters are a JSON object", hint=f"alma tools show {name}")
    return {"tool_name": name, "result": tool(name).call(parameters, ground)}
