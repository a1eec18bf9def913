"""What anyone may ask of a scope: pause, resume, look now, roll back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from controller.blueprint.units import duration_s
from controller.errors import InvalidInput, RefusedByPolicy
from controller.operations.access import Actor
from controller.operations.context import Context
from controller.runtime.records import Pause, ScopeRecord


async def pause(about: Context, actor: Actor, scope: str, reason: str, until: str | None) -> ScopeRecord:
    """Nothing is changed in the scope until `until` (a duration such as 2h, or an ISO time) or `resume`."""
    record = await about.scope(scope, actor, "pause")
    if not reason.strip():
        raise InvalidInput("a pause needs a reason", hint='--reason "why"')
    ends = _until(until, about.clock.wall()) if until else None
    after = replace(record, pause=Pause(actor.id, reason, ends))
    await about.records.save("scope.paused", after)
    about.look(scope)
    return after


async def resume(about: Context, actor: Actor, scope: str) -> ScopeRecord:
    """End a pause, a pin of `rollback`, and a standstill because heals were contested."""
    record = await about.scope(scope, actor, "resume")
    after = replace(record, pause=None, pin=None, contested=False)
    await about.records.save("scope.resumed", after)
    about.look(scope)
    return after


async def reconcile(about: Context, actor: Actor, scope: str) -> ScopeRecord:
    """Look now, before everything else. Also accepts live objects that an empty journal knows nothing of, and a tracked
    branch that was rewritten."""
    record = replace(await about.scope(scope, actor, "reconcile"), rewritten="", accepted=True)
    await about.records.save("scope.asked", record)
    about.look(scope)
    return record


async def retry_scope(about: Context, actor: Actor, scope: str) -> ScopeRecord:
    """Lift the quarantine of a scope, and try again. A parked one needs `unlock` first, which takes an admin."""
    record = await about.scope(scope, actor, "retry")
    if record.parked:
        raise RefusedByPolicy(
            f"scope {scope} is parked: a person must look at what run {record.parked} left",
            hint=f"alma unlock {record.parked}, then retry",
        )
    after = replace(record, quarantine=(), contested=False)
    await about.records.save("scope.retried", after)
    about.look(scope)
    return after


async def status(about: Context) -> tuple[ScopeRecord, ...]:
    """Every scope that was ever seen, by name."""
    return await about.records.all(ScopeRecord)


def _until(text: str, now: datetime) -> str:
    try:
        return (now + timedelta(seconds=duration_s(text))).isoformat(timespec="seconds")
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as e:
        raise InvalidInput(f"{text} is no time", hint="write 2h, 3d or 2026-12-31T18:00+01:00") from e
    at = at if at.tzinfo else at.replace(tzinfo=now.tzinfo)
    if at <= now:
        raise InvalidInput(f"{text} is in the past")
    return at.isoformat(timespec="seconds")
