"""In whose manner an answer is given: ARCHITECT, OPERATOR or MEDIC, chosen by the verb or forced by `as`.

A persona is a file in `personas/`. It adds to an answer, may fold it, and tells a model which tone to take; what was
asked for stands in the answer word for word, whoever speaks (I29).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from controller.review.inert import fenced, visible

_LONG_CHARS = 400  # a longer answer is folded by who is short


class Adds(StrEnum):
    """What a persona has to say besides: what the design lacks, the facts as JSON, what failed last."""

    DESIGN = "design"
    FACTS = "facts"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Persona:
    """`verbs` are answered by it unless another is named; `alone` is what it does where only it is named; `tone` is a
    sentence of a model's prompt."""

    name: str
    verbs: tuple[str, ...]
    alone: str
    tone: str
    adds: Adds
    is_short: bool


@cache
def personas() -> Mapping[str, Persona]:
    """Everyone with a file, by name."""
    folder = resources.files("controller.tools.personas")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {p.name: p for p in (_persona(f.name.removesuffix(".toml"), f.read_text("utf-8")) for f in files)}


def persona_of(verb: str, forced: str = "") -> Persona | None:
    """Who answers: the one forced, else the one whose verb it is; most readings have none. Raises KeyError for a name
    there is no file of."""
    if forced:
        return personas()[forced]
    return next((p for p in personas().values() if verb in p.verbs), None)


def in_short(body: str, facts: Mapping[str, str | int], *, is_short: bool) -> str:
    """The facts as a JSON block beside `body`, which is folded where it is long; nothing of it is left out."""
    told = {k: visible(v, 200) if isinstance(v, str) else v for k, v in facts.items()}
    block = fenced(json.dumps(told, ensure_ascii=False, indent=2).splitlines(), "json")
    if not is_short or len(body) <= _LONG_CHARS:
        return f"{body}\n\n{block}"
    return f"{block}\n\n<details><summary>In full</summary>\n\n{body}\n\n</details>"


def _persona(name: str, text: str) -> Persona:
    told = tomllib.loads(text)
    return Persona(name, tuple(told["verbs"]), told["alone"], told["tone"], Adds(told["adds"]), told["is_short"])
