"""After the story: the controller's status and its metrics, again and again until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.cli.stage import Stage
from controller.cli.teller import Teller
from controller.errors import AlmaError
from controller.review.inert import visible

Json = Any
_EVERY_S = 1.0
_COLOURS: Mapping[str, str] = {"synced": "green", "healthy": "green", "out-of-sync": "red", "degraded": "red"}
_SHOWN = (
    "alma_reconcile_total",
    "alma_changes_total",
    "alma_rollbacks_total",
    "alma_drift_resources",
    "alma_token_bucket_tokens",
    "alma_engine_up",
)


async def follow(stage: Stage, teller: Teller) -> None:
    """Returns at SIGINT or SIGTERM. Raises AlmaError when the controller goes away."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # For good: once the end was asked for, a second Ctrl-C must not cut the cleaning up short.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    teller.say(f"Try it: git clone {stage.repository}, push a branch ipr/NAME, then in another terminal:")
    teller.command(f"alma --config {stage.config} ipr list")
    teller.say("Ctrl-C ends the demonstration and removes everything.")
    if teller.rich:
        await _drawn(stage, teller, stop)
    else:
        await _written(stage, teller, stop)


async def _drawn(stage: Stage, teller: Teller, stop: asyncio.Event) -> None:
    with Live(console=teller.console, transient=True, auto_refresh=False) as live:
        while not stop.is_set():
            live.update(_picture(stage.ask("status"), await _metrics(stage)), refresh=True)
            await _pause(stop)


async def _written(stage: Stage, teller: Teller, stop: asyncio.Event) -> None:
    """Into a pipe: a line when something is different."""
    before = ""
    while not stop.is_set():
        now = "; ".join(f"{s['scope']}: {s['sync']}, {s['health']}" for s in stage.ask("status")["scopes"])
        if now != before:
            teller.say(now)
        before = now
        await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), _EVERY_S)
    except TimeoutError:
        return


def _picture(status: Json, metrics: list[tuple[str, str]]) -> RenderableType:
    scopes = Table(box=box.SIMPLE_HEAD, title="alma status", title_justify="left", title_style="bold")
    for heading in ("scope", "sync", "health", "verified", "drift", "quarantined", "note"):
        scopes.add_column(heading)
    for s in status["scopes"]:
        words = (Text(s[k], _COLOURS.get(s[k], "yellow")) for k in ("sync", "health"))
        rest = (str(s["drift"]), str(s["quarantined"]), visible(s["message"]))
        scopes.add_row(s["scope"], *words, (s["revision"] or "-")[:10], *rest)
    values = Table(box=box.SIMPLE_HEAD, title="/metrics", title_justify="left", title_style="bold")
    values.add_column("metric")
    values.add_column("value", justify="right")
    for name, value in metrics:
        values.add_row(Text(name, "dim"), value)
    return Group(scopes, values)


async def _metrics(stage: Stage) -> list[tuple[str, str]]:
    try:
        text = await asyncio.to_thread(_fetch, stage.metrics_url)
    except OSError as e:
        raise AlmaError(f"{stage.metrics_url}: {e}") from e
    return list(_chosen(text))


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own child on the loopback address
        body: bytes = answer.read()
    return body.decode()


def _chosen(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(_SHOWN):
            yield name, f"{float(value):g}"
