"""What every operation works with: records, the queue, the executor, the clock and who may do what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.errors import InvalidInput
from controller.operations.access import Actor, RoleRules, os_actor
from controller.operations.rights import require_right
from controller.runtime.clock import Clock
from controller.runtime.executor import Executor
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.work_queue import Priority, WorkQueue


@dataclass(frozen=True, slots=True)
class Context:
    """One controller, as operations see it."""

    records: Records
    queue: WorkQueue
    executor: Executor
    clock: Clock
    roles: Mapping[str, RoleRules] = field(default_factory=dict)
    person: Callable[[str], Actor] = lambda user: os_actor(user.removeprefix("os:"), ())  # a user of this machine, now
    glass_s: float = 0.0  # how long two people who break the glass count; 0: nobody may

    def rules(self, repository: str) -> RoleRules:
        """The repository's, or those that let only its forge's people and root in."""
        return self.roles.get(repository, RoleRules())

    async def scope(self, name: str, actor: Actor, verb: str) -> ScopeRecord:
        """The scope, if it is there and the actor may. Missing and forbidden look the same (I41)."""
        record = await self.records.get(ScopeRecord, name)
        if record is None:
            known = ", ".join(r.scope for r in await self.records.all(ScopeRecord)) or "none yet"
            raise InvalidInput(f"no scope {name}; known: {known}", hint="alma status shows them")
        require_right(actor, self.rules(record.repository), verb)
        return record

    async def run(self, run: str, actor: Actor, verb: str) -> RunRecord:
        """The run by its id or the beginning of it. Raises InvalidInput when none or several fit."""
        fitting = await self.records.all(RunRecord, run)
        if len(fitting) != 1:
            why = "no run" if not fitting else f"{len(fitting)} runs begin with"
            raise InvalidInput(f"{why} {run}", hint="alma history shows them")
        require_right(actor, self.rules(fitting[0].repository), verb)
        return fitting[0]

    def look(self, scope: str) -> None:
        """A person asked: first in the queue, no token needed."""
        self.queue.add(f"scope:{scope}", Priority.PERSON)
