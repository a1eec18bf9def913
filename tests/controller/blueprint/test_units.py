"""D13: sizes, CPU, durations and money are exact and bounded, and a mistake says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.blueprint.units import (
    DURATION_S_MAX,
    SIZE_BYTES_MAX,
    Money,
    cpu_cores,
    cpu_millicores,
    duration_s,
    money,
    shown_duration,
    shown_size,
    size_bytes,
)

ReportN = Callable[..., None]
MIB, GIB, TIB = 2**20, 2**30, 2**40

SIZES: list[tuple[object, int | str]] = [
    ("8GB", 8 * GIB),
    ("8GiB", 8 * GIB),
    ("8 GB", 8 * GIB),
    ("512MB", 512 * MIB),
    ("512MiB", 512 * MIB),
    ("1TB", TIB),
    ("1TiB", TIB),
    ("4kB", 4096),
    ("4KB", 4096),
    ("4KiB", 4096),
    ("1PB", 2**50),
    ("1B", 1),
    ("1.5GB", 1_610_612_736),
    ("0.5MB", 524_288),
    ("1024PB", 2**60),
    ("8", "write the unit too, such as 8MB or 8GB"),
    (8, "write the unit too, such as 8MB or 8GB"),
    (Decimal("1.5"), "write the unit too, such as 1.5MB"),
    ("8g", "write 8GB"),
    ("8 g", "write 8GB"),
    ("8000M", "write 8000MB"),
    ("512Mi", "write 512MiB"),
    ("8gb", "write 8GB"),
    ("8gib", "write 8GiB"),
    ("8XB", "its unit is none of"),
    ("8GBs", "its unit is none of"),
    ("0x10", "is no size"),
    ("0x10GB", "is no size"),
    ("1,5GB", "is no size"),
    ("1_000MB", "is no size"),
    ("1e3MB", "is no size"),
    ("-1GB", "is no size"),
    ("+1GB", "is no size"),
    ("- 1GB", "is no size"),
    ("GB", "write a number and its unit"),
    ("", "empty text is no size"),
    (" 1GB", "is no size; write 1GB"),
    ("1GB\n", "1GB\\n is no size"),
    ("NaN", "is no size"),
    ("infGB", "is no size"),
    ("٣GB", "is no size"),
    ("３GB", "is no size"),
    ("0GB", "is out of range; it must be 1B to 1024PB"),
    ("-0GB", "is no size"),
    ("0.1GB", "is not a whole number of bytes"),
    ("0.3B", "is not a whole number of bytes"),
    ("1025PB", "out of range"),
    ("9223372036854775808B", "out of range"),
    ("18446744073709551616GB", "is no size"),
    ("9999999999999999999PB", "out of range"),
    ("9" * 5000 + "GB", "is no size"),
    (None, "nothing is no size"),
    (True, "true or false is no size"),
    ({}, "a list or map is no size"),
    (1.5, "is no size"),
]

CPUS: list[tuple[object, int | str]] = [
    (2, 2000),
    (Decimal("0.5"), 500),
    ("2", 2000),
    ("0.25", 250),
    ("500m", 500),
    ("1500m", 1500),
    ("1m", 1),
    (Decimal("1E+2"), 100_000),
    (100_000, 100_000_000),
    (0, "out of range"),
    (-1, "out of range"),
    (100_001, "out of range"),
    ("0.5m", "out of range"),
    ("1.5m", "finer than a thousandth"),
    (Decimal("0.0015"), "finer than a thousandth"),
    (Decimal("NaN"), "out of range"),
    (Decimal("Infinity"), "out of range"),
    ("two", "write cores such as 2 or 0.5, or 500m"),
    ("2 cores", "write cores"),
    ("1,5", "write cores"),
    ("-1", "write cores"),
    ("٢", "write cores"),
    ("", "write cores"),
    (True, "true or false is no number of CPUs"),
    (None, "nothing is no number"),
    (1.5, "is no number of CPUs"),
]

DURATIONS: list[tuple[object, int | str]] = [
    ("10s", 10),
    ("5m", 300),
    ("1h30m", 5400),
    ("2d", 172_800),
    ("1d2h3m4s", 93_784),
    ("90m", 5400),
    ("3660d", DURATION_S_MAX),
    ("10", "write it with units, such as 10s, 5m, 1h30m or 2d"),
    (10, "write it with units"),
    ("500ms", "write it with units"),
    ("1.5h", "write it with units"),
    ("1m1h", "write it with units"),
    ("1h 30m", "write it with units"),
    ("-5s", "write it with units"),
    ("", "write it with units"),
    ("5M", "write it with units"),
    ("٥s", "write it with units"),
    ("5s\n", "write it with units"),
    ("0s", "is out of range; it must be 1s to 3660d"),
    ("3661d", "is out of range"),
    ("999999999d", "is out of range"),
    ("9999999999s", "write it with units"),
    (None, "nothing is no duration"),
    (True, "true or false is no duration"),
    (Decimal("1.5"), "write it with units"),
]

SUMS: list[tuple[object, str | None, Money | str]] = [
    ("41.20 EUR", None, Money(Decimal("41.20"), "EUR")),
    ("41.20EUR", "EUR", Money(Decimal("41.20"), "EUR")),
    (500, "USD", Money(Decimal(500), "USD")),
    (Decimal("0.00012"), "EUR", Money(Decimal("0.00012"), "EUR")),
    (Decimal("-0"), "EUR", Money(Decimal(0), "EUR")),
    (0, "EUR", Money(Decimal(0), "EUR")),
    (500, None, "write amount and currency, such as 41.20 EUR"),
    ("500", "EUR", "write amount and currency"),
    ("5 USD", "EUR", "is not in EUR"),
    ("5 eur", None, "write amount and currency"),
    ("€5", None, "write amount and currency"),
    ("1,000 EUR", None, "write amount and currency"),
    ("-5 EUR", None, "write amount and currency"),
    (-5, "EUR", "out of range"),
    (10**12 + 1, "EUR", "out of range"),
    (Decimal("NaN"), "EUR", "out of range"),
    (5, "euro", "is no currency"),
    (True, "EUR", "true or false"),
    (None, "EUR", "nothing"),
]


def _holds(read: Callable[[object], object], value: object, expected: object) -> None:
    if not isinstance(expected, str):
        assert read(value) == expected, value
        return
    with pytest.raises(ValueError) as caught:
        read(value)
    assert expected in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_sizes_are_exact_bytes_or_say_what_to_write(report_n: ReportN) -> None:
    for value, expected in SIZES:
        _holds(size_bytes, value, expected)
    report_n("D13", len(SIZES))


def test_cpus_are_exact_thousandths_or_say_what_to_write(report_n: ReportN) -> None:
    for value, expected in CPUS:
        _holds(cpu_millicores, value, expected)
    assert cpu_cores("1500m") == Decimal("1.5")
    report_n("D13", len(CPUS))


def test_durations_are_whole_seconds_or_say_what_to_write(report_n: ReportN) -> None:
    for value, expected in DURATIONS:
        _holds(duration_s, value, expected)
    report_n("D13", len(DURATIONS))


def test_money_is_exact_and_never_changes_its_currency(report_n: ReportN) -> None:
    for value, currency, expected in SUMS:
        _holds(partial(money, currency=currency), value, expected)
    assert str(Money(Decimal("1234.5"), "EUR")) == "1,234.50 EUR"
    report_n("D13", len(SUMS))


def test_bounds_of_a_caller_are_named() -> None:
    with pytest.raises(ValueError, match="it must be 4MB to 2GB"):
        size_bytes("1MB", at_least=4 * MIB, at_most=2 * GIB)
    with pytest.raises(ValueError, match="it must be 1m to 1h30m"):
        duration_s("10s", at_least=60, at_most=5400)
    assert size_bytes("0MB", at_least=0) == 0
    assert duration_s("0s", at_least=0) == 0


@given(st.integers(1, SIZE_BYTES_MAX))
def test_a_shown_size_reads_back(size: int) -> None:
    assert size_bytes(shown_size(size)) == size


@given(st.integers(1, DURATION_S_MAX))
def test_a_shown_duration_reads_back(seconds: int) -> None:
    assert duration_s(shown_duration(seconds)) == seconds
