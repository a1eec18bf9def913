"""The rows of the reliability matrix: what each one shows and the N that counts as met (`matrix.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Sums = dict[str, tuple[int, int]]  # what a test named its part of a row, "A7 gitea" → (points, failures)


@dataclass(frozen=True)
class Row:
    """`least` is the N that counts as met; `short` says what of the row has no test, if anything."""

    id: str
    what: str
    least: int = 1
    short: str = ""


@dataclass(frozen=True)
class Shown:
    """A row beside the points it was shown on."""

    row: Row
    n: int
    failures: int

    @property
    def met(self) -> bool:
        return not self.why

    @property
    def why(self) -> str:
        """Why it does not count as met; empty if it does."""
        if self.failures:
            return f"{self.failures} failed"
        if not self.n:
            return self.row.short or "no test shows it"
        return self.row.short or ("" if self.n >= self.row.least else "N is short of the bar")


def read_matrix() -> tuple[Row, ...]:
    """All rows, in their order."""
    told = tomllib.loads(Path(__file__).with_name("matrix.toml").read_text())
    return tuple(Row(**row) for row in told["row"])


def is_shown(row: Row, sums: Mapping[str, tuple[int, int]]) -> bool:
    """Whether any test spoke of it: the first word of a part's name is its row."""
    return any(part.split()[0] == row.id for part in sums)


def shown(rows: tuple[Row, ...], sums: Mapping[str, tuple[int, int]]) -> tuple[Shown, ...]:
    """Each row with the sum of its parts."""
    return tuple(
        Shown(row, sum(n for n, _ in parts), sum(failures for _, failures in parts))
        for row in rows
        for parts in ([found for part, found in sums.items() if part.split()[0] == row.id],)
    )
