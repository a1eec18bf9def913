"""The process that forks those that die, as a test sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ALONE: Mapping[str, Any] = {}


class Zygote:
    """The process that forks those that die."""

    def __init__(self, home: Path) -> None:
        self._home = home
        command = [sys.executable, "-m", "tests.crash.zygote", str(home)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(
        self, do: str, scenario: str, kills: tuple[int, ...] = (), settings: Mapping[str, Any] = _ALONE
    ) -> dict[str, Any]:
        """`settings` are those of the controller that is killed and of the one that recovers."""
        assert self._process.stdin and self._process.stdout
        home = str(self._home / "estate")
        request = {"do": do, "scenario": scenario, "home": home, "kills": kills, "settings": settings}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def wrong(point: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """What is not as it would be without any kill."""
    wrongs = list(point["wrongs"])
    for part, expected in reference["story"].items():
        if "story" in point and point["story"][part] != expected:
            wrongs.append(f"{part}: {point['story'][part]} instead of {expected}")
    return wrongs
