"""What the tests of a run were shown on: `report_n` of the tests that show it, the table at the end.

`--full` gives the rows the N of the whole matrix where the everyday suite takes a part; `--rows-only` leaves out what
shows no row; `--rows-to FILE` keeps the sums for `python -m tests.reliability`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.matrix import Sums, is_shown, read_matrix
from tests.reliability.table import table

_SUMS = pytest.StashKey[Sums]()
_PROPERTY = "reliability-row"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reliability")
    group.addoption("--full", action="store_true", help="the N of the whole matrix")
    group.addoption("--rows-only", action="store_true", help="only tests that show a row of the matrix")
    group.addoption("--rows-to", type=Path, metavar="FILE", help="write what each row was shown on, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SUMS] = {}
    config.pluginmanager.register(_Adding(config.stash[_SUMS]), "reliability-rows")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("rows_only"):
        left_out = [item for item in items if "report_n" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def report_n(request: pytest.FixtureRequest) -> Callable[..., None]:
    """report_n(row, n, failures=0): adds `n` points to `row`; shown at the end of the run."""

    def add(row: str, n: int, failures: int = 0) -> None:
        # A property of the test's report, because reports are what comes back from the workers of pytest-xdist.
        request.node.user_properties.append((_PROPERTY, (row, n, failures)))

    return add


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """The whole N of a row is asked for, whatever it takes."""
    return bool(pytestconfig.getoption("full"))


class _Adding:
    """Sums what the tests reported, in the process that prints the summary."""

    def __init__(self, sums: Sums) -> None:
        self._sums = sums

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":  # the last report of a test has all of its properties
            return
        for name, value in report.user_properties:
            if name == _PROPERTY:
                self._add(*value)  # type: ignore[misc] # pytest types a property as object

    def _add(self, row: str, n: int, failures: int) -> None:
        before = self._sums.get(row, (0, 0))
        self._sums[row] = (before[0] + n, before[1] + failures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    sums = config.stash[_SUMS]
    if config.getoption("rows_to"):
        config.getoption("rows_to").write_text(json.dumps(sums))
    if sums:
        terminalreporter.section("reliability rows")
        for row, (n, failures) in sorted(sums.items()):
            terminalreporter.write_line(f"{row:<24} N={n:<7} failures={failures}")
        terminalreporter.section("against their bars")
        terminalreporter.write_line(table(tuple(row for row in read_matrix() if is_shown(row, sums)), sums))
