"""One line of the table: what was measured, against what, and whether that is within the bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HEADINGS = ("work", "alma", "peer", "ratio", "bar", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """`figure` and `peer` in `unit`; `bar` in words, `met` None where there was nothing to compare with."""

    work: str
    figure: float
    unit: str
    bar: str
    met: bool | None
    peer: float | None = None
    peer_name: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure."""
        return self.figure / self.peer if self.peer else None

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        against = f"{self.peer_name} {amount(self.peer, self.unit)}" if self.peer is not None else "-"
        ratio = f"{self.ratio:.2f}" if self.ratio is not None else "-"
        met = "-" if self.met is None else "yes" if self.met else "NO"
        return (self.work, amount(self.figure, self.unit), against, ratio, self.bar, met)


def at_most(work: str, figure: float, unit: str, bound: float) -> Row:
    """A row with a bar of its own, without a peer."""
    return Row(work, figure, unit, f"≤ {amount(bound, unit)}", figure <= bound)


def against(work: str, figure: float, unit: str, peer: tuple[str, float], factor: float) -> Row:
    """A row whose bar is a multiple of a peer's figure in the same run."""
    name, value = peer
    return Row(work, figure, unit, f"≤ {factor:g} × {name}", figure <= factor * value, value, name)


def beside(work: str, figure: float, unit: str, peer: tuple[str, float]) -> Row:
    """A row that shows a peer's figure and sets no bar."""
    return Row(work, figure, unit, "-", None, peer[1], peer[0])


def amount(value: float, unit: str) -> str:
    """`0.032 s`, `7.2 s`, `143 MB`."""
    digits = 2 if unit == "×" else 0 if unit != "s" or value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} {unit}".rstrip()


def table(rows: Sequence[Row]) -> str:
    """Aligned columns."""
    cells = [_HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
