"""A row counts as met by its N and its failures, and says why when it does not."""

from __future__ import annotations

from tests.reliability.matrix import Row, read_matrix
from tests.reliability.table import table

ROWS = (Row("A1", "kills", 100), Row("B1", "faults"), Row("C9", "reads", short="there is no API"))


def test_a_row_is_the_sum_of_its_parts() -> None:
    told = table(ROWS, {"A1 docker": (60, 0), "A1 kubernetes": (40, 0), "A10 other": (9, 9)})
    assert told.splitlines()[1].split()[-5:] == ["kills", "100", "100", "0", "met"]


def test_a_row_that_is_not_met_says_why() -> None:
    told = table(ROWS, {"A1 docker": (99, 0), "B1": (7, 2)}).splitlines()
    assert told[1].endswith("not met: N is short of the bar")
    assert told[2].endswith("not met: 2 failed")
    assert told[3].endswith("not met: there is no API")
    assert told[4] == "0 of 3 rows met"


def test_a_row_that_nothing_shows_is_not_met() -> None:
    assert "B1   faults" in table(ROWS, {})
    assert "not met: no test shows it" in table(ROWS, {})


def test_every_row_of_the_matrix_stands_once() -> None:
    parts = {"A": 15, "B": 23, "C": 10, "D": 19, "E": 34}
    assert [row.id for row in read_matrix()] == [f"{p}{n}" for p, last in parts.items() for n in range(1, last + 1)]
