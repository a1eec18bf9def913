"""The soak's verdict: flat is met, growth is not, however slow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.usage import Reading, verdict

CALM = Reading(100.0, 40, 20, 0, 10**6, 10**6)


def lines(*readings: Reading, ops: int = 1000) -> dict[str, bool]:
    return {line.what: line.met for line in verdict(readings, ops)}


def test_what_stays_flat_meets_its_bar() -> None:
    assert all(lines(*[CALM] * 40).values())


@pytest.mark.parametrize(
    ("name", "what"), [("rss_mb", "memory, MB"), ("descriptors", "open descriptors"), ("threads", "threads")]
)
def test_what_grows_by_a_fifth_does_not(name: str, what: str) -> None:
    growing = [replace(CALM, **{name: getattr(CALM, name) * (1 + n / 100)}) for n in range(40)]
    assert not lines(*growing)[what]


def test_a_file_that_is_left_over_does_not() -> None:
    assert not lines(*[CALM] * 30, *[replace(CALM, left_files=1)] * 10)["files left over"]


def test_a_journal_that_costs_too_much_an_op_does_not() -> None:
    assert not lines(*[CALM] * 40, ops=100)["journal, bytes an op"]


def test_memory_has_a_bound_of_its_own() -> None:
    assert not lines(*[replace(CALM, rss_mb=450.0)] * 40)["most memory, MB"]
