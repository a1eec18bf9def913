"""The process that forks those that die, as a test sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ALONE: Mapping[str, Any] = {}


class Forker:
    """A process that answers each line of JSON with one; what it is asked for it does in forked children."""

    def __init__(self, module: str, argument: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns when the children have ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def close(self) -> None:
        """Returns when it has ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


class Zygote(Forker):
    """Forks controllers that die."""

    def __init__(self, home: Path) -> None:
        super().__init__("tests.crash.zygote", str(home))
        self._home = home

    def ask(
        self, do: str, scenario: str, kills: tuple[int, ...] = (), settings: Mapping[str, Any] = _ALONE
    ) -> dict[str, Any]:
        """`settings` are those of the controller that is killed and of the one that recovers."""
        home = str(self._home / "estate")
        return self.answer({"do": do, "scenario": scenario, "home": home, "kills": kills, "settings": settings})


def wrong(point: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """What is not as it would be without any kill."""
    wrongs = list(point["wrongs"])
    for part, expected in reference["story"].items():
        if "story" in point and point["story"][part] != expected:
            wrongs.append(f"{part}: {point['story'][part]} instead of {expected}")
    return wrongs
