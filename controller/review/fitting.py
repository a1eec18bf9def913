"""Rows into a room of characters: whole rows only, and a count of those left out."""

from __future__ import annotations

from collections.abc import Sequence

from controller.review.inert import Markdown


def fit(rows: Sequence[Markdown], room: int) -> tuple[list[Markdown], int]:
    """The rows that fit, from the first on, and how many do not."""
    for n, row in enumerate(rows):
        room -= len(row) + 1
        if room < 0:
            return list(rows[:n]), len(rows) - n
    return list(rows), 0
