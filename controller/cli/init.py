"""`alma init DIR`: three commented files to start from, after what this machine has. They validate and plan as they
are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from controller.cli.session import machine_targets
from controller.errors import InvalidInput
from controller.forges.registry import forge_kinds
from controller.runtime.folder import scope_name

_ALMA = """\
# What this repository describes. Read from the tracked branch only.
version: 1

scopes:
  # A scope is planned, deployed and undone as one. Add more with other paths; depends_on orders them.
  - name: {scope}
    path: {scope}
    targets: {{{engine}: {target}}}
    # depends_on: [base]
    # self_heal: true

policy:
  # strict: only what was reviewed, digest for digest. destructive: what destroys needs a review or a confirm.
  gate: destructive
  # A plan that deletes more than this waits for a person.
  prune: {{max_count: 10, max_percent: 25, percent_from: 4}}
  # audit: {{fail_on: high}}
  # budget: {{monthly_max: 500, currency: EUR}}
"""
_SERVER = """\
# The controller's own configuration: stays with the controller, not with the blueprints.
id: {id}
# Socket, lock, journal and key.
state: {state}

repositories:
  - name: infra
    # Any Git remote; a bare repository on this machine will do.
    url: {url}
    branch: main
{forge}
targets:
  {target}:
{settings}
# What the blueprints of a repository may use; what is not here is refused.
allow:
  infra:
    targets: [{target}]
    # secrets: ["env:APP_*"]

# Who may do what: forge permission, team, login, or user and group of this machine.
roles:
  infra: {{read: ["forge:read"], operate: ["forge:write"], admin: ["forge:admin", "os:root"]}}
"""
_BLUEPRINT = """\
# A first blueprint: one small web server.
name: hello
provider: {engine}

resources:
  - name: web
    type: container
    specs:
      image: "nginx:1.27-alpine"
      cpu: 0.5
      memory: 64MB
      ports: ["127.0.0.1:8088:80"]
      restart: unless-stopped
    health: {{http: {{port: 80}}, timeout: 60s}}
"""
_REMOTE = """\
    forge:
      kind: {kind}
      url: {url}
      # References, never values: put the values into the controller's environment.
      token: "env:FORGE_REMOTE"
      # webhook_secret: "env:HOOK_SECRET"   # without one the repository is polled
"""
_LOCAL = """\
    # The built-in forge: a branch ipr/NAME is a pull request, `alma ipr` shows and merges it.
    forge: {kind: local}
"""
_SCOPE = "prod"
_IGNORED = ".gitignore"
_FORGE_URLS = {"github": "https://github.com", "gitlab": "https://gitlab.com"}  # of the others: your own


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--forge", "forge", type=click.Choice(sorted(forge_kinds())), default="local", show_default=True)
def init(directory: Path, forge: str) -> int:
    """Write alma.yaml, alma-server.yaml and a first blueprint into DIR. Overwrites nothing."""
    files = starting_files(directory.absolute(), forge, os.environ)
    if (directory / _IGNORED).exists():
        del files[_IGNORED]  # the person's own
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise InvalidInput(f"{directory / there[0]} is there already; nothing was written", hint="name another folder")
    try:
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {directory / name}")
    except OSError as e:
        raise InvalidInput(f"{e.filename}: {e.strerror}", hint="name a folder that can be written") from e
    _say_next(directory.absolute(), forge)
    return 0


def starting_files(directory: Path, forge: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Name → text. The target is the Docker host that is found here, else the simulated platform."""
    targets = machine_targets(environment)
    engine = "docker" if "docker" in targets else "simulation"
    url = (targets[engine].model_extra or {}).get("url")
    settings = f"    engine: {engine}\n" + (f'    url: "{url}"\n' if url else "")
    where = _FORGE_URLS.get(forge, "https://git.example")
    hook = _LOCAL if forge == "local" else _REMOTE.format(kind=forge, url=where)
    server = _SERVER.format(
        id=scope_name(directory),
        state=_quoted(directory / ".alma"),
        url=_quoted(directory.with_name(f"{directory.name}.git")) if forge == "local" else f'"{where}/ops/infra.git"',
        forge=hook,
        target="here",
        settings=settings,
    )
    return {
        "alma.yaml": _ALMA.format(scope=_SCOPE, engine=engine, target="here"),
        "alma-server.yaml": server,
        f"{_SCOPE}/hello.yaml": _BLUEPRINT.format(engine=engine),
        _IGNORED: "# The controller's own files.\n.alma/\nalma-server.yaml\n",
    }


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _say_next(directory: Path, forge: str) -> None:
    alma, there = f"alma --config {directory / 'alma-server.yaml'}", directory
    begin = f"git -C {there} init -b main && git -C {there} add -A && git -C {there} commit -m 'Begin'"
    if forge == "local":
        begin += f" && git clone --bare {there} {there.with_name(there.name + '.git')}"
    click.secho("\nNext:", bold=True)
    check = [] if forge == "local" else [f"{alma} forge check"]
    for command in (f"{alma} plan {there}", begin, *check, f"{alma} serve --observe"):
        click.echo(f"  {command}")
