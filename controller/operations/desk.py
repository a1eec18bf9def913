"""Every verb that a person of this machine may ask for, by name: the one table behind the socket and the command line.

Who may is decided in the operations themselves (I50); here is only which arguments each takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.errors import InvalidInput
from controller.operations import readings, runs, scopes
from controller.operations.access import Actor
from controller.operations.audit import Asked, audit_list, audited
from controller.operations.context import Context
from controller.operations.doctor import DoctorDesk
from controller.operations.iprs import PullDesk
from controller.operations.orphans import OrphanDesk
from controller.operations.rights import RIGHTS
from controller.operations.rollback import RollbackDesk
from controller.plan.codec import to_json
from controller.runtime.records import RunRecord, ScopeRecord

Json = Any
Args = Mapping[str, Json]
Verb = Callable[[Actor, Args], Awaitable[Json]]
_NOTED = ("scope", "run", "number", "revision", "digest", "confirm", "branch", "until")  # of the arguments


@dataclass(frozen=True, slots=True)
class Desk:
    """All that a controller (or the standalone command line) answers. Parts that need Git or a forge may be absent."""

    about: Context
    pulls: PullDesk | None = None
    rollbacks: RollbackDesk | None = None
    orphans: OrphanDesk | None = None
    doctor: DoctorDesk | None = None
    door: str = "socket"  # what the audit log says people came by

    async def call(self, actor: Actor, verb: str, args: Args) -> Json:
        """Carry out `verb`. Raises AlmaError; an unknown verb is InvalidInput."""
        table = self._table()
        if verb not in table:
            raise InvalidInput(
                f"{verb[:40]} is not answered here", hint="a running controller answers more: alma serve"
            )
        right = RIGHTS.get(verb.replace(".", " "))
        if right is None:
            return await table[verb](actor, args)
        asked = Asked(actor, right.verb, self.door, await self._repository(args), _about(args))
        return await audited(self.about.records.journal, asked, right.acts, lambda: table[verb](actor, args))

    async def _repository(self, args: Args) -> str:
        """Whose people may see that it was asked."""
        if isinstance(named := args.get("repository"), str):
            return named[:100]
        run = await self.about.records.get(RunRecord, str(args.get("run")))
        scope = await self.about.records.get(ScopeRecord, str(args.get("scope")))
        return run.repository if run else scope.repository if scope else ""

    def _table(self) -> dict[str, Verb]:
        about = self.about
        table: dict[str, Verb] = {
            "ping": lambda who, a: _pong(),
            "status": lambda who, a: readings.status(about, who),
            "drift": lambda who, a: readings.drift(about, who, _maybe(a, "scope")),
            "history": lambda who, a: readings.history(about, who, _maybe(a, "scope"), _number(a, "limit", 20)),
            "events": lambda who, a: readings.events(
                about, who, _number(a, "after", 0), _number(a, "limit", 100), _maybe(a, "kinds") or ""
            ),
            "logs": lambda who, a: readings.logs(about, who, _text(a, "run")),
            "confirm": lambda who, a: _shown(runs.confirm(about, who, _text(a, "run"), _maybe(a, "digest"))),
            "break-glass": lambda who, a: _shown(
                runs.break_glass(about, who, _text(a, "run"), _maybe(a, "reason") or "")
            ),
            "cancel": lambda who, a: _shown(runs.cancel(about, who, _text(a, "run"))),
            "retry": lambda who, a: _shown(runs.retry(about, who, _text(a, "run"))),
            "unlock": lambda who, a: _shown(runs.unlock(about, who, _text(a, "run"))),
            "pause": lambda who, a: _shown(
                scopes.pause(about, who, _text(a, "scope"), _maybe(a, "reason") or "", _maybe(a, "until"))
            ),
            "resume": lambda who, a: _shown(scopes.resume(about, who, _text(a, "scope"))),
            "audit.list": lambda who, a: audit_list(about, who, _number(a, "limit", 50), _maybe(a, "only")),
            "reconcile": lambda who, a: _shown(scopes.reconcile(about, who, _text(a, "scope"))),
        }
        return {**table, **self._with_git(), **self._with_forges(), **self._with_targets()}

    def _with_git(self) -> dict[str, Verb]:
        desk = self.rollbacks
        if desk is None:
            return {}
        return {
            "rollback": lambda who, a: _shown(
                desk.rollback(who, _text(a, "scope"), _maybe(a, "revision"), _maybe(a, "reason") or "")
            )
        }

    def _with_forges(self) -> dict[str, Verb]:
        desk = self.pulls
        if desk is None:
            return {}
        return {
            "ipr.list": lambda who, a: desk.list(who, _maybe(a, "repository")),
            "ipr.show": lambda who, a: desk.show(
                who, _maybe(a, "repository"), _number(a, "number"), bool(a.get("full"))
            ),
            "ipr.open": lambda who, a: desk.open(
                who, _maybe(a, "repository"), _text(a, "branch"), _maybe(a, "title") or _text(a, "branch")
            ),
            "ipr.comment": lambda who, a: desk.comment(
                who, _maybe(a, "repository"), _number(a, "number"), _text(a, "body")
            ),
            "ipr.approve": lambda who, a: desk.approve(who, _maybe(a, "repository"), _number(a, "number")),
            "ipr.merge": lambda who, a: desk.merge(who, _maybe(a, "repository"), _number(a, "number")),
            "ipr.close": lambda who, a: desk.close(who, _maybe(a, "repository"), _number(a, "number")),
        }

    def _with_targets(self) -> dict[str, Verb]:
        table: dict[str, Verb] = {}
        if (orphans := self.orphans) is not None:
            table["destroy"] = lambda who, a: orphans.destroy(who, _text(a, "scope"), _maybe(a, "confirm"))
        if (doctor := self.doctor) is not None:
            table["doctor"] = lambda who, a: doctor.examine(who)
            table["journal.verify"] = lambda who, a: doctor.verify(who)
        return table


def _about(args: Args) -> dict[str, str]:
    """What was asked of, in the words of those who know it; never what somebody wrote."""
    return {k: str(args[k])[:100] for k in _NOTED if args.get(k) is not None}


async def _pong() -> Json:
    return {"format": "alma.ping/v1"}


async def _shown(record: Awaitable[object]) -> Json:
    return to_json(await record)


def _maybe(args: Args, name: str) -> str | None:
    value = args.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name} must be text")
    return value or None


def _text(args: Args, name: str) -> str:
    value = _maybe(args, name)
    if value is None:
        raise InvalidInput(f"{name} is missing")
    return value


def _number(args: Args, name: str, default: int | None = None) -> int:
    value = args.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise InvalidInput(f"{name} must be a whole number")
    return value
