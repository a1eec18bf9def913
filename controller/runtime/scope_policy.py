"""PURE: what `alma.yaml` says about one scope, as the plan room judges by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.blueprint.entry import Disruption
from controller.blueprint.repository import Repository, ScopeConfig
from controller.plan.limits import Gate, PruneLimits, Window
from controller.runtime.decide import ScopePolicy


def at_least(policy: ScopePolicy, before: Sequence[ScopePolicy], approvals: int) -> ScopePolicy:
    """`policy` with the approvals that the server, and every version since the last deploy, ask for: a change of the
    rules is judged by the old ones (I4)."""
    owners = tuple(dict.fromkeys(rule for each in (*before, policy) for rule in each.owners))
    most = max(approvals, policy.approvals, *(old.approvals for old in before))
    return replace(policy, approvals=most, owners=owners)


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
