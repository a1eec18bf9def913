"""PURE: breaking the glass (I7): two people and a reason let one waiting run go, with this very plan, for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.runtime.records import Breaker, RunRecord


def asked(run: RunRecord, revision: str, digest: str, now: datetime, within_s: float) -> tuple[Breaker, ...]:
    """Who has asked for it and still counts: of this commit and plan, and not so long ago that it is over."""
    oldest = now - timedelta(seconds=within_s)
    return tuple(
        b
        for b in run.breakers
        if (b.revision, b.digest) == (revision, digest) and oldest <= datetime.fromisoformat(b.at) <= now
    )


def may_join(known: tuple[Breaker, ...], one: Breaker) -> str:
    """Why `one` cannot be the second; empty if it can. At a forge and on a machine one person may have two names, so
    both come by one door."""
    for other in known:
        if other.by == one.by or other.name.lower() == one.name.lower():
            return f"{one.name} has asked already; it takes a second person"
        if other.by.partition(":")[0] != one.by.partition(":")[0]:
            return f"{other.name} asked by another door; two people who ask by one door are surely two"
    return ""


def broken(run: RunRecord | None, revision: str, digest: str, now: datetime, within_s: float) -> str:
    """By whom and why; empty while it is whole."""
    known = asked(run, revision, digest, now, within_s) if run else ()
    if len(known) < 2:
        return ""
    first, second = known[-2:]
    return f"glass broken by {first.name} ({first.reason}) and {second.name} ({second.reason})"
