"""`alma`: lazy commands, exit codes of design.md 4, errors without a traceback.

Nothing is imported that the command at hand does not need: `alma --help` loads Click and this file.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

import click

# name → (module: attribute, one line for --help); the order is the order shown.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("controller.cli.demo:demo", "The whole story, told and checked step by step."),
    "init": ("controller.cli.init:init", "Write alma.yaml, alma-server.yaml and a first blueprint."),
    "serve": ("controller.cli.serve:serve", "The controller: loop, webhooks, metrics."),
    "worker": ("controller.cli.worker:worker", "Beside a site that the controller has no route to."),
    "validate": ("controller.cli.plan:validate", "Every mistake as FILE:LINE:COL."),
    "plan": ("controller.cli.plan:plan", "Desired against live: what would change."),
    "deploy": ("controller.cli.deploy:deploy", "Plan, ask, apply, verify; undo on failure."),
    "destroy": ("controller.cli.deploy:destroy", "Take away what a folder or an orphaned scope owns."),
    "review": ("controller.cli.review:review", "The whole pull request comment, offline."),
    "rules": ("controller.cli.rules:rules", "What a review looks for, and by which clause."),
    "templates": ("controller.cli.templates:group", "Starters with parameters, and what they become."),
    "tools": ("controller.cli.tools:group", "Answers from rules, prices, templates and arithmetic."),
    "council": ("controller.cli.authoring:council", "Five views on a blueprint, a rebuttal and a vote."),
    "generate": ("controller.cli.authoring:generate", "A blueprint from words, validated and never deployed."),
    "chat": ("controller.cli.chat:chat", "A talk on a pull request, line by line."),
    "status": ("controller.cli.readings:status", "Sync, health and what waits, per scope."),
    "drift": ("controller.cli.readings:drift", "What is not as it was left, and since when."),
    "history": ("controller.cli.readings:history", "Runs, newest first."),
    "events": ("controller.cli.readings:events", "What happened, event by event."),
    "logs": ("controller.cli.readings:logs", "One run from begin to end."),
    "confirm": ("controller.cli.acts:confirm", "Let a waiting run go."),
    "break-glass": ("controller.cli.acts:break_glass", "Two admins let a waiting run go past its gates."),
    "cancel": ("controller.cli.acts:cancel", "End a waiting run, undo a running one."),
    "retry": ("controller.cli.acts:retry", "Lift the quarantine and try again."),
    "unlock": ("controller.cli.acts:unlock", "Go on after a parked run."),
    "rollback": ("controller.cli.acts:rollback", "Run older content; pinned until the branch changes."),
    "pause": ("controller.cli.acts:pause", "Change nothing in a scope for a while."),
    "resume": ("controller.cli.acts:resume", "End a pause or a pin."),
    "reconcile": ("controller.cli.acts:reconcile", "Look at a scope now."),
    "ipr": ("controller.cli.ipr:ipr", "Pull requests of any forge."),
    "forge": ("controller.cli.forge:forge", "What a forge grants, lacks and could do without; its set-up."),
    "doctor": ("controller.cli.care:doctor", "What is not as it should be, and the next step."),
    "journal": ("controller.cli.care:journal", "Verify the journal's hash chain, or export it."),
    "audit": ("controller.cli.audit:audit", "Who asked for what, from where, and what came of it."),
    "roles": ("controller.cli.audit:roles", "Who may do what."),
    "config": ("controller.cli.config:config", "Every setting and where it came from."),
    "engines": ("controller.cli.config:engines", "Engines, their types and outputs."),
    "metrics": ("controller.cli.config:metrics", "Every metric, its labels and meaning."),
    "schema": ("controller.cli.config:schema", "JSON Schema of a blueprint, for editors."),
    "version": ("controller.cli.about:version", "The version of ALMA."),
}


class LazyGroup(click.Group):
    """Loads a command's module when that command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            import difflib  # noqa: PLC0415 - only on a mistyped command

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise click.UsageError(f"no command {args[0]}" + (f"; did you mean {near[0]}?" if near else ""), ctx) from e

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(), envvar="ALMA_CONFIG", help="Server configuration (alma-server.yaml).")
@click.option("--state", type=click.Path(), help="State folder; default $ALMA_STATE, then $XDG_STATE_HOME/alma.")
@click.pass_context
def alma(ctx: click.Context, config: str | None, state: str | None) -> None:
    """GitOps for Proxmox, Docker and Kubernetes: a pull request shows what would change, merging deploys, what fails
    is undone, what drifts heals."""
    ctx.obj = {"config": config, "state": state}


def main(args: list[str] | None = None) -> None:
    """The entry point. Exits with 0 done, 1 failed, 2 changes, 3 wrong input, 4 refused, 5 unreachable, 130."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """`main` without leaving the process."""
    try:
        # None lets Click look whether it writes to a terminal.
        color = False if os.environ.get("NO_COLOR") else None
        result = alma.main(args=args, prog_name="alma", standalone_mode=False, color=color)
    except click.exceptions.Abort:
        click.echo("interrupted; nothing is left half-done", err=True)
        return 130
    except KeyboardInterrupt:
        return 130
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.ClickException as e:
        return _usage(e)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as e:
        return _told(e)
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> int:
    """Wrong usage is wrong input: exit 3, where Click would say 2, which means changes here."""
    click.echo(printable(f"error: {error.format_message()}"), err=True)
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"  next: {context.command_path} --help", err=True)
    return 3


def _told(error: Exception) -> int:
    """What went wrong, where, and what to do next: on stderr, without a traceback."""
    exit_code = getattr(error, "exit_code", None)
    if exit_code is None:
        if os.environ.get("ALMA_DEBUG"):
            raise error
        click.echo(f"error: a defect in alma ({type(error).__name__}: {error})", err=True)
        click.echo("  next: run it again with ALMA_DEBUG=1 and report what it prints", err=True)
        return 1
    for line in str(error).split("\n"):
        click.echo(printable(line if _has_place(line) else f"error: {line}"), err=True)
    for line in getattr(error, "hint", "").split("\n"):
        if line:
            click.echo(printable(f"  next: {line}" if not line.startswith(" ") else line), err=True)
    return int(exit_code)


def printable(text: str) -> str:
    """`text` with every control and invisible character as an escape: names come from files, forges and targets, and
    no terminal may obey them (I45)."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _has_place(line: str) -> bool:
    """FILE:LINE:COL: lines are read by editors; they stay as they are."""
    parts = line.split(":", 3)
    return len(parts) == 4 and parts[1].isdecimal() and parts[2].isdecimal()


if __name__ == "__main__":
    main()
