"""`alma forge check`: what each forge grants us, what is missing, what is too much; and, when asked, its set-up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import click

from controller.cli.session import blocking, settings_of
from controller.errors import AlmaError, InvalidInput
from controller.forges.forge import Forge
from controller.forges.registry import open_forge
from controller.forges.set_up import SetsUp
from controller.review.statuses import BEFORE_MERGE
from controller.runtime.clock import SystemClock
from controller.settings import RepositorySettings, Settings
from controller.targets import resolve_own
from controller.telemetry import Metrics
from controller.wiring import forge_binding


@click.group()
def forge() -> None:
    """What a forge grants, lacks and could do without; its set-up."""


@forge.command()
@click.argument("names", metavar="[REPOSITORY]...", nargs=-1)
@click.option("--webhook", is_flag=True, help="Make or mend our webhook (needs server.public_url).")
@click.option("--renew", is_flag=True, help="With --webhook: make it anew, as after a new secret.")
@click.option("--protect", is_flag=True, help="Let the tracked branch take only pull requests with good statuses.")
@click.pass_context
def check(ctx: click.Context, names: Sequence[str], webhook: bool, renew: bool, protect: bool) -> int:
    """One line per right: ok, missing or too broad. Changes nothing without --webhook or --protect."""
    settings = settings_of(ctx).settings
    wanted = _named(settings, names)
    url = _public_url(settings) if webhook else ""
    own = resolve_own(settings, os.environ)
    codes = []
    for repository in wanted:
        if repository.forge.kind == "local":
            click.echo(f"ok      forge {repository.name} (local): nothing to set up")
            continue
        binding = forge_binding(repository, settings.reconcile.forge_rate, own, Metrics(), SystemClock())
        opened = open_forge(repository.forge.kind, binding)
        hook = f"{url}/webhooks/{repository.name}" if webhook else ""
        codes.append(blocking(partial(_checked, repository.name, opened, hook, renew, protect)))
    return max(codes, default=0)


async def _checked(name: str, opened: Forge, hook: str, renew: bool, protect: bool) -> int:
    """0 if nothing is missing, else 1; 5 for a forge that gives no answer."""
    try:
        info = await opened.about()
        rights = ", ".join(info.rights) or "nothing"
        click.echo(f"ok      forge {name} ({opened.kind}): as {info.account.login}: {rights}")
        for line in info.missing:
            click.echo(f"missing forge {name}: {line}")
        for line in info.excess:
            click.echo(f"broad   forge {name}: {line}")
        await _set_up(name, opened, hook, renew, protect)
        return 1 if info.missing else 0
    except AlmaError as e:
        click.echo(f"missing forge {name}: {e}" + (f" → {e.hint}" if e.hint else ""))
        return e.exit_code
    finally:
        await opened.close()


async def _set_up(name: str, opened: Forge, hook: str, renew: bool, protect: bool) -> None:
    if not isinstance(opened, SetsUp):
        return
    if hook:
        await opened.ensure_webhook(hook, renew=renew)
        click.echo(f"ok      forge {name}: the webhook sends to {hook}")
    if protect:
        await opened.protect_branch(BEFORE_MERGE)
        click.echo(f"ok      forge {name}: the tracked branch is protected")


def _named(settings: Settings, names: Sequence[str]) -> list[RepositorySettings]:
    """Those named, or all. Raises InvalidInput for one that is not configured."""
    known = {repository.name: repository for repository in settings.repositories}
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        what = f"no repository {unknown[0]} is configured" if unknown else "no repository is configured"
        raise InvalidInput(what, hint=f"known: {', '.join(known)}" if known else "alma init DIR --forge github")
    return [known[name] for name in names or known]


def _public_url(settings: Settings) -> str:
    if not settings.server.public_url:
        raise InvalidInput("server.public_url is missing", hint="set it to the address that the forge reaches us at")
    return settings.server.public_url.rstrip("/")
