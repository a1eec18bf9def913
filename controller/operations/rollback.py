"""`rollback [REV]`: a new run to content from the tracked branch's history; the scope is pinned until its content on
the branch changes (design.md 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.errors import InvalidInput
from controller.operations.access import Actor
from controller.operations.context import Context
from controller.runtime.records import Pin, RunRecord, ScopeRecord
from controller.runtime.run import RunWord
from controller.runtime.source import GitSource


@dataclass(frozen=True, slots=True)
class RollbackDesk:
    """Needs Git beside what every operation needs."""

    about: Context
    source: GitSource

    async def rollback(self, actor: Actor, scope: str, revision: str | None, reason: str) -> ScopeRecord:
        """Pin `scope` to `revision` (None: the verified one before the present one). Raises InvalidInput."""
        record = await self.about.scope(scope, actor, "rollback")
        repository = self.source.repository(record.repository)
        if repository is None or repository.head is None:
            raise InvalidInput(f"scope {scope} has no repository here any more")
        target = await self._target(record, repository.head, revision)
        held = await self.source.content(record, repository.head)
        if held is None:
            raise InvalidInput(f"scope {scope} is in no alma.yaml any more")
        pin = Pin(target, actor.id, reason or f"rollback to {target[:8]}", held)
        after = replace(record, pin=pin)
        await self.about.records.save("scope.pinned", after)
        self.about.look(scope)
        return after

    async def _target(self, record: ScopeRecord, head: str, revision: str | None) -> str:
        if revision is None:
            return await self._before(record)
        repository = self.source.repository(record.repository)
        assert repository is not None, "checked by the caller"
        log = await repository.mirror.log("", None, head)
        full = next((c.id for c in log if len(revision) >= 7 and c.id.startswith(revision)), None)
        if full is None or not await self.source.includes(record.repository, full, head):
            raise InvalidInput(
                f"{revision} is no commit of the tracked branch", hint="content comes from its history only"
            )
        return full

    async def _before(self, record: ScopeRecord) -> str:
        """The newest verified revision whose content is not the present one."""
        runs = sorted(
            (
                r
                for r in await self.about.records.all(RunRecord)
                if r.scope == record.scope and r.word is RunWord.DONE and not r.heal
            ),
            key=lambda r: r.created,
            reverse=True,
        )
        older = next((r.revision for r in runs if r.fingerprint != record.good_fingerprint), None)
        if older is None:
            raise InvalidInput(f"scope {record.scope} has no verified revision before this one", hint="name one")
        return older
