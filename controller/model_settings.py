"""`llm:` of the server configuration: which language models may explain a review, and what they may use (I30, I32)."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from controller.setting_types import Name, Seconds, SecretRef, Strict


def _exact(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


Price = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=10**6)]


class ModelProviderSettings(Strict):
    """One model at one endpoint. Prices are money per million tokens, in whatever currency `budget` is meant in."""

    name: Name
    kind: str = "openai"
    base_url: str
    model: Annotated[str, Field(pattern=r"^[\w./:@-]{1,100}$")]
    api_key: SecretRef | None = None
    prompt_price: Price = Decimal(0)
    completion_price: Price = Decimal(0)
    timeout: Annotated[Seconds, Field(ge=1, le=8)] = 6  # a comment waits for no model longer than 8 s

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write https://HOST/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("write the address alone; a key goes into api_key as env:NAME or file:PATH")
        return url

    @model_validator(mode="after")
    def _keeps_its_key(self) -> Self:
        parts = urlsplit(self.base_url)
        if self.api_key and parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
            raise ValueError("api_key would cross the network in the clear: write https://")
        return self


class ModelBudgetSettings(Strict):
    """The most that models may use for one head commit of a pull request, and in a day."""

    change_tokens: Annotated[int, Field(ge=0, le=10**9)] = 100_000
    day_tokens: Annotated[int, Field(ge=0, le=10**9)] = 2_000_000
    change_money: Price = Decimal("0.10")
    day_money: Price = Decimal(2)


class ModelSettings(Strict):
    """Models, the order in which a task asks them, and the bounds. Without this section none is asked."""

    providers: Annotated[tuple[ModelProviderSettings, ...], Field(min_length=1)]
    tasks: dict[Literal["narrate", "council", "generate"], tuple[str, ...]] = Field(default_factory=dict)
    budget: ModelBudgetSettings = ModelBudgetSettings()
    cache: Annotated[int, Field(ge=0, le=10_000)] = 500

    @field_validator("providers")
    @classmethod
    def _are_there_once(cls, providers: tuple[ModelProviderSettings, ...]) -> tuple[ModelProviderSettings, ...]:
        names = [p.name for p in providers]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice")
        return providers

    @field_validator("tasks")
    @classmethod
    def _ask_those_there_are(
        cls, tasks: dict[str, tuple[str, ...]], info: ValidationInfo
    ) -> dict[str, tuple[str, ...]]:
        names = [p.name for p in info.data.get("providers", ())]
        for task, wanted in tasks.items():
            unknown = [n for n in wanted if n not in names]
            if names and unknown:
                raise ValueError(f"{task}: no provider {', '.join(unknown)}; known: {', '.join(names)}")
        return tasks


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
