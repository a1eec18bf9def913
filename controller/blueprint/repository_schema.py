"""What `alma.yaml` may hold, as strict, frozen models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from controller.blueprint.entry import Disruption
from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.references import secret
from controller.blueprint.schema import (
    PROVIDERS,
    Name,
    Provider,
    Seconds,
    Strict,
    Texts,
    none_is_empty,
    none_is_no_items,
)
from controller.blueprint.units import checked_currency
from controller.blueprint.value import Value

_PATH_LETTERS_MAX = 1_000
_INSIDE = re.compile(r"\.|[^/\\\s.][^/\\]*(?:/[^/\\\s.][^/\\]*)*")
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_OUTPUT = re.compile(r"\$\{resources\.([a-z0-9-]+/[a-z0-9-]+)\.outputs\.([A-Za-z0-9_][A-Za-z0-9_.-]*)\}", re.ASCII)
_ANY_DAY = datetime(2024, 1, 1)


def _folder(value: object) -> object:
    """`.` or `a/b`, without a slash at its end."""
    if not isinstance(value, str):
        return value
    path = value.removesuffix("/") or value
    if not _is_inside(path):
        raise ValueError(f"{shown(value, 80)} is no folder of this repository; write it as environments/prod, or .")
    return path


def _file(value: object) -> object:
    if isinstance(value, str) and (value == "." or not _is_inside(value)):
        raise ValueError(f"{shown(value, 80)} is no file of this repository; write it as prices.yaml")
    return value


def _is_inside(path: str) -> bool:
    """Inside the repository: no hidden part, nothing that climbs out."""
    return len(path) <= _PATH_LETTERS_MAX and path.isprintable() and _INSIDE.fullmatch(path) is not None


def output_of(reference: str) -> tuple[str, str]:
    """`${resources.BLUEPRINT/NAME.outputs.KEY}` → (`BLUEPRINT/NAME`, `KEY`). Raises ValueError for another form."""
    found = _OUTPUT.fullmatch(reference)
    if found is None:
        raise ValueError("an output is a reference: ${resources.BLUEPRINT/NAME.outputs.KEY}")
    return found[1], found[2]


def _output(value: object) -> object:
    if isinstance(value, str):
        output_of(value)
    return value


def _targets(value: object) -> object:
    """Engine → its targets; one may be written without a list, aliases of engines are known."""
    if not isinstance(value, Mapping):
        return none_is_empty(value)
    result: dict[str, object] = {}
    for engine, targets in value.items():
        known = PROVIDERS.get(str(engine))
        if known is None:
            raise ValueError(f"{shown(str(engine), 40)} is no engine{did_you_mean(str(engine), PROVIDERS)}")
        if known in result:
            raise ValueError(f"{known} is written twice, once by its alias; keep one")
        result[known] = (targets,) if isinstance(targets, str) else targets
    return result


def _listed_once(targets: tuple[str, ...]) -> tuple[str, ...]:
    if not targets or len(set(targets)) < len(targets):
        raise ValueError("list at least one target, and each once")
    return targets


def _keys(value: object) -> object:
    if not isinstance(value, Mapping):
        return none_is_empty(value)
    for key in value:
        if not _KEY.fullmatch(str(key)):
            raise ValueError(f"{shown(str(key), 40)} is no key; use letters, digits, '_', '-' and '.'")
    return value


def _values(value: object) -> object:
    value = _keys(value)
    return {key: _value(str(key), item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _value(key: str, item: object) -> Value:
    if isinstance(item, Mapping):
        if set(item) == {"secret"} and isinstance(item["secret"], str):
            return secret(item["secret"])
        return {str(k): _value(f"{key}.{k}", v) for k, v in item.items()}
    if isinstance(item, tuple):
        return tuple(_value(key, v) for v in item)
    if isinstance(item, str) and "${" in item:
        raise ValueError(f"{shown(key, 40)}: values are plain; a reference cannot stand here")
    return item


def _timezone(value: object) -> object:
    if isinstance(value, str):
        try:
            ZoneInfo(value)
        except (ValueError, KeyError, OSError):
            raise ValueError(f"{shown(value, 60)} is no time zone; write one such as Europe/Berlin or UTC") from None
    return value


def _cron(value: object) -> object:
    if isinstance(value, str):
        try:
            CronSim(value, _ANY_DAY)
        except CronSimError:
            raise ValueError(
                f'{shown(value, 60)} is no cron expression; write five fields such as "0 2 * * *"'
            ) from None
    return value


def _exact(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ScopeSpec(Strict):
    """One scope as written."""

    name: Name
    path: Annotated[str, BeforeValidator(_folder)]
    targets: Annotated[
        dict[str, Annotated[tuple[str, ...], BeforeValidator(_listed_once)]], BeforeValidator(_targets)
    ] = Field(default_factory=dict)
    provider: Provider = None
    depends_on: Texts = ()
    values: Annotated[dict[str, Any], BeforeValidator(_values)] = Field(default_factory=dict)
    outputs: Annotated[dict[str, Annotated[str, BeforeValidator(_output)]], BeforeValidator(_keys)] = Field(
        default_factory=dict
    )
    self_heal: bool = True


def _at_least_one(scopes: tuple[ScopeSpec, ...]) -> tuple[ScopeSpec, ...]:
    if not scopes:
        raise ValueError("write at least one scope, or remove the file")
    return scopes


class Prune(Strict):
    """A plan that deletes more waits for a confirmation (I17). Percent counts from `percent_from` objects on."""

    max_count: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    max_percent: Annotated[int, Field(ge=0, le=100)] = 25
    percent_from: Annotated[int, Field(ge=1, le=1_000_000)] = 4


class Audit(Strict):
    """`fail_on`: findings of this severity or worse fail the review."""

    fail_on: Literal["info", "low", "medium", "high", "critical", "never"] = "high"
    frameworks: Texts = ()


class Budget(Strict):
    """What a month may cost; None: no bound."""

    monthly_max: Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=10**12)] | None = None
    currency: Annotated[str, BeforeValidator(lambda v: checked_currency(v) if isinstance(v, str) else v)] = "EUR"


class MaintenanceWindow(Strict):
    """Changes more disruptive than `above` wait for the next opening."""

    cron: Annotated[str, BeforeValidator(_cron)]
    length_s: Annotated[Seconds, Field(alias="for")]
    timezone: Annotated[str, BeforeValidator(_timezone)] = "UTC"
    above: Annotated[Disruption, Field(strict=False)] = Disruption.IN_PLACE


class Approvals(Strict):
    """`required`: 0 lets who may merge confirm their own change; from 1 on I3 applies. `owners`: path pattern → teams
    or logins, one of whom approves what touches it, whatever `required` says."""

    required: Annotated[int, Field(ge=0, le=10)] = 0
    owners: Annotated[dict[str, tuple[str, ...]], BeforeValidator(none_is_empty)] = Field(default_factory=dict)


class Policy(Strict):
    """The rules every scope of the repository runs under; always the tracked branch's (I4)."""

    gate: Literal["strict", "destructive", "off"] = "destructive"
    prune: Prune = Prune()
    audit: Audit = Audit()
    budget: Budget = Budget()
    windows: Annotated[tuple[MaintenanceWindow, ...], BeforeValidator(none_is_no_items)] = ()
    approvals: Approvals = Approvals()


class RepositorySpec(Strict):
    """The file."""

    version: Literal[1]
    scopes: Annotated[tuple[ScopeSpec, ...], AfterValidator(_at_least_one)]
    policy: Policy = Policy()
    prices: Annotated[str, BeforeValidator(_file)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _version_as_text(cls, value: object) -> object:
        """`"1"` and 1 are the same version."""
        if isinstance(value, Mapping) and value.get("version") == "1":
            return {**value, "version": 1}
        return value
