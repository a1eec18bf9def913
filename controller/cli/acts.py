"""Acts on runs and scopes: confirm, cancel, retry, pause and their like. The running controller decides who may."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.session import ask, settings_of, state_of

Json = Any


def _act(ctx: click.Context, verb: str, **args: Json) -> Json:
    loaded = settings_of(ctx)
    return ask(loaded, state_of(ctx, loaded), verb, {k: v for k, v in args.items() if v is not None})


@click.command()
@click.argument("run")
@click.option("--digest", help="Only if the plan still has this digest (or its beginning).")
@click.pass_context
def confirm(ctx: click.Context, run: str, digest: str | None) -> int:
    """Let waiting RUN go: exactly the changes it lists."""
    told = _act(ctx, "confirm", run=run, digest=digest)
    click.echo(f"run {told['run']}: confirmed, {len(told['listed'])} changes may run")
    return 0


@click.command("break-glass")
@click.argument("run")
@click.option("--reason", required=True)
@click.pass_context
def break_glass(ctx: click.Context, run: str, reason: str) -> int:
    """Let waiting RUN go without approvals, confirmations, limits or windows: the second of two admins does."""
    told = _act(ctx, "break-glass", run=run, reason=reason)
    by = [b["name"] for b in told["breakers"]]
    click.echo(f"run {told['run']}: " + (f"goes on, by {by[0]} and {by[1]}" if by[1:] else "waits for a second admin"))
    return 0


@click.command()
@click.argument("run")
@click.pass_context
def cancel(ctx: click.Context, run: str) -> int:
    """End a waiting RUN, undo a running one. Its content is held until it changes or `alma retry`."""
    told = _act(ctx, "cancel", run=run)
    click.echo(f"run {told['run']}: cancelled")
    return 0


@click.command()
@click.argument("run_or_scope")
@click.pass_context
def retry(ctx: click.Context, run_or_scope: str) -> int:
    """Lift quarantine and parking of a scope (or of the scope of a run) and try again."""
    told = _act(ctx, "retry", run=run_or_scope)
    click.echo(f"scope {told['scope']}: tried again")
    return 0


@click.command()
@click.argument("run")
@click.pass_context
def unlock(ctx: click.Context, run: str) -> int:
    """Go on after parked RUN; what failed stays in quarantine."""
    told = _act(ctx, "unlock", run=run)
    click.echo(f"scope {told['scope']}: goes on")
    return 0


@click.command()
@click.argument("revision", required=False)
@click.option("-s", "--scope", required=True)
@click.option("--reason", default="", help="Shown beside the pin.")
@click.pass_context
def rollback(ctx: click.Context, revision: str | None, scope: str, reason: str) -> int:
    """Run REVISION's content (default: the verified one before) until the scope's content on the branch changes."""
    told = _act(ctx, "rollback", scope=scope, revision=revision, reason=reason)
    click.echo(f"scope {told['scope']}: pinned to {told['pin']['revision'][:12]}")
    return 0


@click.command()
@click.argument("scope")
@click.option("--reason", required=True)
@click.option("--until", help="2h, 3d or 2026-12-31T18:00+01:00; without it, until `alma resume`.")
@click.pass_context
def pause(ctx: click.Context, scope: str, reason: str, until: str | None) -> int:
    """Change nothing in SCOPE for a while."""
    told = _act(ctx, "pause", scope=scope, reason=reason, until=until)
    ends = told["pause"]["until"]
    click.echo(f"scope {told['scope']}: paused" + (f" until {ends}" if ends else " until alma resume"))
    return 0


@click.command()
@click.argument("scope")
@click.pass_context
def resume(ctx: click.Context, scope: str) -> int:
    """End a pause, a pin, or a standstill because heals were contested."""
    told = _act(ctx, "resume", scope=scope)
    click.echo(f"scope {told['scope']}: resumed")
    return 0


@click.command()
@click.argument("scope")
@click.pass_context
def reconcile(ctx: click.Context, scope: str) -> int:
    """Look at SCOPE now, before everything else."""
    told = _act(ctx, "reconcile", scope=scope)
    click.echo(f"scope {told['scope']}: looked at next")
    return 0
