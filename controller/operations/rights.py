"""Who may do what: the one table that every door asks (I50), and that README and `alma roles` show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.operations.access import Actor, Role, RoleRules, require
from controller.review.command_answer import VerbKind
from controller.runtime.command import VERBS


@dataclass(frozen=True, slots=True)
class Right:
    """One verb. `comment`: the verb of a comment on a pull request that asks the same; empty where none does. `gate`:
    what stands before it besides the role."""

    verb: str
    role: Role
    acts: bool
    comment: str = ""
    gate: str = ""


def _reads(verb: str, role: Role = Role.READ, comment: str = "", gate: str = "") -> Right:
    return Right(verb, role, False, comment, gate)


def _acts(verb: str, role: Role = Role.OPERATE, comment: str = "", gate: str = "") -> Right:
    return Right(verb, role, True, comment, gate)


def _words(kind: VerbKind) -> str:
    return ", ".join(v.name for v in VERBS.values() if v.kind is kind and v.name != "status")


BEYOND_LIMITS = "confirm above the prune limits"
PROPOSE = "commit to a pull request"
BREAK_GLASS = "break-glass"
# No door asks for these by name: one is a part of `confirm`, the other is asked for in comments.
UNDER_OTHER_NAMES = frozenset((BEYOND_LIMITS, PROPOSE))

RIGHTS: Mapping[str, Right] = {
    right.verb: right
    for right in (
        _reads("status", comment="status", gate="shows what one may read"),
        _reads("drift", gate="shows what one may read"),
        _reads("history", gate="shows what one may read"),
        _reads("events", gate="shows what one may read"),
        _reads("logs"),
        _reads("ipr list"),
        _reads("ipr show", comment=_words(VerbKind.READ)),
        _acts("ipr comment", Role.READ, gate="only words; a command in it is judged by itself"),
        _acts("ipr open"),
        _acts("ipr approve", gate="counts as policy.approvals says"),
        _acts("ipr merge", gate="the head that was looked at"),
        _acts("ipr close"),
        _acts(PROPOSE, comment=_words(VerbKind.BRANCH), gate="reviewed first, never on the tracked branch"),
        _acts("confirm", comment="confirm", gate="exactly the listed changes"),
        _acts(BEYOND_LIMITS, Role.ADMIN, "confirm", "policy.prune, or nothing wanted any more"),
        _acts(BREAK_GLASS, Role.ADMIN, BREAK_GLASS, "two people by one door, a reason, an end"),
        _acts("cancel", comment="cancel", gate="what ran is undone, its content held"),
        _acts("retry", comment="retry", gate="a parked scope: unlock first"),
        _acts("unlock", Role.ADMIN, "unlock", "what failed stays held"),
        _acts("rollback", comment="rollback", gate="content of the tracked branch's history"),
        _acts("pause", comment="pause", gate="with a reason"),
        _acts("resume", comment="resume"),
        _acts("reconcile", comment="deploy", gate="whatever holds a run still does"),
        _acts("destroy", Role.ADMIN, gate="an orphaned scope, by its plan's digest"),
        _reads("doctor", Role.OPERATE),
        _reads("journal verify", Role.OPERATE),
        _reads("audit list", Role.ADMIN),
    )
}


def require_right(actor: Actor, rules: RoleRules, verb: str) -> None:
    """Raise RefusedByPolicy unless the actor has the role that `verb` needs."""
    require(actor, rules, RIGHTS[verb].role, verb)
