"""One install, opened: state lock, key, journal, targets and what plans and runs against them.

Part of the wiring: both doors, the controller and the standalone command line, stand on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from controller.journal.journal import Journal
from controller.journal.lease import Leases, lock_state
from controller.journal.lock import FileLock
from controller.redact import Redactor
from controller.runtime.clock import Clock
from controller.runtime.executor import LocalExecutor
from controller.runtime.live_run import Bounds
from controller.runtime.planning import Planning
from controller.runtime.records import Records
from controller.runtime.run_log import RunLog
from controller.runtime.secret_values import InstallSecrets
from controller.seal import Key
from controller.settings import Settings
from controller.targets import Targets, open_targets
from controller.telemetry import Metrics
from engines.engine import Engine

_log = structlog.get_logger("install")


@dataclass(slots=True)
class Install:
    """Everything that knows targets and nothing that knows Git. `close` gives all of it back."""

    id: str
    state: Path
    settings: Settings
    targets: Targets
    engines: Mapping[str, Engine]
    engine_of: Mapping[str, str]
    offered: frozenset[str]
    journal: Journal
    leases: Leases
    records: Records
    log: RunLog
    executor: LocalExecutor
    planning: Planning
    secrets: InstallSecrets
    key: Key
    redact: Redactor
    metrics: Metrics
    clock: Clock
    lock: FileLock

    async def close(self) -> None:
        await self.targets.close()
        await self.journal.close()
        self.lock.release()


async def open_install(
    settings: Settings,
    state: Path,
    environment: Mapping[str, str],
    clock: Clock,
    metrics: Metrics,
    *,
    configured: bool = True,
) -> Install:
    """Targets with the state lock and the journal, ready to run. Raises LockHeld when another process works with
    `state`."""
    lock = lock_state(state)
    try:
        targets = open_targets(settings, state, environment, clock, metrics, _log_defect, configured=configured)
        url = settings.journal or f"sqlite:///{state / 'alma.db'}"
        journal = await Journal.open(url, now=clock.wall)
    except BaseException:
        lock.release()
        raise
    log = RunLog(journal)
    return Install(
        id=targets.id,
        state=state,
        settings=settings,
        targets=targets,
        engines=targets.engines,
        engine_of=targets.engine_of,
        offered=targets.offered,
        journal=journal,
        leases=await Leases.start(lock, journal, clock.now_s),
        records=Records(journal),
        log=log,
        executor=LocalExecutor(targets.engines, log, targets.key.sealer, clock, _bounds(settings)),
        planning=targets.planning,
        secrets=targets.secrets,
        key=targets.key,
        redact=targets.redact,
        metrics=metrics,
        clock=clock,
        lock=lock,
    )


def _log_defect(target: str) -> None:
    """Called where the exception is at hand; its text may hold anything and goes to the log only (I28)."""
    _log.exception("defect of an engine", target=target)


def _bounds(settings: Settings) -> Bounds:
    r = settings.reconcile
    return Bounds(r.in_flight, float(r.step_timeout), float(r.health_timeout))
