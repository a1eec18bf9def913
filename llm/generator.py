"""Words → a blueprint: by a model where one is configured and gives a valid one, else by template.

What a model returns is read as a blueprint, validated and audited; its mistakes are sent back, twice. Only a valid text
without a severe finding is taken, and even that is only text: nobody deploys it but a person, by a commit (I30).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from controller.blueprint.document import read_document
from controller.blueprint.node import plain
from controller.blueprint.writing import yaml_text
from controller.errors import InvalidInput
from controller.review.cost import cost
from controller.review.finding import Severity
from controller.review.wording import money_text
from controller.telemetry import Metrics
from controller.tools.authoring import CreateTakes, create_blueprint, validate_blueprint
from controller.tools.reading import OneBlueprint, audited, loaded
from controller.tools.tool import Ground
from llm.facts import Redact
from llm.prompts import prompt
from llm.providers.provider import Bounds, Message
from llm.router import Router

TASK = "generate"
TRIES = 3
_TEXT_MAX = 20_000
_MISTAKES_MAX = 10
_BOUNDS = Bounds(tokens=4_000, characters=_TEXT_MAX, timeout_s=60.0)


@dataclass(frozen=True, slots=True)
class Generated:
    """A valid blueprint. `notes`: whose it is, what it costs, what it takes for granted."""

    blueprint: str
    notes: tuple[str, ...]


def by_template(wish: CreateTakes, ground: Ground) -> Generated:
    """By the template that most words speak for. The same words give the same blueprint."""
    made = create_blueprint(wish, ground)
    money = money_text(made.monthly_cost, made.currency)
    return Generated(made.blueprint, (f"by template {made.template}, about {money} a month", *made.assumptions))


async def generated(wish: CreateTakes, ground: Ground, router: Router, redact: Redact, metrics: Metrics) -> Generated:
    """By a model, or by template where none gives a valid one. Never raises for what a model does."""
    starter = by_template(wish, ground)
    mistakes: list[str] = []
    for _ in range(TRIES):
        asked = {"request": wish.description, "starter": starter.blueprint, "mistakes": mistakes}
        user = Message("user", redact(json.dumps(asked, ensure_ascii=False)))
        told = await router.ask(TASK, "generate", (Message("system", prompt(TASK)), user), _BOUNDS)
        if told is None:
            break
        try:
            text = _normal(told.text)
            mistakes = _mistakes(text, wish, ground)
        except InvalidInput as error:
            mistakes = [str(p) for p in error.problems[:_MISTAKES_MAX]] or [str(error)]
        if not mistakes:
            metrics.count("alma_narratives", "model", "shown")
            return Generated(text, (f"by {told.provider} {told.model}, {_monthly(text, ground)}",))
    metrics.count("alma_narratives", "rules", "dropped" if mistakes else "no_answer")
    return Generated(starter.blueprint, ("no model gave a valid blueprint", *starter.notes))


def _normal(answer: str) -> str:
    """The one object in the answer, as a blueprint file of ours would write it. Raises InvalidInput."""
    start, end = answer.find("{"), answer.rfind("}")
    if not 0 <= start < end:
        raise InvalidInput("the answer is no JSON object")
    return yaml_text(plain(read_document(answer[start : end + 1].encode(), "answer.json")))


def _mistakes(text: str, wish: CreateTakes, ground: Ground) -> list[str]:
    """What keeps a text from being taken: errors, severe findings, a cost above the limit."""
    found = validate_blueprint(OneBlueprint(blueprint=text), ground)
    if not found.valid:
        return [f"{m.path}: {m.message}" for m in found.errors[:_MISTAKES_MAX]]
    severe = [f for f in audited(text, ground).findings if f.severity.rank >= Severity.HIGH.rank]
    told = [f"{f.resource}: {f.message}; {f.fix}" for f in severe[:_MISTAKES_MAX]]
    limit = wish.constraints.max_cost
    if limit is not None and cost(ground.book, None, loaded(text).entries).total_after > limit:
        told.append(f"it costs more than {limit} a month")
    return told


def _monthly(text: str, ground: Ground) -> str:
    sum_ = cost(ground.book, None, loaded(text).entries).total_after
    return f"about {money_text(sum_, ground.book.currency)} a month"
