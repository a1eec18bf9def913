"""What anyone may ask of a run: confirm, break the glass, cancel, retry, unlock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from controller.errors import InvalidInput, RefusedByPolicy
from controller.operations.access import Actor, stands_for_nobody
from controller.operations.context import Context
from controller.operations.rights import BEYOND_LIMITS, BREAK_GLASS, require_right
from controller.operations.scopes import retry_scope
from controller.runtime.glass import asked, may_join
from controller.runtime.records import Breaker, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.run_log import RunLog
from controller.runtime.run_machine import replayed

_REASON_MAX = 300  # characters
AsNow = Callable[[Breaker], Awaitable[Actor]]


async def confirm(about: Context, actor: Actor, run: str, digest: str | None = None) -> RunRecord:
    """Let a waiting run go: its listed changes, and no others, are cleared. Above the prune limits this takes an
    admin. `digest` (or its beginning) makes sure that one means the same plan."""
    record = await about.run(run, actor, "confirm")
    if record.word is not RunWord.WAITING:
        raise InvalidInput(f"run {record.run} does not wait; it is {record.word}", hint="alma status")
    if record.over_budget:
        await about.run(run, actor, BEYOND_LIMITS)
    if digest and not record.digest.startswith(digest):
        raise RefusedByPolicy(
            f"run {record.run} has the digest {record.digest[:12]}, not {digest}", hint="look at its plan again"
        )
    after = replace(
        record,
        confirmed=record.listed,
        confirmed_by=actor.id,
        confirmed_name=actor.shown,
        confirmed_digest=record.digest,
    )
    await about.records.save("run.confirmed", after)
    about.look(record.scope)
    return after


async def break_glass(about: Context, actor: Actor, run: str, reason: str, as_now: AsNow | None = None) -> RunRecord:
    """The first of two admins asks, the second lets the run go, with the plan both were shown. It lifts what the run
    waits for: approvals, confirmations, limits, windows; never what holds a scope, and never what is refused. `as_now`
    looks up what the first may do now (I3); without it they are users of this machine."""
    record = await about.run(run, actor, BREAK_GLASS)
    if not about.glass_s:
        raise RefusedByPolicy(
            "nobody may break the glass here", hint="`break_glass: {within: 15m}` in the server configuration"
        )
    if record.word is not RunWord.WAITING:
        raise InvalidInput(f"run {record.run} does not wait; it is {record.word}", hint="alma status")
    if not reason.strip():
        raise InvalidInput("breaking the glass needs a reason", hint='--reason "why"')
    now = about.clock.wall()
    known = asked(record, record.revision, record.digest, now, about.glass_s)
    said = reason.strip()[:_REASON_MAX]
    one = Breaker(actor.id, actor.shown, said, now.isoformat(), record.revision, record.digest)
    if stands_for_nobody(actor):
        raise RefusedByPolicy(f"{actor.shown} is nobody in particular", hint="break the glass as yourself")
    if why := may_join(known, one):
        raise RefusedByPolicy(why)
    for earlier in known:
        again = await as_now(earlier) if as_now else about.person(earlier.by)
        require_right(again, about.rules(record.repository), BREAK_GLASS)
    after = replace(record, breakers=(*known, one))
    await about.records.save("run.glass", after)
    about.look(record.scope)
    return after


async def cancel(about: Context, actor: Actor, run: str) -> RunRecord:
    """A waiting run ends; a running one is undone. The content is held in quarantine until it changes or `retry`."""
    record = await about.run(run, actor, "cancel")
    if record.word.ended:
        raise InvalidInput(f"run {record.run} is over: {record.word}", hint="alma rollback goes back to older content")
    if about.executor.cancel(record.run, actor.id):
        return record
    if record.word not in (RunWord.QUEUED, RunWord.WAITING):
        raise InvalidInput(
            f"run {record.run} is {record.word} and about to be taken up again", hint="cancel it once it goes on"
        )
    scope = await about.records.get(ScopeRecord, record.scope)
    ended = replace(record, word=RunWord.CANCELLED, reason=f"cancelled by {actor.id}", next_step="")
    if scope is None:
        await about.records.save("run.cancelled", ended)
        return ended
    held = replace(scope, waiting=None, quarantine=(*scope.quarantine, record.fingerprint))
    await about.records.save("run.cancelled", ended, held)
    about.look(record.scope)
    return ended


async def retry(about: Context, actor: Actor, run_or_scope: str) -> ScopeRecord:
    """Lift what holds the scope of a run (or the scope itself) and try again."""
    if await about.records.get(ScopeRecord, run_or_scope):
        return await retry_scope(about, actor, run_or_scope)
    record = await about.run(run_or_scope, actor, "retry")
    return await retry_scope(about, actor, record.scope)


async def unlock(about: Context, actor: Actor, run: str) -> ScopeRecord:
    """A person has looked at a parked run: the scope goes on, with its content still in quarantine."""
    record = await about.run(run, actor, "unlock")
    scope = await about.scope(record.scope, actor, "unlock")
    if scope.parked != record.run:
        raise InvalidInput(f"run {record.run} is not what scope {scope.scope} is parked on", hint="alma status")
    after = replace(scope, parked=None, quarantine=(*scope.quarantine, record.fingerprint))
    await about.records.save("scope.unlocked", after)
    log = RunLog(about.records.journal)
    for each in sorted(replayed(await log.read(record.run)).runs):
        await log.forget_priors(each)  # no undo can need them any more (I27)
    about.look(scope.scope)
    return after
