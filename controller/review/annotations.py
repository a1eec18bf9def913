"""A review as notes at the lines it is about, for a forge that shows them there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from controller.review.finding import Severity
from controller.review.inert import visible
from controller.review.report import Review

_TEXT_MAX = 2_000
_TITLE_MAX = 200


class Note(NamedTuple):
    """One line of a file, how bad it is (`notice`, `warning`, `failure`), and what is said of it."""

    path: str
    line: int
    level: str
    title: str
    message: str


def notes(review: Review) -> tuple[Note, ...]:
    """The worst first, then by file and line; each once. What has no place in a file is in the comment only."""
    found = dict.fromkeys((*_mistakes(review), *_findings(review)))
    order = ("failure", "warning", "notice")
    return tuple(sorted(found, key=lambda n: (order.index(n.level), n)))


def _mistakes(review: Review) -> Iterator[Note]:
    for scope in review.scopes:
        for problem in scope.problems:
            if problem.place:
                told = f"{problem.path}: {problem.message}" if problem.path else problem.message
                yield _note(problem.place.file, problem.place.line, "failure", f"{scope.name} is not valid", told)


def _findings(review: Review) -> Iterator[Note]:
    for scope in review.scopes:
        for found in scope.audit.notable if scope.audit else ():
            if found.place:
                title = f"{found.severity.value}: {found.rule} in {found.resource}"
                level = _level(found.severity, review.fail_on)
                yield _note(found.place.file, found.place.line, level, title, f"{found.message}\n\n{found.fix}")


def _level(severity: Severity, fail_on: Severity | None) -> str:
    if fail_on and severity.rank >= fail_on.rank:
        return "failure"
    return "warning" if severity.rank >= Severity.MEDIUM.rank else "notice"


def _note(path: str, line: int, level: str, title: str, message: str) -> Note:
    lines = "\n".join(visible(part, _TEXT_MAX) for part in message.split("\n"))
    return Note(path, max(line, 1), level, visible(title, _TITLE_MAX), lines[:_TEXT_MAX])
