"""Waits until one object is healthy: after a step, at the end of a wave, after an undo."""

from __future__ import annotations

from controller.blueprint.entry import Probe
from controller.plan.health import HealthState
from controller.plan.resource import ObjectKey
from controller.runtime.live_run import LiveRun, StepFailed
from controller.runtime.run_machine import sound
from engines.engine import EngineError

_DEGRADED_IN_A_ROW = 3  # a platform that says "failed" three times in a row means it


async def until_healthy(live: LiveRun, work: int, key: ObjectKey, probe: Probe) -> None:
    """Ask until it is healthy. Raises StepFailed when it is degraded three times in a row, or the time is over."""
    engine = live.engine(work)
    timeout_s = float(probe.timeout_s or live.bounds.health_timeout_s)
    deadline_s = live.clock.now_s() + timeout_s
    degraded, last = 0, "no answer"
    while not live.state.draining:
        try:
            health = await live.bounded(engine.check(key, probe))
        except EngineError as e:
            last = str(e)
        else:
            if sound(health):
                return
            last = f"{health.state}: {health.reason}" if health.reason else str(health.state)
            degraded = degraded + 1 if health.state is HealthState.DEGRADED else 0
        if degraded >= _DEGRADED_IN_A_ROW:
            raise StepFailed(f"{key.name} is not healthy ({last})")
        if live.clock.now_s() >= deadline_s:
            raise StepFailed(f"{key.name} was not healthy within {timeout_s:.0f} s ({last})")
        await live.clock.sleep(min(1.0, live.bounds.poll_s * 4))
