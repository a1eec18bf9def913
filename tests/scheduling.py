"""How `pytest -n` divides the work: the tests of one file stay on one worker, because its servers are started once for
each; a kill sweep's shares need none of each other's and take minutes, so they go wherever there is room."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_DIVIDED = "test_kills.py"  # the name of every kill sweep's file


class FilesAndShares(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """`--dist loadfile`, but each test of a kill sweep by itself."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return nodeid if file.endswith(_DIVIDED) else file


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndShares | None:
    """None, which is the scheduler's own choice, for another `--dist`."""
    return FilesAndShares(config, log) if config.getoption("dist") == "loadfile" else None
