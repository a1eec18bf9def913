"""What a tool is: a name, what it takes, what it gives, and a pure function between them.

A plug-in is an object of `Tool` named under the entry point group `alma.tools`. It gets everything as arguments: what
it takes, checked by its model, and the `Ground` it stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from controller.blueprint.names import did_you_mean
from controller.errors import InvalidInput
from controller.plan.resource import Kind
from controller.review.price_book import PriceBook

TEXT_MAX = 1_048_576  # a blueprint, as everywhere (threats.md, limits)


class Strict(BaseModel):
    """No unknown key, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Ground:
    """What the tools of one call may know: prices, the day, and the kinds of the engines that are installed."""

    book: PriceBook
    today: date
    kinds: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)


Takes = TypeVar("Takes", bound=Strict)
Gives = TypeVar("Gives", bound=Strict)


@dataclass(frozen=True, slots=True)
class Tool(Generic[Takes, Gives]):
    """One tool. `run` is pure: equal arguments, equal answer. Raises InvalidInput for what it cannot work with."""

    name: str
    about: str
    takes: type[Takes]
    gives: type[Gives]
    run: Callable[[Takes, Ground], Gives]

    def call(self, parameters: Mapping[str, Any], ground: Ground) -> dict[str, Any]:
        """`parameters` checked, answered, as JSON. Raises InvalidInput naming each wrong parameter."""
        try:
            given = self.takes.model_validate(dict(parameters))
        except ValidationError as error:
            raise InvalidInput(self._wrong(error), hint=f"alma tools show {self.name}") from None
        return self.run(given, ground).model_dump(mode="json")

    def _wrong(self, error: ValidationError) -> str:
        said = []
        for one in error.errors(include_url=False, include_input=False):
            path = ".".join(str(p) for p in one["loc"])
            near = did_you_mean(path, self.takes.model_fields) if one["type"] == "extra_forbidden" else ""
            message = "unknown parameter" if near or one["type"] == "extra_forbidden" else one["msg"]
            said.append(f"{path}: {message.removeprefix('Value error, ')}{near}")
        return f"{self.name}: " + "; ".join(said)
