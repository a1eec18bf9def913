"""What is remembered of a scope, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from controller.plan.health import HealthState, SyncState
from controller.runtime.records import ScopeRecord
from controller.telemetry import Metrics


def show_drift(metrics: Metrics, record: ScopeRecord, engine_of: Mapping[str, str], now: datetime) -> None:
    """How many objects drifted per engine, and since when the oldest is known."""
    for engine in sorted(set(engine_of.values())):
        drifted = {d.resource for d in record.drift if engine_of.get(d.target) == engine}
        metrics.gauge("alma_drift_resources", len(drifted), record.scope, engine)
    oldest = min((datetime.fromisoformat(d.since) for d in record.drift), default=now)
    metrics.gauge("alma_drift_age_seconds", max(0.0, (now - oldest).total_seconds()), record.scope)


def show_scope(metrics: Metrics, record: ScopeRecord) -> None:
    """The scope's two facts as metrics."""
    metrics.gauge("alma_scope_orphaned", 1 if record.orphaned else 0, record.scope)
    metrics.one_of("alma_scope_sync_status", record.sync, tuple(SyncState), record.scope)
    metrics.one_of("alma_scope_health", record.health, tuple(HealthState), record.scope)
