"""A model that says what it was told to, without a network: for tests and for trying out a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from llm.providers.provider import Answer, Bounds, Message, NoAnswer


class ScriptedProvider:
    """Gives its answers in turn, the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: str | Answer | NoAnswer, name: str = "scripted", model: str = "script") -> None:
        if not answers:
            raise ValueError("a script needs an answer")
        self._answers = list(answers)
        self.name, self.model = name, model
        self.asked: list[tuple[Message, ...]] = []
        self.bounds: list[Bounds] = []

    async def complete(self, messages: Sequence[Message], bounds: Bounds) -> Answer:
        self.asked.append(tuple(messages))
        self.bounds.append(bounds)
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(said, NoAnswer):
            raise said
        return Answer(said) if isinstance(said, str) else said

    async def close(self) -> None:
        """Holds nothing."""
