"""Prompts are files, one a task, so that a reviewer sees every word that is ours."""

from __future__ import annotations

from importlib import resources

from llm.providers.provider import Message


def prompt(name: str) -> str:
    """The text of `NAME.txt`. Raises FileNotFoundError for a name there is no file of: a bug, never input."""
    return resources.files(__name__).joinpath(f"{name}.txt").read_text("utf-8").strip()


def in_tone(name: str, tone: str) -> Message:
    """The same as a system's message that ends with how to speak; `tone` is ours, from a persona's file."""
    return Message("system", f"{prompt(name)}\n\n{tone}".strip())
