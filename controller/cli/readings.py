"""What is: status, drift, history, events, logs. From a running controller, else from the state folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from controller.cli.session import ask, settings_of, state_of
from controller.cli.show import print_json, print_table

Json = Any
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


def _asked(ctx: click.Context, verb: str, **args: Json) -> Json:
    loaded = settings_of(ctx)
    return ask(loaded, state_of(ctx, loaded), verb, {k: v for k, v in args.items() if v is not None})


@click.command()
@_output
@click.pass_context
def status(ctx: click.Context, output: str) -> int:
    """Sync, health and what waits, per scope."""
    told = _asked(ctx, "status")
    if output == "json":
        print_json(told)
        return 0
    rows = [
        (s["scope"], s["sync"], s["health"], (s["revision"] or "")[:10], s["drift"] or "", _note(s))
        for s in told["scopes"]
    ]
    print_table(
        ("scope", "sync", "health", "verified", "drift", "note"),
        rows,
        empty="nothing was looked at yet; start the controller: alma serve",
    )
    for scope in told["scopes"]:
        _waiting(scope)
    for repository in told["repositories"]:
        if repository["problem"]:
            click.secho(f"\nrepository {repository['name']}: {repository['problem']}", fg="red")
    return 0


_GOING = ("queued", "planning", "running")  # the other states are told by the message


def _note(scope: Mapping[str, Json]) -> str:
    words = [scope["state"] if scope["state"] in _GOING else "", scope["message"]]
    words += ["restart pending"] if scope["restart_pending"] else []
    words += [f"pinned to {scope['pinned']['revision'][:10]} by {scope['pinned']['by']}"] if scope["pinned"] else []
    words += ["orphaned"] if scope["orphaned"] else []
    words += ["contested"] if scope["contested"] else []
    return "; ".join(w for w in words if w)


def _waiting(scope: Mapping[str, Json]) -> None:
    if not scope.get("plan"):
        return
    click.echo(f"\n{scope['scope']} waits: {scope['message']}")
    for change in scope["plan"]:
        click.echo(f"  {change['action']:<9} {change['resource']:<32} {change['kind']:<22} {change['disruption']}")
    if scope["next_step"]:
        click.echo(f"  next: {scope['next_step']}")


@click.command()
@click.argument("scope", required=False)
@_output
@click.option("--detailed-exitcode", is_flag=True, help="0 none, 2 drift.")
@click.pass_context
def drift(ctx: click.Context, scope: str | None, output: str, detailed_exitcode: bool) -> int:
    """What is not as it was left, and since when."""
    told = _asked(ctx, "drift", scope=scope)
    if output == "json":
        print_json(told)
    else:
        rows = [
            (d["resource"], d["kind"], d["target"], ", ".join(d["fields"]), d["since"][:19], ", ".join(d["by"]))
            for d in told["drift"]
        ]
        print_table(("resource", "kind", "target", "fields", "since", "by"), rows, empty="no drift is known")
    return 2 if detailed_exitcode and told["drift"] else 0


@click.command()
@click.argument("scope", required=False)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@_output
@click.pass_context
def history(ctx: click.Context, scope: str | None, limit: int, output: str) -> int:
    """Runs, newest first."""
    told = _asked(ctx, "history", scope=scope, limit=limit)
    if output == "json":
        print_json(told)
        return 0
    rows = [
        (r["run"], r["scope"], r["word"], r["revision"][:10], len(r["changes"]), r["created"][:19], _why(r))
        for r in told["runs"]
    ]
    print_table(("run", "scope", "state", "revision", "changes", "created", "note"), rows, empty="no run yet")
    return 0


def _why(run: Mapping[str, Json]) -> str:
    parts = ["heal"] if run["heal"] else []
    parts += [f"#{n}" for n in run["pulls"]]
    parts += [run["reason"]] if run["reason"] else []
    return " ".join(parts)


@click.command()
@click.option("--after", type=click.IntRange(0), default=0, help="Only events after this number.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--kind", "kinds", help="Only kinds that begin so: run., scope., ipr.")
@click.option("-f", "--follow", is_flag=True, help="Go on as they come.")
@_output
@click.pass_context
def events(ctx: click.Context, after: int, limit: int, kinds: str | None, follow: bool, output: str) -> int:
    """What happened, event by event."""
    while True:
        told = _asked(ctx, "events", after=after, limit=limit, kinds=kinds)
        if output == "json" and not follow:
            print_json(told)
        else:
            for event in told["events"]:
                click.echo(_line(event) if output == "text" else _compact(event))
        if not follow:
            return 0
        after = told["last"]
        time.sleep(1.0)


def _line(event: Mapping[str, Json]) -> str:
    body = " ".join(f"{k}={v}" for k, v in event["body"].items() if isinstance(v, str | int) and v != "")
    return f"{event['seq']:>7}  {event['at'][:19]}  {event['kind']:<18} {event['stream']:<28} {body[:120]}".rstrip()


def _compact(event: Mapping[str, Json]) -> str:

    return json.dumps(event, default=str)


@click.command()
@click.argument("run")
@_output
@click.pass_context
def logs(ctx: click.Context, run: str, output: str) -> int:
    """One run from begin to end."""
    told = _asked(ctx, "logs", run=run)
    if output == "json":
        print_json(told)
        return 0
    record = told["run"]
    click.secho(f"run {record['run']} of {record['scope']}: {record['word']}", bold=True)
    for event in told["events"]:
        click.echo(f"  {event['at'][11:23]}  {event['kind'].removeprefix('run.'):<12} {_about(event['body'])}".rstrip())
    rows = [(c["resource"], c["action"], c["result"], c["seconds"], _tasks(c)) for c in record["changes"]]
    print_table(("resource", "action", "result", "seconds", "task"), rows, empty="")
    if record["reason"]:
        click.echo(f"reason: {record['reason']}")
    if record["next_step"]:
        click.echo(f"next: {record['next_step']}")
    return 0


def _tasks(change: Mapping[str, Json]) -> str:
    return ", ".join(task["id"] for task in change["tasks"])


def _about(body: Mapping[str, Json]) -> str:
    ref, leg = body.get("ref"), body.get("leg")
    if ref:
        undo = f" undo {ref['undo']}" if ref["undo"] >= 0 else ""
        receipt = body.get("receipt") or {}
        return f"change {ref['work']} step {ref['step']}{undo} {receipt.get('state', '')} {receipt.get('message', '')}"
    if leg:
        return f"{leg['kind']} of change {leg['work']} {body.get('reason', '')}"
    return str(body.get("by", ""))
