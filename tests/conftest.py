"""What every test may use. `report_n` prints how many points a row of the reliability matrix was shown on."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis
import pytest

# No timing assertions: a busy machine must not fail a property.
hypothesis.settings.register_profile("alma", deadline=None)
hypothesis.settings.load_profile("alma")

pytest_plugins = ["tests.scheduling", "tests.servers.fixtures", "tests.servers.selection"]

_ROWS = pytest.StashKey[dict[str, tuple[int, int]]]()
_PROPERTY = "reliability-row"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = {}
    config.pluginmanager.register(_Rows(config.stash[_ROWS]), "reliability-rows")


@pytest.fixture
def report_n(request: pytest.FixtureRequest) -> Callable[..., None]:
    """report_n(row, n, failures=0): adds `n` points to `row`; shown at the end of the run."""

    def add(row: str, n: int, failures: int = 0) -> None:
        # A property of the test's report, because reports are what comes back from the workers of pytest-xdist.
        request.node.user_properties.append((_PROPERTY, (row, n, failures)))

    return add


class _Rows:
    """Sums what the tests reported, in the process that prints the summary."""

    def __init__(self, rows: dict[str, tuple[int, int]]) -> None:
        self._rows = rows

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":  # the last report of a test has all of its properties
            return
        for name, value in report.user_properties:
            if name == _PROPERTY:
                self._add(*value)  # type: ignore[misc] # pytest types a property as object

    def _add(self, row: str, n: int, failures: int) -> None:
        before = self._rows.get(row, (0, 0))
        self._rows[row] = (before[0] + n, before[1] + failures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if rows:
        terminalreporter.section("reliability rows")
        for row, (n, failures) in sorted(rows.items()):
            terminalreporter.write_line(f"{row:<24} N={n:<7} failures={failures}")
