"""Health in the sense of kstatus, kind by kind, from the object alone."""

from __future__ import annotations

from typing import Any

import pytest

from controller.plan.health import HealthState
from engines.kubernetes import health

HEALTHY, PROGRESSING, DEGRADED, SUSPENDED = (
    HealthState.HEALTHY,
    HealthState.PROGRESSING,
    HealthState.DEGRADED,
    HealthState.SUSPENDED,
)


def condition(type_: str, status: str, **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status, **more}


def rolled(**status: Any) -> dict[str, Any]:
    return {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status}


READY = {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], HealthState]] = [
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(), HEALTHY),
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(updatedReplicas=1), PROGRESSING),
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(replicas=3), PROGRESSING),
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(availableReplicas=1), PROGRESSING),
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(observedGeneration=0), PROGRESSING),
    ("apps/v1", "Deployment", {"replicas": 2}, {}, PROGRESSING),
    ("apps/v1", "Deployment", {"replicas": 2}, rolled(conditions=[condition("Progressing", "False")]), DEGRADED),
    ("apps/v1", "Deployment", {"replicas": 2, "paused": True}, rolled(), SUSPENDED),
    (
        "apps/v1",
        "StatefulSet",
        {"replicas": 2},
        {
            "observedGeneration": 1,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            "currentRevision": "a",
            "updateRevision": "a",
        },
        HEALTHY,
    ),
    (
        "apps/v1",
        "StatefulSet",
        {"replicas": 2},
        {
            "observedGeneration": 1,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            "currentRevision": "a",
            "updateRevision": "b",
        },
        PROGRESSING,
    ),
    ("apps/v1", "StatefulSet", {"replicas": 2}, {"observedGeneration": 1, "readyReplicas": 1}, PROGRESSING),
    (
        "apps/v1",
        "DaemonSet",
        {},
        {"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2},
        HEALTHY,
    ),
    ("apps/v1", "DaemonSet", {}, {"observedGeneration": 1, "desiredNumberScheduled": 2}, PROGRESSING),
    ("batch/v1", "Job", {}, {"conditions": [condition("Complete", "True")]}, HEALTHY),
    ("batch/v1", "Job", {}, {"conditions": [condition("Failed", "True", message="BackoffLimitExceeded")]}, DEGRADED),
    ("batch/v1", "Job", {}, {}, PROGRESSING),
    ("batch/v1", "Job", {"suspend": True}, {}, SUSPENDED),
    ("v1", "PersistentVolumeClaim", {}, {"phase": "Bound"}, HEALTHY),
    ("v1", "PersistentVolumeClaim", {}, {"phase": "Pending"}, PROGRESSING),
    ("v1", "PersistentVolumeClaim", {}, {"phase": "Lost"}, DEGRADED),
    ("networking.k8s.io/v1", "Ingress", {}, {}, HEALTHY),
    ("v1", "Service", {"type": "LoadBalancer"}, {}, PROGRESSING),
    ("v1", "Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, HEALTHY),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, {}, PROGRESSING),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        {},
        {"conditions": [condition("Established", "True")]},
        HEALTHY,
    ),
    (
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        {},
        {"conditions": [condition("NamesAccepted", "False")]},
        DEGRADED,
    ),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {}, {"conditions": [condition("AbleToScale", "False")]}, DEGRADED),
    ("autoscaling/v2", "HorizontalPodAutoscaler", {}, {"conditions": [condition("ScalingActive", "True")]}, HEALTHY),
    ("v1", "Pod", {}, {"phase": "Running", "conditions": [condition("Ready", "True")]}, HEALTHY),
    ("v1", "Pod", {}, {"phase": "Pending"}, PROGRESSING),
    ("v1", "Pod", {}, {"phase": "Failed", "reason": "Evicted"}, DEGRADED),
    ("example.org/v1", "Thing", {}, {}, HEALTHY),
    ("example.org/v1", "Thing", {}, {"conditions": [condition("Ready", "False")]}, PROGRESSING),
    ("example.org/v1", "Thing", {}, {"conditions": [condition("Ready", "True")]}, HEALTHY),
    ("example.org/v1", "Thing", {}, {"conditions": [condition("Stalled", "True")]}, DEGRADED),
    ("example.org/v1", "Thing", {}, {"conditions": [condition("Reconciling", "True")]}, PROGRESSING),
    ("v1", "ConfigMap", {}, {}, HEALTHY),
]


@pytest.mark.parametrize(("api_version", "kind", "spec", "status", "expected"), CASES)
def test_health_of(
    api_version: str, kind: str, spec: dict[str, Any], status: dict[str, Any], expected: HealthState
) -> None:
    found = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "it", "generation": 1}, "spec": spec}
    assert health.of({**found, "status": status}).state is expected


def test_what_is_being_deleted_names_the_finalizers_that_hold_it() -> None:
    metadata = {"name": "it", "deletionTimestamp": "now", "finalizers": ["example.org/hold"]}
    told = health.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert told.state is PROGRESSING and "example.org/hold" in told.reason


def test_a_rule_that_cannot_be_read_is_unknown() -> None:
    metadata = {"name": "it", "annotations": {"gitops.alma/health": "{"}}
    assert health.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}).state is HealthState.UNKNOWN
