"""The audit log (I46): who asked for what, from where, and whether it was allowed. A stream of the journal's chain.

An act is noted before it is carried out and again with its outcome, so that a kill in between leaves the asking. Of
questions only the refused ones are noted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from controller.errors import AlmaError, RefusedByPolicy
from controller.journal.export import AUDIT_STREAM
from controller.journal.journal import Journal
from controller.journal.projections import Entry, Recorded
from controller.operations.access import Actor, role_of
from controller.operations.context import Context
from controller.operations.rights import RIGHTS, require_right
from engines.engine import EngineError

Json = Any
T = TypeVar("T")
_WHY_MAX = 400
_LIST_MAX = 1_000


class Outcome(StrEnum):
    ASKED = "asked"  # its process ended before it was over
    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """`door`: `socket`, `command line`, `comment REPOSITORY#N`. `about`: what it was asked of, never free text."""

    actor: Actor
    verb: str
    door: str
    repository: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


async def audited(journal: Journal, asked: Asked, acts: bool, carry_out: Callable[[], Awaitable[T]]) -> T:
    """`carry_out`, noted. Raises what it raises, and nothing is carried out while nothing can be noted."""
    begun = await _note(journal, asked, Outcome.ASKED) if acts else None
    try:
        result = await carry_out()
    except RefusedByPolicy as e:
        await _note(journal, asked, Outcome.REFUSED, str(e), begun)
        raise
    except Exception as e:
        if begun:
            why = str(e) if isinstance(e, AlmaError | EngineError) else type(e).__name__
            await _note(journal, asked, Outcome.FAILED, why, begun)
        raise
    if begun:
        await _note(journal, asked, Outcome.ALLOWED, "", begun)
    return result


async def _note(
    journal: Journal, asked: Asked, outcome: Outcome, why: str = "", begun: Recorded | None = None
) -> Recorded:
    body = {
        "by": asked.actor.id,
        "name": asked.actor.shown,
        "verb": asked.verb,
        "door": asked.door,
        "repository": asked.repository,
        "about": dict(asked.about),
        "why": why[:_WHY_MAX],
        "of": begun.seq if begun else 0,
    }
    (recorded,) = await journal.append(AUDIT_STREAM, [Entry(f"audit.{outcome}", body)])
    return recorded


async def audit_list(about: Context, actor: Actor, limit: int, only: str | None) -> Json:
    """`{"format": "alma.audit/v1", "entries": […]}`, oldest first: the newest `limit` of those the actor may see, each
    act once with its outcome. `only`: an outcome."""
    if not any(_may_see(about, actor, name) for name in about.roles):
        require_right(actor, about.rules(""), "audit list")
    rows = await about.records.journal.newest(AUDIT_STREAM, min(limit, _LIST_MAX) * 2)
    over = {r.body["of"] for r in rows}
    entries = [
        {"seq": r.seq, "at": r.at, "outcome": outcome, **{k: v for k, v in r.body.items() if k != "of"}}
        for r in rows
        if r.seq not in over
        and (outcome := r.kind.removeprefix("audit.")) == (only or outcome)
        and _may_see(about, actor, r.body["repository"])
    ]
    return {"format": "alma.audit/v1", "entries": entries[-limit:]}


def _may_see(about: Context, actor: Actor, repository: str) -> bool:
    return role_of(actor, about.rules(repository)) >= RIGHTS["audit list"].role
