"""`alma rules list` and `alma rules show`: what a review looks for. The pages are made from the rules themselves."""

from __future__ import annotations

import click

from controller.blueprint.names import did_you_mean
from controller.cli.show import print_json, print_table
from controller.errors import InvalidInput
from controller.review.rule_text import kinds_of, rule_json, rule_page
from controller.review.rules import RULES

_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group()
def rules() -> None:
    """What a review looks for, and by which clause."""


@rules.command("list")
@click.option("--kind", metavar="KIND", help="Only rules that look at this engine kind, as docker/container.")
@click.option("--framework", metavar="NAME", help="Only rules that bear on this framework: SOC2, GDPR, PCI-DSS.")
@_output
def list_rules(kind: str | None, framework: str | None, output: str) -> int:
    """Every rule with its severity, clause and kinds."""
    found = [
        r
        for r in RULES
        if (kind is None or kind in r.kinds or "*" in r.kinds) and (framework is None or framework in r.controls)
    ]
    if output == "json":
        print_json({"format": "alma.rules/v1", "rules": [rule_json(r) for r in found]})
        return 0
    rows = [(r.id, r.severity.value, r.source, ", ".join(kinds_of(r))) for r in found]
    print_table(("rule", "severity", "clause", "kinds"), rows, empty="no rule looks at that")
    return 0


@rules.command()
@click.argument("rule_id", metavar="RULE")
@_output
def show(rule_id: str, output: str) -> int:
    """One rule: what it finds, why, by which clause, with an example of each kind."""
    rule = next((r for r in RULES if r.id == rule_id), None)
    if rule is None:
        near = did_you_mean(rule_id, [r.id for r in RULES])
        raise InvalidInput(f"no rule is called {rule_id}{near}", hint="alma rules list names them all")
    if output == "json":
        print_json({"format": "alma.rule/v1", **rule_json(rule)})
    else:
        click.echo(rule_page(rule), nl=False)
    return 0
