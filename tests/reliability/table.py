"""The matrix as people read it: one line a row."""

from __future__ import annotations

from tests.reliability.matrix import Row, Shown, Sums, shown


def table(rows: tuple[Row, ...], sums: Sums) -> str:
    """Row, what it shows, N, bar, failures, met or why not; and how many are met."""
    told = shown(rows, sums)
    wide = max((len(one.row.what) for one in told), default=0)
    head = f"{'row':<4} {'what it shows':<{wide}} {'N':>8} {'bar':>7} {'failures':>8}  met"
    met = sum(one.met for one in told)
    return "\n".join([head, *(_line(one, wide) for one in told), f"{met} of {len(told)} rows met"])


def _line(one: Shown, wide: int) -> str:
    verdict = "met" if one.met else f"not met: {one.why}"
    return f"{one.row.id:<4} {one.row.what:<{wide}} {one.n:>8,} {one.row.least:>7,} {one.failures:>8,}  {verdict}"
