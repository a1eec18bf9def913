"""`alma destroy --scope NAME`: take away what an orphaned scope left behind (I1, second exception)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.errors import RefusedByPolicy
from controller.operations.access import Actor
from controller.operations.context import Context
from controller.operations.deploy import Standalone
from controller.plan.codec import to_json
from controller.plan.limits import PruneLimits
from controller.review.plan_text import plan_json
from controller.runtime.planning import Wanted
from controller.runtime.records import ScopeRecord
from controller.runtime.run import RunWord

Json = Any


@dataclass(frozen=True, slots=True)
class OrphanDesk:
    """Plans nothing wanted, and runs it once an admin gave the digest."""

    about: Context
    standalone: Standalone
    targets: Mapping[str, tuple[str, ...]]  # engine → targets

    async def destroy(self, actor: Actor, scope: str, confirm: str | None) -> Json:
        """Without `confirm`: the plan. With its digest: the run. Raises RefusedByPolicy for a scope that a repository
        still describes."""
        record = await self.about.scope(scope, actor, "destroy")
        if not record.orphaned:
            raise RefusedByPolicy(
                f"scope {scope} is described by {record.repository}", hint="remove its entries there, and merge"
            )
        planned = await self.standalone.plan(Wanted(scope, "orphaned", (), self.targets))
        if confirm is None:
            return {"plan": plan_json(planned.plan)}
        if len(confirm) < 8 or not planned.plan.digest.startswith(confirm):
            raise RefusedByPolicy(f"the plan's digest is {planned.plan.digest[:12]}, not {confirm}")
        run = await self.standalone.deploy(planned, PruneLimits(), confirm)
        after = await self.about.records.get(ScopeRecord, scope)
        if after and run.word is RunWord.DONE:
            # Nothing of it is left that healing could go back to, and its revision is no commit.
            gone = replace(after, good_revision=None, good_fingerprint=None, good_tree=None, edges={}, accepted=True)
            await self.about.records.save("scope.destroyed", gone)
        return {"run": to_json(run)}
