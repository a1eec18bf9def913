"""PURE: what `alma.yaml` says about one scope, as the plan room judges by it."""

from __future__ import annotations

from controller.blueprint.entry import Disruption
from controller.blueprint.repository import Repository, ScopeConfig
from controller.plan.limits import Gate, PruneLimits, Window
from controller.runtime.decide import ScopePolicy


def policy_of(config: Repository, scope: ScopeConfig) -> ScopePolicy:
    """What alma.yaml says about one scope, in the plan room's words."""
    policy = config.policy
    return ScopePolicy(
        gate=Gate(policy.gate),
        prune=PruneLimits(policy.prune.max_count, policy.prune.max_percent, policy.prune.percent_from),
        windows=tuple(Window(w.cron, w.length_s, w.timezone, Disruption(w.above)) for w in policy.windows),
        self_heal=scope.self_heal,
        depends_on=scope.depends_on,
    )
