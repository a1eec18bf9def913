"""`alma validate` and `alma plan`: a folder, or a revision of one, against what is live."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from controller.cli.scopes import ordered, wanted_by_hand
from controller.cli.session import blocking, name_unfinished, scopes_here, settings_of, state_of, targets_here
from controller.cli.show import print_json, print_plans
from controller.errors import InvalidInput
from controller.plan.change import Plan
from controller.plan.graph import Placement, desired_graph
from controller.runtime.folder import Folder, read_folder
from controller.runtime.planning import Planned, Wanted, with_left_targets
from controller.runtime.records import ScopeRecord
from controller.settings import Loaded
from controller.targets import Targets, everything_allowed, kinds_of


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_context
def validate(ctx: click.Context, path: Path, output: str) -> int:
    """Check PATH (a folder or one blueprint) without asking any target.

    One `FILE:LINE:COL: message` per mistake; exit 3 when there is one.
    """
    loaded = settings_of(ctx)
    try:
        folder = read_folder(path)
        count = blocking(lambda: _validated(folder, loaded))
    except InvalidInput as e:
        if output == "json":
            print_json({"format": "alma.validate/v1", "valid": False, "errors": [_error(p) for p in e.problems]})
            return 3
        raise
    if output == "json":
        print_json({"format": "alma.validate/v1", "valid": True, "errors": []})
    else:
        click.echo(f"{path}: valid, {count} resources")
    return 0


def _error(problem: object) -> dict[str, object]:
    place = getattr(problem, "place", None)
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "col": place.col if place else None,
        "path": getattr(problem, "path", ""),
        "message": getattr(problem, "message", str(problem)),
    }


async def _validated(folder: Folder, loaded: Loaded) -> int:
    """Everything that can be known without a target: schema, references, specs of every kind."""
    targets: dict[str, tuple[str, ...]] = {}
    for name, target in loaded.settings.targets.items():
        targets[target.engine] = (*targets.get(target.engine, ()), name)
    kinds = kinds_of(targets)
    count = 0
    for scope in folder.repository.scopes:
        allow = everything_allowed(tuple(loaded.settings.targets), {})
        wanted = await folder.wanted(scope, targets, allow, kinds, loaded.settings.offered())
        desired_graph(wanted.scope, wanted.entries, Placement(wanted.targets, kinds, wanted.allow))
        count += len(wanted.entries)
    return count


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--ref", help="Plan this commit or branch of the Git repository around PATH.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "markdown"]), default="text")
@click.option("--cost", "with_cost", is_flag=True, help="Also the monthly cost of what is wanted.")
@click.option("--detailed-exitcode", is_flag=True, help="0 no change, 1 error, 2 changes.")
@click.pass_context
def plan(ctx: click.Context, path: Path, ref: str | None, output: str, with_cost: bool, detailed_exitcode: bool) -> int:
    """What deploying PATH would change on the live systems. Changes nothing."""
    loaded = settings_of(ctx)
    state = state_of(ctx, loaded)

    async def work() -> tuple[Folder, list[tuple[Wanted, Planned]]]:
        folder = read_folder(path) if ref is None else await _with("checkout").folder_at(path, state, ref)
        remembered = scopes_here(loaded, state)
        name_unfinished(list(remembered.values()))
        async with targets_here(loaded, state) as targets:
            return folder, await plan_folder(targets, folder, remembered)

    folder, planned = blocking(work)
    plans = [p.plan for _, p in planned]
    _print(plans, output)
    if with_cost:
        _with("costs").print_costs(folder, [w for w, _ in planned])
    return 2 if detailed_exitcode and any(p.changes for p in plans) else 0


def _with(module: str) -> Any:
    """What an option alone needs, loaded only with it: Git for --ref, prices for --cost."""
    return import_module(f"controller.cli.{module}")


async def plan_folder(
    targets: Targets, folder: Folder, remembered: Mapping[str, ScopeRecord]
) -> list[tuple[Wanted, Planned]]:
    """One plan per scope of the folder, in the order they would be deployed in. What was `remembered` of their last
    deploy orders what is taken away, so that plan and deploy show the same."""
    planned = []
    for wanted in [await wanted_by_hand(targets, folder, scope) for scope in ordered(folder)]:
        record = remembered.get(wanted.scope)
        if record is not None:
            wanted = with_left_targets(wanted, record.targets)
        planned.append((wanted, await targets.planning.plan(wanted, former_edges=record.edges if record else None)))
    return planned


def _print(plans: list[Plan], output: str) -> None:
    if output != "markdown":
        print_plans(plans, output)
        return
    for one in plans:
        click.echo(f"### {one.scope}\n\n```diff")
        print_plans([one], "text")
        click.echo("```\n")
