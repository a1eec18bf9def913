"""Unit prices of hardware one owns, and of what one buys by the month, with currency, source and date.

A book starts as the default shipped in `prices/default.toml`; a repository's `prices.yaml` replaces single keys of it.
All numbers are Decimal; rates are per month. What a book has no rate for is None: it is named, never counted as zero.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources

HOURS_PER_MONTH = Decimal(730)
ZERO = Decimal(0)
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Power:
    """What the parts draw on average, and what electricity costs. `pue`: watts at the meter per watt at the plug."""

    kwh_price: Decimal = ZERO
    pue: Decimal = ONE
    watt_per_vcpu: Decimal = ZERO
    watt_per_memory_gib: Decimal = ZERO
    watt_per_gpu: Decimal = ZERO
    watt_per_disk_gb: Mapping[str, Decimal] = field(default_factory=dict)

    def kwh(self, watts: Decimal) -> Decimal:
        """Kilowatt-hours of a month at the meter."""
        return watts / 1000 * HOURS_PER_MONTH * self.pue

    def monthly(self, watts: Decimal) -> Decimal:
        return self.kwh(watts) * self.kwh_price


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the average watts a quiet, an ordinary and a busy month draw; `backup_copies`: what backups keep,
    in times the data."""

    low: Decimal = ONE
    expected: Decimal = ONE
    high: Decimal = ONE
    backup_copies: Decimal = ONE


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Write-off per unit and month, power on top. The class `default` of a disk is `default_disk`."""

    currency: str
    source: str
    dated: date
    vcpu: Decimal
    memory_gib: Decimal
    disk_gb: Mapping[str, Decimal]
    default_disk: str
    power: Power = Power()
    public_ip: Decimal | None = None
    backup_gb: Decimal | None = None
    gpu: Mapping[str, Decimal] = field(default_factory=dict)
    licences: Mapping[str, Decimal] = field(default_factory=dict)
    items: Mapping[str, Decimal] = field(default_factory=dict)
    usage: Usage = Usage()
    grams_per_kwh: Decimal | None = None

    @property
    def per_vcpu(self) -> Decimal:
        return self.vcpu + self.power.monthly(self.power.watt_per_vcpu)

    @property
    def per_memory_gib(self) -> Decimal:
        return self.memory_gib + self.power.monthly(self.power.watt_per_memory_gib)

    def disk_class(self, kind: str) -> str:
        """A class the book does not know costs as the default one."""
        return kind if kind in self.disk_gb else self.default_disk

    def disk_rate(self, kind: str) -> Decimal:
        """Per GB (10⁹ bytes) and month."""
        known = self.disk_class(kind)
        return self.disk_gb[known] + self.power.monthly(self.power.watt_per_disk_gb.get(known, ZERO))

    def assumptions(self) -> tuple[str, ...]:
        """What the sums rest on, one sentence each."""
        cents = Decimal("0.01")
        cpu, memory = self.per_vcpu.quantize(cents), self.per_memory_gib.quantize(cents)
        disk = self.disk_rate("default").quantize(Decimal("0.001"))
        said = [
            f"Power included: {cpu} {self.currency} per vCPU, {memory} {self.currency} per GiB of memory a month",
            f"{disk} {self.currency} per GB of {self.default_disk} a month",
        ]
        u = self.usage
        if u.low != u.high:
            said.append(f"A quiet month draws {_percent(u.low)}, a busy one {_percent(u.high)} of the average power")
        if u.backup_copies != 1 and self.backup_gb is not None:
            said.append(f"Backups keep {u.backup_copies.normalize():f} times the data")
        return (*said, f"Prices: {self.source}, {self.dated.isoformat()}")


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"


@cache
def default_book() -> PriceBook:
    """The book that ships with ALMA."""
    text = resources.files("controller.review").joinpath("prices/default.toml").read_text("utf-8")
    return layered(None, tomllib.loads(text, parse_float=Decimal))


_NOTHING = PriceBook("EUR", "", date(1970, 1, 1), ZERO, ZERO, {}, "ssd")


def layered(under: PriceBook | None, data: Mapping[str, object]) -> PriceBook:
    """`under` with what `data` sets, which must be checked already (`price_file` does it for a repository's)."""
    below = under or _NOTHING
    dated = data.get("date")
    return PriceBook(
        currency=str(data.get("currency") or below.currency),
        source=str(data.get("source") or below.source),
        dated=dated if isinstance(dated, date) else below.dated,
        vcpu=_rate(data, "vcpu", below.vcpu),
        memory_gib=_rate(data, "memory_gib", below.memory_gib),
        disk_gb={**below.disk_gb, **_rates(data.get("disk_gb"))},
        default_disk=str(data.get("default_disk") or below.default_disk),
        power=_power(below.power, _map(data.get("power"))),
        public_ip=_optional(data, "public_ip", below.public_ip),
        backup_gb=_optional(data, "backup_gb", below.backup_gb),
        gpu={**below.gpu, **_rates(data.get("gpu"))},
        licences={**below.licences, **_rates(data.get("licences"))},
        items={**below.items, **_rates(data.get("items"))},
        usage=_usage(below.usage, _map(data.get("usage"))),
        grams_per_kwh=_optional(_map(data.get("carbon")), "grams_per_kwh", below.grams_per_kwh),
    )


def _power(below: Power, data: Mapping[str, object]) -> Power:
    return Power(
        kwh_price=_rate(data, "kwh_price", below.kwh_price),
        pue=_rate(data, "pue", below.pue),
        watt_per_vcpu=_rate(data, "watt_per_vcpu", below.watt_per_vcpu),
        watt_per_memory_gib=_rate(data, "watt_per_memory_gib", below.watt_per_memory_gib),
        watt_per_gpu=_rate(data, "watt_per_gpu", below.watt_per_gpu),
        watt_per_disk_gb={**below.watt_per_disk_gb, **_rates(data.get("watt_per_disk_gb"))},
    )


def _usage(below: Usage, data: Mapping[str, object]) -> Usage:
    return Usage(
        low=_rate(data, "low", below.low),
        expected=_rate(data, "expected", below.expected),
        high=_rate(data, "high", below.high),
        backup_copies=_rate(data, "backup_copies", below.backup_copies),
    )


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _rate(data: Mapping[str, object], name: str, below: Decimal) -> Decimal:
    return Decimal(str(data[name])) if data.get(name) is not None else below


def _optional(data: Mapping[str, object], name: str, below: Decimal | None) -> Decimal | None:
    return Decimal(str(data[name])) if data.get(name) is not None else below


def _rates(value: object) -> dict[str, Decimal]:
    return {k: Decimal(str(v)) for k, v in _map(value).items()}
