"""What is: status, drift, history, events, the log of a run. Reads the journal only; every answer is JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.operations.access import Actor, Role, role_of
from controller.operations.context import Context
from controller.plan.codec import to_json
from controller.plan.health import SyncState
from controller.runtime.records import RepositoryRecord, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.run_log import stream_of

Json = Any
_EVENTS_MOST = 1000


async def status(about: Context, actor: Actor) -> Json:
    """`{"format": "alma.status/v1", "scopes": […], "repositories": […]}`; only what the actor may read."""
    scopes = [_scope(s) for s in await about.records.all(ScopeRecord) if _readable(about, actor, s.repository)]
    repositories = [
        {"name": r.repository, "head": r.head, "problem": r.problem}
        for r in await about.records.all(RepositoryRecord)
        if _readable(about, actor, r.repository)
    ]
    for scope in scopes:
        scope["state"] = await _state(about, scope)
        run = await about.records.get(RunRecord, scope["waiting"]) if scope["waiting"] else None
        if run:
            scope["next_step"] = run.next_step
            scope["plan"] = [_listed(c) for c in to_json(run.changes)]
    return {"format": "alma.status/v1", "scopes": scopes, "repositories": repositories}


async def _state(about: Context, scope: Mapping[str, Json]) -> str:
    """The state of the scope's newest run (engine.md): what the queue knows comes before there is one."""
    run = await about.records.get(RunRecord, scope["run"]) if scope["run"] else None
    if run:
        return run.word
    key = f"scope:{scope['scope']}"
    if about.queue.is_busy(key):
        return RunWord.PLANNING
    if scope["sync"] is not SyncState.SYNCED and about.queue.is_due(key):
        return RunWord.QUEUED
    return RunWord.WAITING if scope["waiting"] else RunWord.PARKED if scope["parked"] else ""


def _readable(about: Context, actor: Actor, repository: str) -> bool:
    return role_of(actor, about.rules(repository)) >= Role.READ


def _scope(record: ScopeRecord) -> dict[str, Json]:
    return {
        "scope": record.scope,
        "repository": record.repository,
        "path": record.path,
        "sync": record.sync,
        "health": record.health,
        "revision": record.good_revision,
        "seen": record.seen_revision,
        "message": record.message,
        "run": record.run,
        "waiting": record.waiting,
        "parked": record.parked,
        "paused": to_json(record.pause) if record.pause else None,
        "pinned": to_json(record.pin) if record.pin else None,
        "orphaned": record.orphaned,
        "contested": record.contested,
        "quarantined": len(record.quarantine),
        "drift": len(record.drift),
        "restart_pending": list(record.restart_pending),
        "next_step": "",
    }


def _listed(change: Mapping[str, Json]) -> dict[str, Json]:
    return {k: change[k] for k in ("resource", "kind", "target", "action", "disruption")}


async def drift(about: Context, actor: Actor, scope: str | None) -> Json:
    """Objects that are not as they were left, since when."""
    found = [
        {"scope": record.scope, "self_heal_held": record.contested, **to_json(item)}
        for record in await about.records.all(ScopeRecord)
        if (scope is None or record.scope == scope) and _readable(about, actor, record.repository)
        for item in record.drift
    ]
    return {"format": "alma.drift/v1", "drift": found}


async def history(about: Context, actor: Actor, scope: str | None, limit: int) -> Json:
    """Runs, newest first."""
    runs = [
        r
        for r in await about.records.all(RunRecord)
        if (scope is None or r.scope == scope) and _readable(about, actor, r.repository)
    ]
    newest = sorted(runs, key=lambda r: r.created, reverse=True)[:limit]
    return {"format": "alma.history/v1", "runs": [_run(r) for r in newest]}


def _run(record: RunRecord) -> dict[str, Json]:
    data: dict[str, Json] = to_json(record)
    for inner in ("listed", "confirmed"):
        del data[inner]
    return data


async def events(about: Context, actor: Actor, after: int, limit: int, kinds: str) -> Json:
    """The journal's own events in order; bodies without plans and priors. For those who may operate everything."""
    rows = await about.records.journal.tail(after, min(limit, _EVENTS_MOST), kinds)
    shown = [
        {"seq": r.seq, "at": r.at, "stream": r.stream, "kind": r.kind, "body": _brief(r.body)}
        for r in rows
        if await _event_readable(about, actor, r.stream, r.body)
    ]
    return {"format": "alma.events/v1", "events": shown, "last": rows[-1].seq if rows else after}


async def _event_readable(about: Context, actor: Actor, stream: str, body: Mapping[str, Json]) -> bool:
    kind, _, key = stream.partition(":")
    if kind == "run":
        run = await about.records.get(RunRecord, key)
        return run is not None and _readable(about, actor, run.repository)
    if kind == "scope":
        scope = await about.records.get(ScopeRecord, key)
        return scope is not None and _readable(about, actor, scope.repository)
    return _readable(about, actor, key.partition("/")[0])


def _brief(body: Mapping[str, Json]) -> dict[str, Json]:
    return {k: v for k, v in body.items() if k not in ("plan", "prior", "ops", "inherited")}


async def logs(about: Context, actor: Actor, run: str) -> Json:
    """One run: its record and its events in order."""
    record = await about.run(run, actor, "logs")
    rows = await about.records.journal.read(stream_of(record.run))
    lines = [{"at": r.at, "kind": r.kind, "body": _brief(r.body)} for r in rows]
    return {"format": "alma.log/v1", "run": _run(record), "events": lines}
