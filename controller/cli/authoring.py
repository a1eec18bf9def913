"""`alma council` and `alma generate`: advice and a first blueprint from words, by rules or with a configured model."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from controller.cli.session import blocking, settings_of
from controller.cli.show import print_json, print_table
from controller.cli.tools import text_of
from controller.errors import InvalidInput
from controller.plan.codec import to_json
from controller.redact import Redactor
from controller.review.price_book import default_book
from controller.review.told import Told
from controller.runtime.clock import SystemClock
from controller.settings import Loaded
from controller.targets import kinds_of, resolve_own
from controller.telemetry import Metrics
from controller.tools.authoring import Constraints, CreateTakes, create_blueprint
from controller.tools.council import Minutes, convene, council_told
from controller.tools.reading import reviewed
from controller.tools.tool import Ground
from engines.registry import engine_names
from llm.council import ModelSpeaker
from llm.facts import Redact
from llm.generator import Generated, by_template, generated
from llm.opening import open_router
from llm.router import Router


@click.group()
def council() -> None:
    """Five views on a blueprint, a rebuttal and a vote; advice, and nothing else."""


@council.command("convene")
@click.argument("question")
@click.option("--blueprint", type=click.Path(path_type=Path), help="What it is about; else a starter for the words.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_context
def convene_(ctx: click.Context, question: str, blueprint: Path | None, output: str) -> int:
    """Architect, security, cost, performance and compliance discuss QUESTION."""
    ground = _ground()
    text = text_of(blueprint) if blueprint else create_blueprint(CreateTakes(description=question), ground).blueprint
    loaded = settings_of(ctx)
    minutes = blocking(lambda: _minutes(loaded, text, question, ground))
    if output == "json":
        print_json({"format": "alma.council/v1", **to_json(minutes)})
    else:
        _print(council_told(minutes))
    return 0


@click.command()
@click.argument("words")
@click.option("--max-cost", type=click.FLOAT, help="A month, in the currency of the prices.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file to write; it must not be there.")
@click.pass_context
def generate(ctx: click.Context, words: str, max_cost: float | None, output: Path | None) -> int:
    """A blueprint from WORDS, validated and never deployed: look at it, then commit it."""
    if output is not None and output.exists():
        raise InvalidInput(f"{output} is there already", hint="name another file")
    limit = {"max_cost": str(max_cost)} if max_cost is not None else {}
    wish = CreateTakes(description=words, constraints=Constraints.model_validate(limit))
    loaded = settings_of(ctx)
    made = blocking(lambda: _generated(loaded, wish))
    for note in made.notes:
        click.echo(f"# {note}", err=output is None)
    if output is None:
        click.echo(made.blueprint, nl=False)
    else:
        output.write_text(made.blueprint, "utf-8")
        click.echo(f"wrote {output}")
    return 0


async def _minutes(loaded: Loaded, text: str, question: str, ground: Ground) -> Minutes:
    review = reviewed(text, ground)
    minutes = convene(review, question)
    async with _model(loaded) as model:
        return minutes if model is None else await ModelSpeaker(*model).put(minutes, review)


async def _generated(loaded: Loaded, wish: CreateTakes) -> Generated:
    async with _model(loaded) as model:
        return by_template(wish, _ground()) if model is None else await generated(wish, _ground(), *model)


@asynccontextmanager
async def _model(loaded: Loaded) -> AsyncIterator[tuple[Router, Redact, Metrics] | None]:
    """The configured models, if there are any."""
    if loaded.settings.llm is None:
        yield None
        return
    own, metrics = resolve_own(loaded.settings, os.environ), Metrics()
    router = open_router(loaded.settings.llm, own, SystemClock(), metrics)
    try:
        yield router, Redactor(own.values).full, metrics
    finally:
        await router.close()


def _ground() -> Ground:
    kinds = kinds_of({engine: (engine,) for engine in engine_names()})
    return Ground(default_book(), SystemClock().wall().date(), kinds)


def _print(told: Told) -> None:
    for line in told.sentences:
        click.echo(line)
    print_table(told.head[:2], [row[:2] for row in told.rows], empty="")
    for name, _, says, answers in told.rows:
        click.echo(f"{name}: {says}\n  {answers}")
    for point in told.points:
        click.echo(f"- {point}")
