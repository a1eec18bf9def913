"""Unit prices of hardware one owns: write-off and power, with currency, source and date.

A book starts as the default shipped in `prices/default.toml`; a repository's `prices.yaml` replaces single keys of it.
All numbers are Decimal; rates are per month.
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


@dataclass(frozen=True, slots=True)
class Power:
    """What the parts draw on average, and what electricity costs. `pue`: watts at the meter per watt at the plug."""

    kwh_price: Decimal = ZERO
    pue: Decimal = Decimal(1)
    watt_per_vcpu: Decimal = ZERO
    watt_per_memory_gib: Decimal = ZERO
    watt_per_disk_gb: Mapping[str, Decimal] = field(default_factory=dict)

    def monthly(self, watts: Decimal) -> Decimal:
        return watts / 1000 * HOURS_PER_MONTH * self.pue * self.kwh_price


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

    @property
    def per_vcpu(self) -> Decimal:
        return self.vcpu + self.power.monthly(self.power.watt_per_vcpu)

    @property
    def per_memory_gib(self) -> Decimal:
        return self.memory_gib + self.power.monthly(self.power.watt_per_memory_gib)

    def disk_rate(self, kind: str) -> Decimal:
        """Per GB (10⁹ bytes) and month; a class the book does not know costs as the default one."""
        known = kind if kind in self.disk_gb else self.default_disk
        return self.disk_gb[known] + self.power.monthly(self.power.watt_per_disk_gb.get(known, ZERO))

    def assumptions(self) -> tuple[str, ...]:
        """What the sums rest on, one sentence each."""
        cents = Decimal("0.01")
        cpu, memory = self.per_vcpu.quantize(cents), self.per_memory_gib.quantize(cents)
        disk = self.disk_rate("default").quantize(Decimal("0.001"))
        return (
            f"Power included: {cpu} {self.currency} per vCPU, {memory} {self.currency} per GiB of memory a month",
            f"{disk} {self.currency} per GB of {self.default_disk} a month",
            f"Prices: {self.source}, {self.dated.isoformat()}",
        )


@cache
def default_book() -> PriceBook:
    """The book that ships with ALMA."""
    text = resources.files("controller.review").joinpath("prices/default.toml").read_text("utf-8")
    return layered(None, tomllib.loads(text, parse_float=Decimal))


def layered(under: PriceBook | None, data: Mapping[str, object]) -> PriceBook:
    """`under` with what `data` sets, which must be checked already (`price_file` does it for a repository's)."""
    power_data = _map(data.get("power"))
    power = under.power if under else Power()
    given = _given(power_data, "kwh_price", "pue", "watt_per_vcpu", "watt_per_memory_gib")
    power = Power(
        kwh_price=given.get("kwh_price", power.kwh_price),
        pue=given.get("pue", power.pue),
        watt_per_vcpu=given.get("watt_per_vcpu", power.watt_per_vcpu),
        watt_per_memory_gib=given.get("watt_per_memory_gib", power.watt_per_memory_gib),
        watt_per_disk_gb={**power.watt_per_disk_gb, **_rates(power_data.get("watt_per_disk_gb"))},
    )
    dated = data.get("date")
    return PriceBook(
        currency=str(data.get("currency") or (under.currency if under else "EUR")),
        source=str(data.get("source") or (under.source if under else "")),
        dated=dated if isinstance(dated, date) else under.dated if under else date(1970, 1, 1),
        vcpu=_given(data, "vcpu").get("vcpu", under.vcpu if under else ZERO),
        memory_gib=_given(data, "memory_gib").get("memory_gib", under.memory_gib if under else ZERO),
        disk_gb={**(under.disk_gb if under else {}), **_rates(data.get("disk_gb"))},
        default_disk=str(data.get("default_disk") or (under.default_disk if under else "ssd")),
        power=power,
    )


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _given(data: Mapping[str, object], *names: str) -> dict[str, Decimal]:
    return {n: Decimal(str(data[n])) for n in names if data.get(n) is not None}


def _rates(value: object) -> dict[str, Decimal]:
    return {k: Decimal(str(v)) for k, v in _map(value).items()}
