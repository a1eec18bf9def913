"""`pytest tests/controller/review --update-golden` writes `tests/golden/CASE/` anew; look at the diff first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/CASE/ anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """golden(case, file, text): `text` is what `tests/golden/CASE/FILE` holds."""
    update = bool(request.config.getoption("--update-golden", default=False))

    def compare(case: str, file: str, text: str) -> None:
        path = GOLDEN / case / file
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8")

    return compare
