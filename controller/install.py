"""One install, opened: state lock, key, journal, targets and what plans and runs against them.

Part of the wiring: both doors, the controller and the standalone command line, stand on it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import structlog

from controller.journal.failure import Evicted, JournalUnavailable
from controller.journal.journal import Journal
from controller.journal.lease import Leases, lock_state
from controller.journal.lock import FileLock
from controller.journal.place import FilePlace, place_of
from controller.journal.shared_lease import Registration, SharedLeases
from controller.redact import Redactor
from controller.runtime.clock import Clock
from controller.runtime.executor import Executor, LocalExecutor
from controller.runtime.live_run import Bounds, Means
from controller.runtime.planning import Planning
from controller.runtime.records import Records
from controller.runtime.run_log import RunLog
from controller.runtime.secret_values import InstallSecrets
from controller.seal import Key
from controller.settings import Settings
from controller.targets import Targets, new_id, open_targets, site_queues
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
    leases: Leases | SharedLeases
    records: Records
    log: RunLog
    executor: Executor
    planning: Planning
    secrets: InstallSecrets
    environment: Mapping[str, str]
    key: Key
    redact: Redactor
    metrics: Metrics
    clock: Clock
    lock: FileLock

    async def close(self) -> None:
        await self.executor.close()
        await self.targets.close()
        try:
            await self.leases.close()
        except (JournalUnavailable, Evicted):
            _log.warning("the leases were not given back; they end by themselves")
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
    serves: bool = False,
    site: str = "",
) -> Install:
    """Targets with the state lock and the journal, ready to run. `serves`: takes its share of a shared journal's
    scopes; `site`: takes none, and works beside its targets. Raises LockHeld when another process works with
    `state`."""
    lock = lock_state(state)
    try:
        targets = open_targets(settings, state, environment, clock, metrics, log_defect, configured=configured)
        url = settings.journal or f"sqlite:///{state / 'alma.db'}"
        journal = await Journal.open(url, state, now=clock.wall)
    except BaseException:
        lock.release()
        raise
    log = RunLog(journal)
    leases = await _leases(url, state, lock, journal, settings, clock, serves=serves, site=site)
    return Install(
        id=targets.id,
        state=state,
        settings=settings,
        targets=targets,
        engines=targets.engines,
        engine_of=targets.engine_of,
        offered=targets.offered,
        journal=journal,
        leases=leases,
        records=Records(journal),
        log=log,
        executor=_executor(settings, targets, log, clock, leases),
        planning=targets.planning,
        secrets=targets.secrets,
        environment=targets.environment,
        key=targets.key,
        redact=targets.redact,
        metrics=metrics,
        clock=clock,
        lock=lock,
    )


def _executor(
    settings: Settings, targets: Targets, log: RunLog, clock: Clock, leases: Leases | SharedLeases
) -> Executor:
    means = Means(targets.engines, log, targets.key.sealer, clock, bounds_of(settings))
    if settings.executor.temporal is None:
        return LocalExecutor(means)
    queues = site_queues(settings, targets.id)
    name = leases.name if isinstance(leases, SharedLeases) else ""
    # Its library is loaded only where it is configured: no other command should wait for it.
    made: Executor = import_module("controller.temporal.executor").TemporalExecutor(
        means, settings.executor.temporal, targets.id, queues, name
    )
    return made


async def _leases(
    url: str,
    state: Path,
    lock: FileLock,
    journal: Journal,
    settings: Settings,
    clock: Clock,
    *,
    serves: bool,
    site: str,
) -> Leases | SharedLeases:
    place = place_of(url)
    if isinstance(place, FilePlace):
        return await Leases.start(lock, journal, clock.now_s)
    lease_s = float(settings.reconcile.lease)
    where = f"{socket.gethostname()}, process {os.getpid()}" + (f", worker of site {site}" if site else "")
    me = Registration(_name(state), new_id(), where, serves)
    # Loaded here only: a journal in a file needs no driver of PostgreSQL.
    signals = import_module("controller.journal.signals").PostgresSignals(place, lease_s / 3)
    try:
        leases = await SharedLeases.start(journal, signals, me, clock.now_s, lease_s)
    except BaseException:
        await signals.close()
        await journal.close()
        lock.release()
        raise
    if not serves:
        leases.beat_alone(clock.sleep)
    return leases


def _name(state: Path) -> str:
    """Of the controller with this state folder, made once: its next process takes over from its last at once."""
    file = state / "controller"
    if not file.exists():
        file.write_text(new_id())
    return file.read_text().strip()


def log_defect(target: str) -> None:
    """Called where the exception is at hand; its text may hold anything and goes to the log only (I28)."""
    _log.exception("defect of an engine", target=target)


def bounds_of(settings: Settings) -> Bounds:
    """How much a run does at once here, and how long it waits."""
    r = settings.reconcile
    return Bounds(r.in_flight, float(r.step_timeout), float(r.health_timeout))
