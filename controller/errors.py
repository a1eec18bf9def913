"""The tree of errors. The class says what to do next; the exit code of the command line follows from it.

    AlmaError
    ├── InvalidInput     the text is wrong: mend it (exit 3); carries one Problem per mistake
    ├── RefusedByPolicy  the text is fine and not allowed: ask, confirm or change the policy (exit 4)
    └── Unreachable      a target or forge does not answer: try again later (exit 5)

Errors of an engine (`Transient`, `Conflict`, `Refused`, `Unclear`) live beside its contract in `engines.engine`;
above the executor they are data, never exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a repository something stands: file relative to its root, line and column from 1."""

    file: str
    line: int = 1
    col: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, where it stands, and what to write instead."""

    place: Place | None
    message: str
    path: str = ""  # `resources.0.specs.memory`, the form of M02; empty where a whole file is meant

    def __str__(self) -> str:
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{self.place}: {what}" if self.place else what


class AlmaError(Exception):
    """Something a person can act on. `hint` is the next step; str() is one line without secrets."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidInput(AlmaError):
    """Every mistake found in what was read, all at once, in the order of file and line."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem] | str, *, hint: str = "") -> None:
        listed = (Problem(None, problems),) if isinstance(problems, str) else tuple(problems)
        self.problems = tuple(sorted(listed, key=lambda p: (p.place or Place("", 0, 0), p.path)))
        super().__init__("\n".join(str(p) for p in self.problems), hint=hint)


class RefusedByPolicy(AlmaError):
    """Allowed by no rule that is in force; says which one, and who may change it."""

    exit_code = 4


class Unreachable(AlmaError):
    """An outside system did not answer or did not let us in. Nothing was changed."""

    exit_code = 5
