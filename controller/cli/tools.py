"""`alma tools list`, `show` and `run`: the tools from the command line. A blueprint is given as a file's path."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from controller.cli.show import print_json, print_table
from controller.errors import InvalidInput
from controller.operations import tools as operations
from controller.review.price_book import default_book
from controller.review.price_file import read_prices
from controller.runtime.clock import SystemClock
from controller.targets import kinds_of
from controller.tools.reading import FILE
from controller.tools.tool import TEXT_MAX, Ground
from engines.registry import engine_names

_BLUEPRINTS = ("blueprint", "base", "head")
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group("tools")
def group() -> None:
    """Answers from rules, prices, templates and arithmetic."""


@group.command("list")
@_output
def list_tools(output: str) -> int:
    """Every tool, those of plug-ins too."""
    told = operations.listed()
    if output == "json":
        print_json(told)
        return 0
    rows = [(t["name"], ", ".join(t["parameters"].get("properties", {})), t["description"]) for t in told["tools"]]
    print_table(("tool", "takes", "answers"), rows, empty="")
    return 0


@group.command()
@click.argument("name")
def show(name: str) -> int:
    """What one tool takes and gives, as JSON Schema."""
    print_json(operations.described(name))
    return 0


@group.command()
@click.argument("name")
@click.option("--json", "given", default="{}", metavar="OBJECT", help="The parameters; - reads them from stdin.")
@click.option("--prices", type=click.Path(path_type=Path), help="A price file, over the default prices.")
def run(name: str, given: str, prices: Path | None) -> int:
    """Ask one tool. Blueprints are paths of files, or their text."""
    parameters = _parsed(sys.stdin.read(TEXT_MAX * 4) if given == "-" else given)
    book = read_prices(prices.read_bytes(), str(prices), default_book()) if prices else default_book()
    kinds = kinds_of({engine: (engine,) for engine in engine_names()})
    ground = Ground(book, SystemClock().wall().date(), kinds)
    print_json(operations.run(name, parameters, ground))
    return 0


def _parsed(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"--json:{error.lineno}:{error.colno}: {error.msg}", hint="--json '{\"users\": 1000}'"
        ) from None
    if not isinstance(given, dict):
        raise InvalidInput("--json takes an object", hint="--json '{\"users\": 1000}'")
    return {key: _read(value) if key in _BLUEPRINTS else value for key, value in given.items()}


def _read(value: object) -> object:
    """The text of the file a one-line value names; everything else as it is."""
    if not isinstance(value, str) or "\n" in value or not value.endswith((".yaml", ".yml", ".json")):
        return value
    return text_of(Path(value))


def text_of(path: Path) -> str:
    """A blueprint's text. Raises InvalidInput for no file, or one that is too large."""
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file", hint=f"a path, or the text of a {FILE}")
    if path.stat().st_size > TEXT_MAX:
        raise InvalidInput(f"{path}: larger than {TEXT_MAX:,} bytes", hint="split the blueprint")
    return path.read_text("utf-8")
