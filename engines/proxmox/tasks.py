"""Tasks of the cluster: what a UPID says, and how a worker ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_UPID = re.compile(r"UPID:([^:]+):[0-9A-F]{8}:[0-9A-F]{8,9}:([0-9A-F]{8}):([^:]+):([^:]*):([^:]+):")
_PERCENT = re.compile(r"\((\d{1,3})(?:\.\d+)?%\)")
# A worker that could not get a lock has changed nothing, and what it had begun to make is gone again.
_LOCK = re.compile(r"can't lock file|got lock request timeout|is locked \(|-locked command timed out")
LINES_TOLD = 8


@dataclass(frozen=True, slots=True)
class Upid:
    """Who works on what, where. `user` is the login as lists name it."""

    text: str
    node: str
    started_s: int
    type: str
    id: str
    user: str


def upid(text: object) -> Upid | None:
    """The parts of a UPID; None for a text that is none."""
    found = _UPID.fullmatch(text) if isinstance(text, str) else None
    return Upid(found[0], found[1], int(found[2], 16), found[3], found[4], found[5]) if found else None


class End(StrEnum):
    RUNNING = "running"
    GOOD = "good"
    LOCKED = "locked"  # it never began: safe to send again
    BAD = "bad"


def ended(status: Mapping[str, Any]) -> End:
    """How a task stands, from `GET …/status`. `exitstatus` is read only when it has stopped."""
    if status.get("status") != "stopped":
        return End.RUNNING
    text = str(status.get("exitstatus") or "")
    if text == "OK" or text.startswith("WARNINGS:"):
        return End.GOOD
    return End.LOCKED if _LOCK.search(text) else End.BAD


def warned(status: Mapping[str, Any]) -> bool:
    """True for a task that ended well but for warnings."""
    return str(status.get("exitstatus") or "").startswith("WARNINGS:")


def progress(lines: Sequence[str]) -> int | None:
    """The last percentage in a log; None where it tells none."""
    for line in reversed(lines):
        if found := _PERCENT.search(line):
            return min(100, int(found[1]))
    return None


def warnings_in(lines: Sequence[str]) -> list[str]:
    """The lines that warn."""
    return [line for line in lines if line.startswith(("WARN", "WARNING"))][-LINES_TOLD:]
