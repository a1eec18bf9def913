"""What a blueprint file may hold (M01): strict, frozen models and their JSON Schema.

Old vocabularies are kept: `vm` and `database` without a provider, `compute` and `service` with one. What belongs to an
engine (`specs`) is free here; the engine's kind checks it.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from controller.blueprint.entry import Disruption, OnDelete, UpdateOrder
from controller.blueprint.names import checked_name, did_you_mean, shown
from controller.blueprint.units import checked_currency, duration_s, money

PROVIDERS = {
    "proxmox": "proxmox",
    "docker": "docker",
    "kubernetes": "kubernetes",
    "k8s": "kubernetes",
    "simulation": "simulation",
    "fake": "simulation",
}
TYPES = (
    "compute",
    "network",
    "storage",
    "service",
    "vm",
    "lxc",
    "container",
    "database",
    "manifest",
    "volume",
    "image",
    "config",
    "pool",
    "backup-job",
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
HTTP_PATH = re.compile(r"/[!-~]{0,1999}", re.ASCII)
_SCHEMA_VERSIONS = ("1", "1.0")


def none_is_empty(value: object) -> object:
    """A key without a value means an empty map."""
    return {} if value is None else value


def none_is_no_items(value: object) -> object:
    """A key without a value means an empty list."""
    return () if value is None else value


def _provider(value: object) -> object:
    if isinstance(value, str):
        if value in PROVIDERS:
            return PROVIDERS[value]
        raise ValueError(
            f"{shown(value, 40)} is no provider; known: {', '.join(PROVIDERS)}{did_you_mean(value, PROVIDERS)}"
        )
    return value


def _type(value: object) -> object:
    if isinstance(value, str) and value not in TYPES:
        raise ValueError(f"{shown(value, 40)} is no type; known: {', '.join(TYPES)}{did_you_mean(value, TYPES)}")
    return value


def _product(value: object) -> object:
    if isinstance(value, str) and value in PROVIDERS:
        raise ValueError(f"engine is the product (postgresql, nginx); use provider: {value}")
    return value


def _version(value: object) -> object:
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _schema_version(value: object) -> object:
    value = _version(value)
    if isinstance(value, str) and value not in _SCHEMA_VERSIONS:
        raise ValueError('only blueprint version "1.0" is known to this release')
    return value


def _date(value: object) -> object:
    if isinstance(value, str) and _DATE.fullmatch(value):
        return date.fromisoformat(value)
    if isinstance(value, date):
        return value
    raise ValueError("must be a date such as 2026-12-31")


def _uid(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _cost(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return money(value, "XXX").amount
    return money(value).amount if value is not None else None


_as_text = {"type": ["string", "number"]}
_lasting = {"type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "examples": ["30s", "5m"]}

Name: TypeAlias = Annotated[str, BeforeValidator(lambda v: checked_name(v) if isinstance(v, str) else v)]
FreeMap: TypeAlias = Annotated[
    dict[str, Any], BeforeValidator(none_is_empty), Field(json_schema_extra={"type": ["object", "null"]})
]
Texts: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(none_is_no_items), Field(json_schema_extra={"type": ["array", "null"]})
]
Until: TypeAlias = Annotated[date, BeforeValidator(_date)]
Seconds: TypeAlias = Annotated[int, BeforeValidator(duration_s), Field(json_schema_extra=_lasting)]
Provider: TypeAlias = Annotated[
    Literal["proxmox", "docker", "kubernetes", "simulation"] | None,
    BeforeValidator(_provider),
    WithJsonSchema({"enum": [*PROVIDERS, None]}),
]
Version: TypeAlias = Annotated[str, BeforeValidator(_version), Field(json_schema_extra=_as_text)]


class Strict(BaseModel):
    """No guessing: no unknown key, no conversion between types, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class WaiverSpec(Strict):
    """A finding someone accepts until a date, and why."""

    rule: str
    reason: Annotated[str, Field(min_length=3)]
    by: Annotated[str, Field(min_length=1)]
    until: Until


class TolerateSpec(Strict):
    """A drifted field someone accepts until a date, and why."""

    field: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=3)]
    until: Until


class LifecycleSpec(Strict):
    """How the resource may change: `ignore` holds field paths, each with everything below it."""

    protect: bool = False
    ignore: Texts = ()
    on_delete: Annotated[OnDelete, Field(strict=False)] = OnDelete.DESTROY
    max_disruption: Annotated[Disruption, Field(strict=False)] | None = None
    update: Annotated[UpdateOrder, Field(strict=False)] | None = None


class HttpProbe(Strict):
    """Healthy when a GET of `path` answers with success."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    path: Annotated[str, Field(max_length=2000)] = "/"  # checked once values are in it


class TcpProbe(Strict):
    """Healthy when a connection to `port` opens."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None


class HealthSpec(Strict):
    """Exactly one of `http`, `tcp`, `exec`, `running`; none of them: the platform's own word, waited for `timeout`."""

    http: HttpProbe | None = None
    tcp: (
        Annotated[
            TcpProbe,
            BeforeValidator(lambda v: {"port": v} if type(v) is int else v),
            WithJsonSchema({"type": ["object", "integer"], "properties": {"port": {"type": "integer"}}}),
        ]
        | None
    ) = None
    exec: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    running: Literal[True] | None = None
    timeout: Seconds | None = None

    @model_validator(mode="after")
    def _one(self) -> HealthSpec:
        if sum(p is not None for p in (self.http, self.tcp, self.exec, self.running)) > 1:
            raise ValueError("health takes one of http, tcp, exec, running; keep one")
        return self


class ConstraintSpec(Strict):
    """What the whole blueprint must keep to; `max_cost` is per month."""

    max_cost: Annotated[Decimal, BeforeValidator(_cost)] | None = None
    currency: Annotated[str, BeforeValidator(lambda v: checked_currency(v) if isinstance(v, str) else v)] | None = None
    region: str | None = None


class ResourceSpec(Strict):
    """One resource as written. Values may still be `${…}` or `{secret: …}`."""

    name: Name
    type: Annotated[str, BeforeValidator(_type), Field(json_schema_extra={"enum": list(TYPES)})]
    provider: Provider = None
    target: str | None = None
    engine: Annotated[str | None, BeforeValidator(_product)] = None
    version: Version | None = None
    description: str | None = None
    specs: FreeMap = Field(default_factory=dict)
    network: FreeMap = Field(default_factory=dict)
    backup: FreeMap = Field(default_factory=dict)
    metadata: FreeMap = Field(default_factory=dict)
    dependencies: Texts = ()
    health: HealthSpec | None = None
    lifecycle: LifecycleSpec = LifecycleSpec()
    wave: Annotated[int, Field(ge=0, le=1000)] = 0
    formerly: Texts = ()
    adopt: Annotated[str | None, BeforeValidator(_uid)] = None
    waivers: Annotated[tuple[WaiverSpec, ...], BeforeValidator(none_is_no_items)] = ()
    tolerate: Annotated[tuple[TolerateSpec, ...], BeforeValidator(none_is_no_items)] = ()


class Blueprint(Strict):
    """One file."""

    name: Name
    version: Annotated[str, BeforeValidator(_schema_version), Field(json_schema_extra=_as_text)] = "1.0"
    description: str | None = None
    provider: Provider = None
    template: str | None = None
    parameters: FreeMap = Field(default_factory=dict)
    constraints: ConstraintSpec = ConstraintSpec()
    resources: tuple[ResourceSpec, ...] | None = None
    metadata: FreeMap = Field(default_factory=dict)
    # Written by a read-back; accepted and ignored.
    id: Any = Field(default=None, exclude=True)
    created_at: Any = Field(default=None, exclude=True)
    updated_at: Any = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _something(self) -> Blueprint:
        if self.resources is None and self.template is None:
            raise ValueError("resources is required")
        if self.parameters and self.template is None:
            raise ValueError("parameters belong to a template; remove them")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of a blueprint file, for editors. `specs` is free; a caller that knows the engines narrows it."""
    schema = Blueprint.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "ALMA blueprint"}
