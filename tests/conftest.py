"""What every test may use. `report_n` prints how many points a row of the reliability matrix was shown on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_ROWS = pytest.StashKey[dict[str, tuple[int, int]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = {}


@pytest.fixture
def report_n(request: pytest.FixtureRequest) -> Callable[..., None]:
    """report_n(row, n, failures=0): adds `n` points to `row`; shown at the end of the run."""

    def add(row: str, n: int, failures: int = 0) -> None:
        before = request.config.stash[_ROWS].get(row, (0, 0))
        request.config.stash[_ROWS][row] = (before[0] + n, before[1] + failures)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if rows:
        terminalreporter.section("reliability rows")
        for row, (n, failures) in sorted(rows.items()):
            terminalreporter.write_line(f"{row:<24} N={n:<7} failures={failures}")
