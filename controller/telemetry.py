"""Logs and the name of every metric. Labels are bounded: scopes, targets, engines and fixed words, never ids."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PHASES_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


@dataclass(frozen=True, slots=True)
class MetricDoc:
    """A line of `alma metrics list`."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


_CATALOGUE: tuple[MetricDoc, ...] = (
    MetricDoc("alma_reconcile", "counter", ("scope", "result"), "Passes over a scope, by how they ended."),
    MetricDoc("alma_reconcile_duration_seconds", "histogram", ("scope", "phase"), "Time of each phase of a pass."),
    MetricDoc("alma_reconcile_throttled", "counter", ("scope",), "Passes that waited for a token."),
    MetricDoc("alma_token_bucket_tokens", "gauge", ("bucket",), "Tokens left in each bucket."),
    MetricDoc("alma_queue_depth", "gauge", ("priority",), "Scopes waiting for a pass."),
    MetricDoc("alma_changes", "counter", ("engine", "action", "result"), "Changes carried out."),
    MetricDoc("alma_rollbacks", "counter", ("scope", "result"), "Runs that were undone."),
    MetricDoc("alma_drift_resources", "gauge", ("scope", "engine"), "Objects that drifted at the last look."),
    MetricDoc("alma_drift_age_seconds", "gauge", ("scope",), "Since when the oldest drift of a scope is known."),
    MetricDoc("alma_scope_sync_status", "gauge", ("scope", "status"), "1 for the sync status a scope has."),
    MetricDoc("alma_scope_health", "gauge", ("scope", "health"), "1 for the health a scope has."),
    MetricDoc("alma_scope_orphaned", "gauge", ("scope",), "1 for a scope that no repository describes any more."),
    MetricDoc("alma_ipr_review_duration_seconds", "histogram", (), "From seeing a pull request to its comment."),
    MetricDoc("alma_merge_to_synced_seconds", "histogram", ("scope",), "From seeing a revision to verified."),
    MetricDoc("alma_engine_up", "gauge", ("target",), "1 when the target answered the last time it was asked."),
    MetricDoc("alma_engine_request_duration_seconds", "histogram", ("engine", "operation"), "Calls of an engine."),
    MetricDoc("alma_forge_requests", "counter", ("forge", "code"), "Requests to a forge, by HTTP code."),
    MetricDoc("alma_forge_rate_limit_remaining", "gauge", ("forge",), "What the forge says is left."),
    MetricDoc("alma_monthly_cost", "gauge", ("scope", "currency"), "Monthly cost of what a scope wants."),
    MetricDoc("alma_findings", "gauge", ("scope", "severity"), "Open findings, waived ones excluded."),
    MetricDoc("http_requests", "counter", ("route", "method", "code"), "Requests to the controller."),
    MetricDoc("http_request_duration_seconds", "histogram", ("route", "method"), "Time to answer them."),
    MetricDoc("llm_requests", "counter", ("provider", "result"), "Questions to a model, by how they ended."),
    MetricDoc("llm_tokens_generated", "counter", (), "Tokens of answers, as the models' servers count them."),
    MetricDoc("llm_request_duration_seconds", "histogram", (), "From asking a model to its answer or failure."),
    MetricDoc("alma_commands", "counter", ("verb", "result"), "Commands in comments, by how they ended."),
    MetricDoc("alma_narratives", "counter", ("author", "result"), "Narratives, by who wrote them and why."),
)


def catalogue() -> tuple[MetricDoc, ...]:
    """Every metric this program exports, with labels."""
    return _CATALOGUE


class Metrics:
    """All metrics on a registry of their own. Methods take label values in the catalogue's order."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._by_name: dict[str, Counter | Gauge | Histogram] = {}
        for doc in _CATALOGUE:
            self._by_name[doc.name] = self._make(doc)

    def _make(self, doc: MetricDoc) -> Counter | Gauge | Histogram:
        if doc.type == "histogram":
            return Histogram(doc.name, doc.help, doc.labels, registry=self.registry, buckets=_PHASES_S)
        cls = Counter if doc.type == "counter" else Gauge
        return cls(doc.name, doc.help, doc.labels, registry=self.registry)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter; `name` without `_total`."""
        metric = self._by_name[name]
        assert isinstance(metric, Counter), name
        (metric.labels(*labels) if labels else metric).inc(by)

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        metric = self._by_name[name]
        assert isinstance(metric, Gauge), name
        (metric.labels(*labels) if labels else metric).set(value)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        metric = self._by_name[name]
        assert isinstance(metric, Histogram), name
        (metric.labels(*labels) if labels else metric).observe(seconds)

    def one_of(self, name: str, value: str, values: tuple[str, ...], *labels: str) -> None:
        """Set the gauge of `value` to 1 and of every other of `values` to 0."""
        for each in values:
            self.gauge(name, 1.0 if each == value else 0.0, *labels, each)


Processor = Callable[[Any, str, Mapping[str, Any]], Mapping[str, Any]]


def configure_logging(redact: Processor, *, stream: TextIO | None = None, level: str = "info") -> None:
    """JSON lines on stderr; every value passes `redact`, the last word before the line is written (I26, I45)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
