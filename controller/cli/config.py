"""`alma config show`, `alma engines list`, `alma metrics list`, `alma schema`."""

from __future__ import annotations

import click

from controller.blueprint.schema import json_schema
from controller.cli.session import settings_of
from controller.cli.show import print_json, print_table
from controller.telemetry import catalogue
from engines.registry import engine_names, load_engine

_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group()
def config() -> None:
    """Every setting and where it came from."""


@config.command()
@_output
@click.pass_context
def show(ctx: click.Context, output: str) -> int:
    """Each value with its origin: default, file or environment. Secrets are references and stay so."""
    loaded = settings_of(ctx)
    if output == "json":
        values = [{"path": o.path, "value": o.value, "origin": o.origin} for o in loaded.origins]
        print_json({"format": "alma.config/v1", "values": values})
        return 0
    print_table(("setting", "value", "from"), [(o.path, o.value, o.origin) for o in loaded.origins], empty="")
    return 0


@click.group()
def engines() -> None:
    """Engines, their types and outputs."""


@engines.command("list")
@_output
def list_engines(output: str) -> int:
    """Every engine that is installed."""
    found = {name: load_engine(name) for name in engine_names()}
    if output == "json":
        listed = {
            name: {t: {"kind": k.name, "outputs": sorted(k.outputs)} for t, k in engine.kinds.items()}
            for name, engine in found.items()
        }
        print_json({"format": "alma.engines/v1", "engines": listed})
        return 0
    rows = [
        (name, kind_type, kind.name, ", ".join(sorted(kind.outputs)))
        for name, engine in found.items()
        for kind_type, kind in engine.kinds.items()
    ]
    print_table(("engine", "type", "kind", "outputs"), rows, empty="no engine is installed")
    return 0


@click.group()
def metrics() -> None:
    """Every metric, its labels and meaning."""


@metrics.command("list")
@_output
def list_metrics(output: str) -> int:
    """What /metrics exports."""
    rows = [(f"{m.name}_total" if m.type == "counter" else m.name, m.type, m.labels, m.help) for m in catalogue()]
    if output == "json":
        listed = [{"name": n, "type": t, "labels": list(labels), "help": h} for n, t, labels, h in rows]
        print_json({"format": "alma.metrics/v1", "metrics": listed})
        return 0
    print_table(("metric", "type", "labels", "meaning"), [(n, t, ", ".join(x), h) for n, t, x, h in rows], empty="")
    return 0


@click.command()
@click.option("--engine", type=click.Choice(sorted(engine_names())), help="Also the specs of this engine's types.")
def schema(engine: str | None) -> int:
    """JSON Schema of a blueprint file, for editors."""
    told = json_schema()
    if engine:
        told["x-specs"] = {t: dict(k.schema()) for t, k in load_engine(engine).kinds.items()}
    print_json(told)
    return 0
