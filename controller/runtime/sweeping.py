"""Parts that runs left on a target and no journal knows any more: whether they are swept now, and what people hear.

A sweep is a run of its own that goes before any plan: a plan would make a second object where a kept one only waits
for its name. It needs no clearance and counts for no limit (I17), because it touches no object that users meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.errors import AlmaError, Unreachable
from controller.plan.change import Plan
from controller.plan.graph import DesiredGraph
from controller.plan.resource import Snapshot
from controller.plan.sweep import sweep_plan
from controller.runtime.drift import HealBudget
from controller.runtime.planning import Planned, Planning, Wanted
from controller.runtime.records import ScopeRecord
from engines.engine import EngineError


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Asks the engines for leftovers, and says when they may be swept."""

    planning: Planning
    budget: HealBudget  # its own: a sweep that fails comes again later, and is no contested heal
    locked: Callable[[Plan], str]  # why a plan may not be applied here at all
    read_only: frozenset[str] = frozenset()  # targets that only a person changes

    async def left(self, wanted: Wanted | None, planned: Planned | AlmaError) -> Plan | None:
        """The plan that ends what is left of earlier runs of the scope. To be asked only while none of its runs is
        open. Where there is no plan, leftovers may be why, so the targets are read for them. None: nobody can say."""
        if isinstance(planned, Planned):
            return await self._of(planned.graph.scope, planned.plan.revision, planned.snapshots)
        if wanted is None:
            return None
        targets = {t: () for per_engine in wanted.targets.values() for t in per_engine}
        try:
            snapshots = await self.planning.read(DesiredGraph(wanted.scope, (), targets))
        except Unreachable:
            return None
        return await self._of(wanted.scope, wanted.revision, snapshots)

    async def _of(self, scope: str, revision: str, snapshots: Mapping[str, Snapshot]) -> Plan | None:
        engines = self.planning.engines
        try:
            effects = {t: await engines[t].sweep(s, scope) for t, s in snapshots.items() if t not in self.read_only}
        except EngineError:
            return None
        return sweep_plan(scope, revision, snapshots, effects)

    def may(self, record: ScopeRecord, left: Plan, known: bool) -> bool:
        """True if the sweep goes now. `known`: the journal knows this scope, or a person has accepted that it does
        not (then pauses are lost too). One that came too soon after the last does not go; the plan does then."""
        held = record.pause or record.parked or record.orphaned or not known or self.locked(left)
        return bool(left.changes) and not held and not self.budget.left_s(record.scope)


def told(message: str, left: Plan | None) -> str:
    """`message`, and what is still there of earlier runs."""
    if left is None or not left.total:
        return message
    said = [message] if message else []
    said += [n.text for n in left.notices]
    said += [f"{c.target}: part of {c.effect.resource} left by an earlier run is not swept yet" for c in left.changes]
    return "; ".join(said)
