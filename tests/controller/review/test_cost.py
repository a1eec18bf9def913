"""Cost of owned hardware: exact, with assumptions, and honest about what has no price."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.errors import InvalidInput
from controller.review.cost import Budget, Cost, cost, range_text, unpriced_note, within_budget
from controller.review.price_book import Power, PriceBook, default_book
from controller.review.price_file import read_prices
from controller.review.sizing import millicores, size_bytes, sizing
from tests.controller.review.making import entry

BOOK = PriceBook("EUR", "test", date(2026, 1, 1), Decimal(2), Decimal(1), {"ssd": Decimal("0.01")}, "ssd")


def vm(name: str = "web", **specs: object) -> Entry:
    return entry(name, "vm", specs)


def test_a_machine_costs_its_shares() -> None:
    got = cost(BOOK, None, [vm(cpu=4, memory="8GB", disk="100GiB")])
    # 4 × 2 + 8 × 1 + 107.37 GB × 0.01
    assert got.total_after == Decimal("17.07") and got.total_before == 0 and got.delta == Decimal("17.07")
    assert got.lines[0].basis == "4 vCPU, 8 GiB, 107.37 GB disk"


def test_power_is_watts_times_hours_times_price_times_pue() -> None:
    power = Power(kwh_price=Decimal("0.30"), pue=Decimal("1.5"), watt_per_vcpu=Decimal(10))
    with_power = PriceBook("EUR", "t", date(2026, 1, 1), Decimal(0), Decimal(0), {"ssd": Decimal(0)}, "ssd", power)
    # 10 W × 730 h / 1000 × 0.30 × 1.5 = 3.285
    assert with_power.per_vcpu == Decimal("3.285")
    assert cost(with_power, None, [vm(cpu=2, memory="1GB")]).total_after == Decimal("6.57")


def test_before_and_after_are_told_apart_per_resource() -> None:
    got = cost(BOOK, [vm(cpu=1, memory="1GB"), vm("old", cpu=1, memory="1GB")], [vm(cpu=2, memory="1GB")])
    assert [(line.resource, line.before, line.after) for line in got.lines] == [
        ("prod/shop/old", Decimal(3), None),
        ("prod/shop/web", Decimal(3), Decimal(5)),
    ]
    assert got.delta == Decimal(-1)


def test_what_has_no_price_is_named_and_never_zero() -> None:
    got = cost(BOOK, None, [vm("a", cpu=1), entry("net", "network"), entry("v", "volume"), vm("b", cpu=1, memory="x")])
    assert dict(got.unpriced) == {
        "prod/shop/a": "no memory limit given",
        "prod/shop/b": "no memory limit given",
        "prod/shop/v": "no size given",
    }
    assert got.lines == () and got.total_after == 0
    assert unpriced_note(got.unpriced) == "3 resources have no price and are not in the sums"
    assert unpriced_note(got.unpriced[:1]) == "1 resource has no price and is not in the sums"
    assert unpriced_note(()) == ""


def test_copies_multiply_and_disks_have_classes() -> None:
    many = vm(cpu=1, memory="1GB", replicas=3, disks=[{"size": "10GB", "class": "ssd"}, "10GB"])
    assert sizing(many).copies == 3
    assert cost(BOOK, None, [many]).total_after == Decimal("9.64")
    assert sizing(many).text() == "3 × 1 vCPU, 1 GiB, 10.74 GB ssd, 10.74 GB disk"


def test_a_disk_that_is_no_size_makes_the_resource_unpriced() -> None:
    assert sizing(vm(cpu=1, memory="1GB", disk="big")).unknown == "its disk size is not a size"


def test_an_external_volume_is_not_ours_to_pay() -> None:
    assert sizing(entry("v", "volume", {"external": True})).free


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [
        ("512MB", 2**29),
        ("1GiB", 2**30),
        ("512m", 2**29),
        ("1.5G", 3 * 2**29),
        (7, 7),
        (True, None),
        ("x", None),
        (-1, None),
    ],
)
def test_sizes_are_read_in_the_words_of_every_engine(written: object, bytes_: int | None) -> None:
    assert size_bytes(written) == bytes_


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (2, 2000),
        (Decimal("0.5"), 500),
        ("500m", 500),
        ("2", 2000),
        ("x", None),
        ("NaN", None),
        (True, None),
        (None, None),
    ],
)
def test_cpu_is_read_in_the_words_of_every_engine(written: object, found: int | None) -> None:
    assert millicores(written) == found


def costs(before: str, after: str, currency: str = "EUR") -> Cost:
    return Cost((), Decimal(before), Decimal(after), currency)


@pytest.mark.parametrize(
    ("before", "after", "fits", "text"),
    [
        ("0", "10", True, "10.00 EUR of 100.00 EUR per month"),
        ("90", "110", False, "10.00 EUR above the budget of 100.00 EUR per month"),
        ("130", "120", True, "20.00 EUR above 100.00 EUR per month, as before"),
    ],
)
def test_the_budget_refuses_only_what_makes_it_worse(before: str, after: str, fits: bool, text: str) -> None:
    got = within_budget([costs(before, after)], Budget(Decimal(100), "EUR"))
    assert (got.fits, got.text) == (fits, text)


def test_no_budget_fits_and_another_currency_does_not() -> None:
    assert within_budget([costs("0", "10")], None).fits
    assert not within_budget([costs("0", "10", "USD")], Budget(Decimal(100), "EUR")).fits


def test_the_default_book_has_a_source_and_a_date_and_counts_power() -> None:
    book = default_book()
    assert book.currency == "EUR" and book.source and book.dated > date(2026, 1, 1)
    assert book.per_vcpu > book.vcpu > 0 and book.disk_rate("default") == book.disk_rate("ssd")
    assert any("2026" in line for line in book.assumptions())


def test_a_price_file_replaces_single_keys() -> None:
    text = b"vcpu: 3.50\nsource: our rack\ndate: 2026-10-01\ndisk_gb: {tape: 0.001}\npower: {kwh_price: 0}\n"
    book = read_prices(text, "prices.yaml", default_book())
    assert (book.vcpu, book.per_vcpu, book.dated) == (Decimal("3.50"), Decimal("3.50"), date(2026, 10, 1))
    assert book.disk_gb["tape"] == Decimal("0.001") and book.disk_gb["ssd"] == default_book().disk_gb["ssd"]
    assert book.memory_gib == default_book().memory_gib and book.source == "our rack"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vcpu: much", "prices.yaml:1:7: vcpu: must be a number, as in 1.20"),
        ("vcpu: -1", "prices.yaml:1:7: vcpu: "),
        ("\nvcpus: 1", "prices.yaml:2:1: vcpus: unknown key; did you mean vcpu?"),
        ("date: soon", "prices.yaml:1:7: date: must be a date such as 2026-12-31"),
        ("currency: euro", "prices.yaml:1:11: currency: "),
        ("currency: USD", "prices.yaml:1:11: currency: prices below are in EUR; set these in USD too: vcpu"),
        ("default_disk: tape", "prices.yaml:1:15: default_disk: disk_gb has no price for tape"),
        ("vcpu: [", "prices.yaml:"),
        ("power: {pue: 0.5}", "prices.yaml:1:14: power.pue: "),
    ],
)
def test_a_wrong_price_file_says_where_and_what(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_prices(text.encode(), "prices.yaml", default_book())
    assert str(caught.value).startswith(said)


GOLDEN = [
    # 4 × 2.733 + 16 × 0.34264 + 214.748 GB × (0.0126132 + 2 × 0.004)
    ({"cpu": 4, "memory": "16GB", "disk": "200GB"}, {"backup": {"enabled": True}}, "17.55 20.84 24.95"),
    ({"cpu": 8, "memory": "64GB", "disk": "1TB", "disk_class": "nvme", "gpu": 2}, {}, "156.30 194.18 241.53"),
    (
        {"cpu": 2, "memory": "4GB", "disk": "40GB", "disk_class": "hdd"},
        {"network": {"public_ip": True}},
        "7.59 9.02 10.81",
    ),
    ({"cpu": 4, "memory": "16GB", "disk": "100GB"}, {"product": "mssql"}, "194.50 197.77 201.85"),
]


@pytest.mark.parametrize(("specs", "more", "sums"), GOLDEN)
def test_the_default_book_gives_these_sums_to_the_cent(specs: dict[str, Any], more: dict[str, Any], sums: str) -> None:
    """Low, expected and high of a month, reckoned by hand from `prices/default.toml`."""
    got = cost(default_book(), None, [replace(vm(**specs), **more)])
    assert f"{got.low} {got.total_after} {got.high}" == sums
    assert got.unpriced == ()


def test_what_is_bought_by_the_month_has_the_price_of_its_item() -> None:
    balancer = replace(vm(), metadata={"item": "cloud-load-balancer"})
    assert cost(default_book(), None, [balancer]).total_after == Decimal("18.00")
    unknown = cost(default_book(), None, [replace(vm(), metadata={"item": "cloud-moon"})])
    assert unknown.unpriced == (("prod/shop/web", "no price for cloud-moon"),)
    assert unknown.total_after == 0 and unknown.lines == ()


def test_a_part_without_price_is_named_and_the_rest_is_counted() -> None:
    got = cost(BOOK, None, [replace(vm(cpu=1, memory="1GB", gpu=2, gpu_class="h100"), network={"public_ip": True})])
    assert got.total_after == Decimal(3)
    assert [why for _, why in got.unpriced] == [
        "in part: no price for a GPU of class h100",
        "in part: no price for a public IP",
    ]
    assert unpriced_note(got.unpriced) == "2 things have no price and are not in the sums"


def test_carbon_is_the_electricity_of_a_month_times_the_grid() -> None:
    # 2 × 5 W + 4 × 0.4 W = 11.6 W; × 0.73 × 1.4 = 11.8552 kWh; × 360 g
    got = cost(default_book(), None, [vm(cpu=2, memory="4GB")])
    assert got.co2_kg == Decimal("4.3")
    assert range_text(got).endswith("4.3 kg of CO2 by its electricity")
    assert cost(BOOK, None, [vm(cpu=2, memory="4GB")]).co2_kg is None


def test_cores_stand_in_every_socket_and_a_type_of_processor_is_no_number() -> None:
    guest = vm(cpu="host", cores=4, sockets=2, memory="1GB", disks={"scsi0": {"size": "10GB"}, "scsi1": "5GB"})
    assert (sizing(guest).cpu_millicores, sum(n for _, n in sizing(guest).disks)) == (8000, 15 * 2**30)


def test_a_price_file_of_another_currency_brings_every_price() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_prices(b"currency: USD\nvcpu: 1\nmemory_gib: 1", "prices.yaml", default_book())
    said = str(caught.value)
    assert "gpu.a100" in said and "items.cloud-load-balancer" in said and "public_ip" in said


def test_a_price_file_may_not_turn_usage_around() -> None:
    with pytest.raises(InvalidInput, match="usage: low is above high"):
        read_prices(b"usage: {low: 3}", "prices.yaml", default_book())
