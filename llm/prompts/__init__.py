"""Prompts are files, one a task, so that a reviewer sees every word that is ours."""

from __future__ import annotations

from importlib import resources


def prompt(name: str) -> str:
    """The text of `NAME.txt`. Raises FileNotFoundError for a name there is no file of: a bug, never input."""
    return resources.files(__name__).joinpath(f"{name}.txt").read_text("utf-8").strip()
