"""Sizes, CPU, durations and money: exact, bounded, never a float (I37). Each function takes what a blueprint may hold
and raises ValueError saying what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from controller.blueprint.names import shown

SIZE_BYTES_MAX = 2**60
CPU_CORES_MAX = 100_000
DURATION_S_MAX = 10 * 366 * 86_400
MONEY_MAX = Decimal(10) ** 12

_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,12})?"
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)", re.ASCII)
_CPU = re.compile(rf"({_NUMBER})(m?)", re.ASCII)
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?", re.ASCII)
_MONEY = re.compile(rf"({_NUMBER}) ?([A-Z]{{3}})", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_POWERS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
# Decimal names mean powers of 1024 too, as Proxmox and Docker read them.
_UNITS = {"B": 1} | {
    spelled: 1024**power
    for letter, power in _POWERS.items()
    if power
    for spelled in (f"{letter}B", f"{letter}iB", *(("kB", "kiB") if letter == "K" else ()))
}


def size_bytes(value: object, *, at_least: int = 1, at_most: int = SIZE_BYTES_MAX) -> int:
    """`16GB`, `512 MiB`, `1.5TB` → whole bytes; MB and MiB both are 1024². A number without a unit is an error."""
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{_said(value)} is no size; {_size_advice(value)}")
    amount = Decimal(found[1]) * _UNITS[found[2]]
    if amount != int(amount):
        raise ValueError(
            f"{_said(value)} is not a whole number of bytes; use a smaller unit, such as {_example(amount)}"
        )
    if not at_least <= amount <= at_most:
        raise ValueError(f"{_said(value)} is out of range; it must be {shown_size(at_least)} to {shown_size(at_most)}")
    return int(amount)


def shown_size(size: int) -> str:
    """`16GB`: the largest unit that says `size` (bytes) exactly; `size_bytes` reads it back."""
    for letter in ("P", "T", "G", "M", "K"):
        unit = 1024 ** _POWERS[letter]
        if size and size % unit == 0:
            return f"{size // unit}{letter}B"
    return f"{size}B"


def cpu_cores(value: object, *, at_most: int = CPU_CORES_MAX) -> Decimal:
    """`2`, `0.5`, `"500m"` → cores, in thousandths at the finest."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        cores = Decimal(value)
    else:
        found = _CPU.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"{_said(value)} is no number of CPUs; write cores such as 2 or 0.5, or 500m")
        cores = Decimal(found[1]) / (1000 if found[2] else 1)
    if not cores.is_finite() or not Decimal("0.001") <= cores <= at_most:
        raise ValueError(f"{_said(value)} CPUs is out of range; it must be 0.001 to {at_most:,}")
    if cores * 1000 != int(cores * 1000):
        raise ValueError(f"{_said(value)} CPUs is finer than a thousandth; round it to three decimals")
    return cores


def cpu_millicores(value: object) -> int:
    """`cpu_cores` in thousandths of a core: 2 → 2000, `500m` → 500."""
    return int(cpu_cores(value) * 1000)


def duration_s(value: object, *, at_least: int = 1, at_most: int = DURATION_S_MAX) -> int:
    """`10s`, `5m`, `1h30m`, `2d` → whole seconds. A number without a unit is an error."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ValueError(f"{_said(value)} is no duration; write it with units, such as 10s, 5m, 1h30m or 2d")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not at_least <= total <= at_most:
        raise ValueError(
            f"{_said(value)} is out of range; it must be {shown_duration(at_least)} to {shown_duration(at_most)}"
        )
    return total


def shown_duration(seconds: int) -> str:
    """`1h30m`; `duration_s` reads it back."""
    parts, rest = [], seconds
    for letter, unit_s in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, unit_s)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount; `currency` is three letters, such as EUR."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount:,.2f} {self.currency}"


def money(value: object, currency: str | None = None) -> Money:
    """`"41.20 EUR"`, or a bare number where `currency` is given. Never negative, at most 10^12."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and currency is not None:
        return Money(_amount(Decimal(value), value), checked_currency(currency))
    found = _MONEY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{_said(value)} is no sum of money; write amount and currency, such as 41.20 EUR")
    if currency is not None and found[2] != currency:
        raise ValueError(f"{_said(value)} is not in {currency}; this place counts in one currency")
    return Money(_amount(Decimal(found[1]), value), found[2])


def checked_currency(text: str) -> str:
    """`text` itself. Raises ValueError unless it has the form of a currency code."""
    if not _CURRENCY.fullmatch(text):
        raise ValueError(f"{_said(text)} is no currency; write three capital letters, such as EUR")
    return text


def _amount(amount: Decimal, value: object) -> Decimal:
    if not amount.is_finite() or not 0 <= amount <= MONEY_MAX:
        raise ValueError(f"{_said(value)} is out of range; a sum of money is 0 to {MONEY_MAX:,}")
    return abs(amount)  # -0 is 0


def _said(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        return shown(str(value), 40) or "empty text"
    return "true or false" if isinstance(value, bool) else "a list or map"


def _size_advice(value: object) -> str:
    """The size most likely meant, where one can be told from what was written."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"write the unit too, such as {shown(str(value), 40)}MB or {shown(str(value), 40)}GB"
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found and found[2] and found[2].upper() in {"K", "M", "G", "T", "P", "KI", "MI", "GI", "TI", "PI"}:
        return f"write {found[1]}{found[2].upper().replace('I', 'i')}B"
    if found and found[2]:
        near = next((unit for unit in _UNITS if unit.lower() == found[2].lower()), None)
        return f"write {found[1]}{near}" if near else "its unit is none of KB, MB, GB, TB, KiB, MiB, GiB, TiB"
    if found:
        return f"write the unit too, such as {found[1]}MB or {found[1]}GB"
    return "write a number and its unit, such as 512MB or 16GB"


def _example(amount: Decimal) -> str:
    return shown_size(max(1, int(amount)))
