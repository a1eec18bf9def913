"""The scopes of a folder for commands by hand: what each wants, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from controller.blueprint.repository import ScopeConfig
from controller.runtime.folder import Folder
from controller.runtime.planning import Wanted
from controller.targets import HasTargets, everything_allowed, targets_of


async def wanted_by_hand(targets: HasTargets, folder: Folder, scope: ScopeConfig) -> Wanted:
    """What a scope of the folder wants when the caller may ask for everything. Raises InvalidInput."""
    allow = everything_allowed(tuple(targets.engine_of), targets.environment)
    return await folder.wanted(scope, targets_of(targets), allow, targets.planning.kinds, targets.offered)


def ordered(folder: Folder, before: Mapping[str, set[str]] | None = None) -> list[ScopeConfig]:
    """The scopes of the folder, each after those that come before it (`depends_on` where nothing else is given)."""
    edges = coming_before(folder, taking_away=False) if before is None else before
    by_name = {s.name: s for s in folder.repository.scopes}
    return [by_name[name] for name in TopologicalSorter(edges).static_order()]


def coming_before(folder: Folder, *, taking_away: bool) -> dict[str, set[str]]:
    """Scope → those that come before it: what it depends on, or, when taking away, what depends on it."""
    scopes = folder.repository.scopes
    if not taking_away:
        return {s.name: set(s.depends_on) for s in scopes}
    return {s.name: {o.name for o in scopes if s.name in o.depends_on} for s in scopes}
