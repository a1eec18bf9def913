"""PURE: what `alma.yaml` says about one scope, as the plan room judges by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.blueprint.entry import Disruption
from controller.blueprint.repository import Repository, ScopeConfig
from controller.plan.limits import Gate, PruneLimits, Window
from controller.runtime.decide import ScopePolicy

_STRICTEST = (Gate.STRICT, Gate.DESTRUCTIVE, Gate.OFF)


def at_least(policy: ScopePolicy, before: Sequence[ScopePolicy], approvals: int) -> ScopePolicy:
    """`policy`, as strict as the server and every version since the last deploy, which is the last of `before`: a
    change of the rules is judged by the old ones (I4)."""
    every = (*before, policy)
    return replace(
        policy,
        gate=min((p.gate for p in every), key=_STRICTEST.index),
        prune=_least([p.prune for p in every]),
        windows=before[-1].windows if before else policy.windows,
        approvals=max(approvals, *(p.approvals for p in every)),
        owners=tuple(dict.fromkeys(rule for p in every for rule in p.owners)),
    )


def _least(limits: Sequence[PruneLimits]) -> PruneLimits:
    return PruneLimits(
        min(p.max_count for p in limits), min(p.max_percent for p in limits), min(p.percent_from for p in limits)
    )


def policy_of(config: Repository, scope: ScopeConfig) -> ScopePolicy:
    """What alma.yaml says about one scope, in the plan room's words."""
    policy = config.policy
    return ScopePolicy(
        gate=Gate(policy.gate),
        prune=PruneLimits(policy.prune.max_count, policy.prune.max_percent, policy.prune.percent_from),
        windows=tuple(Window(w.cron, w.length_s, w.timezone, Disruption(w.above)) for w in policy.windows),
        approvals=policy.approvals.required,
        owners=tuple(policy.approvals.owners.items()),
        self_heal=scope.self_heal,
        depends_on=scope.depends_on,
    )
