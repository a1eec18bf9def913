"""A repository's `prices.yaml`: read, checked, laid over a price book."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from controller.blueprint.document import read_document
from controller.blueprint.node import Node, plain, position
from controller.blueprint.reading import checked
from controller.blueprint.units import checked_currency
from controller.errors import InvalidInput, Place, Problem
from controller.review.price_book import PriceBook, layered


def _exact(value: object) -> object:
    """Numbers only, exact: text and booleans are not prices."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError("must be a number, as in 1.20")


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a date such as 2026-12-31") from None
    return value


def _currency(value: object) -> object:
    return checked_currency(value) if isinstance(value, str) else value


Rate = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=1_000_000)]
Share = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=100)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
DiskClass = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PowerRates(_Strict):
    """`power:` of a price file."""

    kwh_price: Rate | None = None
    pue: Annotated[Decimal, BeforeValidator(_exact), Field(ge=1, le=10)] | None = None
    watt_per_vcpu: Rate | None = None
    watt_per_memory_gib: Rate | None = None
    watt_per_gpu: Rate | None = None
    watt_per_disk_gb: dict[DiskClass, Rate] = {}


class UsageShares(_Strict):
    """`usage:` of a price file: shares of the average power, and how many times the data backups keep."""

    low: Share | None = None
    expected: Share | None = None
    high: Share | None = None
    backup_copies: Share | None = None


class Carbon(_Strict):
    """`carbon:` of a price file."""

    grams_per_kwh: Rate | None = None


class Prices(_Strict):
    """A price file: what it leaves out is taken from the book below."""

    currency: Annotated[str, BeforeValidator(_currency)] | None = None
    source: Word | None = None
    date: Annotated[datetime.date, BeforeValidator(_day)] | None = None
    vcpu: Rate | None = None
    memory_gib: Rate | None = None
    disk_gb: dict[DiskClass, Rate] = {}
    default_disk: DiskClass | None = None
    power: PowerRates = PowerRates()
    public_ip: Rate | None = None
    backup_gb: Rate | None = None
    gpu: dict[DiskClass, Rate] = {}
    licences: dict[DiskClass, Rate] = {}
    items: dict[DiskClass, Rate] = {}
    usage: UsageShares = UsageShares()
    carbon: Carbon = Carbon()


def read_prices(data: bytes, file: str, under: PriceBook) -> PriceBook:
    """The book in `data` over `under`. Raises InvalidInput with file, line and column of every mistake."""
    node = read_document(data, file)
    prices, problems = checked(Prices, plain(node), node, file)
    if prices is None:
        raise InvalidInput(problems)
    problems = tuple(_contradictions(prices, under, node, file))
    if problems:
        raise InvalidInput(problems)
    return layered(under, prices.model_dump(exclude_none=True))


def _contradictions(prices: Prices, under: PriceBook, node: Node, file: str) -> Iterator[Problem]:
    """A rate of another currency may not slip in from below, and the default disk must have a price."""
    if prices.currency not in (None, under.currency):
        rates = {"vcpu": prices.vcpu, "memory_gib": prices.memory_gib, "power.kwh_price": prices.power.kwh_price}
        rates |= {"public_ip": prices.public_ip, "backup_gb": prices.backup_gb}
        missing = [name for name, rate in rates.items() if rate is None]
        tables = {
            "disk_gb": (under.disk_gb, prices.disk_gb),
            "gpu": (under.gpu, prices.gpu),
            "licences": (under.licences, prices.licences),
            "items": (under.items, prices.items),
        }
        for table, (below, given) in tables.items():
            missing += [f"{table}.{kind}" for kind in below if kind not in given]
        if missing:
            text = f"prices below are in {under.currency}; set these in {prices.currency} too: {', '.join(missing)}"
            yield Problem(Place(file, *position(node, ("currency",))), text, "currency")
    low, high = (_usage_after(prices, under, name) for name in ("low", "high"))
    if low > high:
        yield Problem(Place(file, *position(node, ("usage",))), "low is above high", "usage")
    kind = prices.default_disk
    if kind is not None and kind not in {**under.disk_gb, **prices.disk_gb}:
        text = f"disk_gb has no price for {kind}"
        yield Problem(Place(file, *position(node, ("default_disk",))), text, "default_disk")


def _usage_after(prices: Prices, under: PriceBook, name: str) -> Decimal:
    given: Decimal | None = getattr(prices.usage, name)
    below: Decimal = getattr(under.usage, name)
    return below if given is None else given
