"""`alma templates list`, `show` and `render`: starters, and what they become."""

from __future__ import annotations

import click

from controller.blueprint.catalog import Parameter, Template, template, templates
from controller.blueprint.value import Value
from controller.blueprint.writing import yaml_text
from controller.cli.show import print_json, print_table
from controller.errors import InvalidInput

_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group("templates")
def group() -> None:
    """Starters with parameters, and what they become."""


@group.command("list")
@_output
def list_templates(output: str) -> int:
    """Every template with its size, engines and cost per month by the default prices."""
    if output == "json":
        print_json({"format": "alma.templates/v1", "templates": [_json(t) for t in templates().values()]})
        return 0
    rows = [
        (t.name, t.complexity, str(t.resources), _cost(t), ", ".join(t.engines), t.use) for t in templates().values()
    ]
    print_table(("template", "complexity", "resources", "per month", "engines", "use"), rows, empty="")
    return 0


@group.command()
@click.argument("name")
@_output
def show(name: str, output: str) -> int:
    """One template: what it is, and what may be chosen."""
    found = template(name)
    if output == "json":
        print_json({"format": "alma.template/v1", **_json(found)})
        return 0
    click.echo(f"{found.name}: {found.about}\n")
    click.echo(f"{found.resources} resources, {_cost(found)} per month, on {', '.join(found.engines)}\n")
    rows = [(p.name, str(p.default), _bounds(p), p.about) for p in found.parameters.values()]
    print_table(("parameter", "default", "may be", "meaning"), rows, empty="")
    return 0


@group.command()
@click.argument("name")
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="A parameter; may be given several times.")
@click.option("--name", "called", help="Name of the blueprint; default: that of the template.")
def render(name: str, given: tuple[str, ...], called: str | None) -> int:
    """The blueprint that a template becomes, ready to be written into a file."""
    found = template(name)
    made = found.render(_parameters(found, given))
    click.echo(yaml_text({"name": called or name, "description": found.about, "resources": made}), nl=False)
    return 0


def _parameters(found: Template, given: tuple[str, ...]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for one in given:
        key, equals, text = one.partition("=")
        parameter = found.parameters.get(key)
        if not equals:
            raise InvalidInput(f"{one} says no value", hint="--set instance_count=3")
        try:
            values[key] = parameter.parsed(text) if parameter else text
        except ValueError as error:
            raise InvalidInput(f"{key}: {error}", hint=f"alma templates show {found.name}") from None
    return values


def _cost(found: Template) -> str:
    return f"{found.cost_low} to {found.cost_high} EUR"


def _bounds(p: Parameter) -> str:
    return ", ".join(p.choices) if p.choices else f"{p.minimum} to {p.maximum}" if p.maximum is not None else "any"


def _json(found: Template) -> dict[str, object]:
    return {
        "name": found.name,
        "about": found.about,
        "use": found.use,
        "complexity": found.complexity,
        "engines": list(found.engines),
        "resources": found.resources,
        "cost_per_month": {"low": str(found.cost_low), "high": str(found.cost_high), "currency": "EUR"},
        "parameters": {
            p.name: {
                "default": p.default,
                "about": p.about,
                "choices": list(p.choices),
                "min": p.minimum,
                "max": p.maximum,
            }
            for p in found.parameters.values()
        },
    }


def _parameter(p: Parameter) -> dict[str, object]:
    return {"default": p.default, "about": p.about, "choices": list(p.choices), "min": p.minimum, "max": p.maximum}
