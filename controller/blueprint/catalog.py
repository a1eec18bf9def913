"""Starter blueprints with parameters, kept as data in `templates/*.yaml`, and what they become.

Resources of a template may say `repeat: PARAMETER` (NAME-1 … NAME-N, `${index}` inside), `${parameters.KEY}` and, among
dependencies, `NAME-*` for every copy. What comes out is plain: values as a blueprint file holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib import resources

from controller.blueprint.document import read_document
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.node import plain
from controller.blueprint.value import Value
from controller.errors import InvalidInput

_REFERENCE = re.compile(r"\$\{(parameters\.([a-z_]+)|index)\}")
_SIZE = re.compile(r"[0-9]{1,6}(?:[KMGT]i?B|[KMGT]i)")
_TEXT_MAX = 100


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing a user may choose. The type is that of `default`; a text that is a size stays one."""

    name: str
    default: Value
    about: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    def checked(self, value: Value) -> Value:
        """`value` if it may stand here. Raises ValueError saying what may."""
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise ValueError("must be true or false")
        elif isinstance(self.default, int):
            self._number(value)
        elif not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX or "${" in value:
            raise ValueError(f"must be text, as in {self.default}")
        elif self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}{did_you_mean(value, self.choices)}")
        elif _is_size(self.default) and not _is_size(value):
            raise ValueError(f"must be a size, as in {self.default}")
        return value

    def _number(self, value: Value) -> None:
        low, high = self.minimum or 0, self.maximum
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise ValueError(f"must be a whole number from {low} to {high}")

    def parsed(self, text: str) -> Value:
        """A word of the command line as a value of this parameter. Raises ValueError."""
        if isinstance(self.default, bool):
            return self.checked({"true": True, "false": False}.get(text, text))
        if isinstance(self.default, int):
            return self.checked(int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text)
        return self.checked(text)


def _is_size(value: Value) -> bool:
    """`32GB`, `4TiB`, and `48Gi` as Kubernetes writes it."""
    return isinstance(value, str) and bool(_SIZE.fullmatch(value))


@dataclass(frozen=True, slots=True)
class Template:
    """One starter. `resources` and `cost_*` (per month) hold for the defaults and the default price book."""

    name: str
    about: str
    use: str
    complexity: str
    engines: tuple[str, ...]
    resources: int
    cost_low: Decimal
    cost_high: Decimal
    parameters: Mapping[str, Parameter]
    metadata: Mapping[str, Value] = field(default_factory=dict)
    body: tuple[Mapping[str, Value], ...] = ()

    def values(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Every parameter, defaults included. Raises InvalidInput naming each wrong one."""
        wrong = []
        for name, value in given.items():
            parameter = self.parameters.get(name)
            if parameter is None:
                wrong.append(f"{self.name} has no parameter {shown(name, 60)}{did_you_mean(name, self.parameters)}")
                continue
            try:
                parameter.checked(value)
            except ValueError as error:
                wrong.append(f"{name}: {error}")
        if wrong:
            raise InvalidInput("; ".join(wrong), hint=f"alma templates show {self.name}")
        return {name: given.get(name, p.default) for name, p in self.parameters.items()}

    def render(self, given: Mapping[str, Value]) -> tuple[dict[str, Value], ...]:
        """The resources with these parameters, as a blueprint file holds them. Raises InvalidInput."""
        values = self.values(given)
        made = [one for resource in self.body for one in _copies(resource, values)]
        names = [str(r["name"]) for r in made]
        return tuple(_resolved(r, names, self._filled(self.metadata, values)) for r in made)

    @staticmethod
    def _filled(metadata: Mapping[str, Value], values: Mapping[str, Value]) -> Mapping[str, Value]:
        filled = _put_in(metadata, values, 0)
        return filled if isinstance(filled, Mapping) else {}


def _copies(resource: Mapping[str, Value], values: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    count = values[str(resource["repeat"])] if "repeat" in resource else None
    bare = {k: v for k, v in resource.items() if k != "repeat"}
    if count is None:
        yield _map(_put_in(bare, values, 1))
        return
    assert isinstance(count, int), "a parameter that repeats is a number"
    for index in range(1, count + 1):
        yield _map(_put_in({**bare, "name": f"{bare['name']}-{index}"}, values, index))


def _map(value: Value) -> dict[str, Value]:
    assert isinstance(value, dict), "a resource is a map"
    return value


def _put_in(value: Value, values: Mapping[str, Value], index: int) -> Value:
    """`value` with every reference replaced; one that is the whole text becomes the parameter's own value."""
    if isinstance(value, Mapping):
        return {k: _put_in(v, values, index) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_put_in(v, values, index) for v in value)
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _referred(whole, values, index)
    return _REFERENCE.sub(lambda m: str(_referred(m, values, index)), value)


def _referred(found: re.Match[str], values: Mapping[str, Value], index: int) -> Value:
    return index if found[1] == "index" else values[found[2]]


def _resolved(resource: dict[str, Value], names: list[str], metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Dependencies `NAME-*` as the copies they mean, and the template's metadata under its own."""
    listed = resource.get("dependencies")
    found: list[str] = []
    for name in listed if isinstance(listed, tuple) else ():
        base = str(name).removesuffix("-*")
        copies = [n for n in names if n == base or re.fullmatch(rf"{re.escape(base)}-[0-9]+", n)]
        found += copies if str(name).endswith("-*") else [str(name)]
    own = resource.get("metadata")
    laid = {**metadata, **(own if isinstance(own, Mapping) else {})}
    return {**resource, **({"dependencies": tuple(found)} if found else {}), "metadata": laid}


@cache
def templates() -> Mapping[str, Template]:
    """Every template by name, in order of the name."""
    folder = resources.files("controller.blueprint").joinpath("templates")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): _read(f.name.removesuffix(".yaml"), f.read_bytes()) for f in files}


def template(name: str) -> Template:
    """One by name. Raises InvalidInput with the nearest and all of them."""
    found = templates().get(name)
    if found is None:
        near = did_you_mean(name, templates())
        raise InvalidInput(f"no template is called {shown(name, 60)}{near}", hint=f"known: {', '.join(templates())}")
    return found


def _read(name: str, data: bytes) -> Template:
    said = plain(read_document(data, f"{name}.yaml"))
    assert isinstance(said, dict), "a template is a map"
    return Template(
        name=name,
        about=said["about"],
        use=said["use"],
        complexity=said["complexity"],
        engines=tuple(said["engines"]),
        resources=said["resources"],
        cost_low=Decimal(said["cost"]["low"]),
        cost_high=Decimal(said["cost"]["high"]),
        parameters={key: _parameter(key, told) for key, told in said["parameters"].items()},
        metadata=said["metadata"],
        body=said["body"],
    )


def _parameter(name: str, told: Mapping[str, Value]) -> Parameter:
    choices = told.get("choices")
    low, high = told.get("min"), told.get("max")
    return Parameter(
        name,
        told["default"],
        str(told["about"]),
        tuple(str(c) for c in choices) if isinstance(choices, tuple) else (),
        low if isinstance(low, int) else None,
        high if isinstance(high, int) else None,
    )
