"""What `alma plan --cost` adds: the monthly cost of what is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import click

from controller.review.cost import Cost, cost, range_text
from controller.review.price_book import default_book
from controller.review.price_file import read_prices
from controller.review.wording import money_text
from controller.runtime.folder import Folder
from controller.runtime.planning import Wanted


def print_costs(folder: Folder, wanted: Sequence[Wanted]) -> None:
    """One table a scope, with the repository's own prices over the default ones."""
    book = default_book()
    name = folder.repository.prices
    if name and name in folder.files:
        book = read_prices(folder.files[name], name, book)
    for one in wanted:
        _print_cost(one.scope, cost(book, None, one.entries))


def _print_cost(scope: str, told: Cost) -> None:
    click.secho(f"\nCost of {scope} per month", bold=True)
    for line in told.lines:
        if line.after is not None:
            click.echo(f"  {line.resource:<40} {money_text(line.after, told.currency):>14}")
    click.echo(f"  {'total':<40} {money_text(told.total_after, told.currency):>14}")
    if range_text(told):
        click.echo(f"  {range_text(told)}")
    for resource, why in told.unpriced:
        click.echo(f"  {resource:<40} {'not priced':>14}  {why}")
