"""How an object fares, told from the object alone, in the sense of kstatus. Pure.

Sources: sigs.k8s.io/cli-utils/pkg/kstatus for the general rules; the kinds' own status fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.plan.health import HEALTHY, Health, HealthState
from engines.kubernetes import marks
from engines.kubernetes.objects import Raw, group_kind

_HOPELESS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff",
                       "CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull"})  # fmt: skip


def of(found: Raw) -> Health:
    """Health of a live object."""
    metadata = found["metadata"]
    if metadata.get("deletionTimestamp"):
        held = ", ".join(metadata.get("finalizers") or ())
        return _progressing(f"is being deleted{f'; finalizers: {held}' if held else ''}")
    if rule := _own_rule(found):
        return rule
    status = found.get("status") or {}
    seen, wanted = status.get("observedGeneration"), metadata.get("generation")
    if seen is not None and wanted is not None and seen < wanted:
        return _progressing(f"generation {wanted} is not observed yet")
    known = _KINDS.get(group_kind(str(found.get("apiVersion")), str(found.get("kind"))))
    return known(found, status) if known else _by_conditions(status)


def pod_trouble(pods: Iterable[Raw]) -> str:
    """Why a container of these Pods does not run, or nothing: the first, by name of its Pod."""
    for pod in sorted(pods, key=lambda p: str(p["metadata"]["name"])):
        status = pod.get("status") or {}
        for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            waiting = (one.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _HOPELESS:
                told = f"{waiting['reason']} {waiting.get('message', '')}".strip()
                return f"{pod['metadata']['name']}: {one['name']}: {told}"
        if unscheduled := _condition(status, "PodScheduled", "False"):
            return f"{pod['metadata']['name']}: {unscheduled.get('message') or unscheduled.get('reason')}"
    return ""


def _own_rule(found: Raw) -> Health | None:
    """What the blueprint's `health_rules` says, kept on the object: the first rule whose value is reached counts."""
    text = (found["metadata"].get("annotations") or {}).get(marks.HEALTH)
    if not text:
        return None
    try:
        rule = json.loads(text)
        value = _at(found, str(rule["path"]))
        said = None if value is None else str(value)
        if said in rule.get("healthy", ()):
            return HEALTHY
        if said in rule.get("degraded", ()):
            return _degraded(f"{rule['path']} is {said}")
    except (KeyError, TypeError, ValueError):
        return Health(HealthState.UNKNOWN, "its health rule cannot be read")
    return _progressing(f"{rule['path']} is {said}")


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _by_conditions(status: Raw) -> Health:
    """Any object with conditions: Stalled, Failed and Reconciling count, then Ready or Available."""
    for bad in ("Stalled", "Failed"):
        if found := _condition(status, bad, "True"):
            return _degraded(_text(found))
    if found := _condition(status, "Reconciling", "True"):
        return _progressing(_text(found))
    for good in ("Ready", "Available"):
        if found := next((c for c in _conditions(status) if c.get("type") == good), None):
            return HEALTHY if found.get("status") == "True" else _progressing(_text(found))
    return HEALTHY


def _deployment(found: Raw, status: Raw) -> Health:
    if stuck := _condition(status, "Progressing", "False"):
        return _degraded(_text(stuck))
    if failed := _condition(status, "ReplicaFailure", "True"):
        return _progressing(_text(failed))
    wanted = found["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if status.get("observedGeneration") is None:
        return _progressing("not observed yet")
    if updated < wanted:
        return _progressing(f"{updated} of {wanted} replicas are updated")
    if total > updated:
        return _progressing(f"{total - updated} old replicas are still there")
    if available < updated:
        return _progressing(f"{available} of {updated} replicas are available")
    return _suspended(found) or HEALTHY


def _suspended(found: Raw) -> Health | None:
    return Health(HealthState.SUSPENDED, "paused") if found["spec"].get("paused") else None


def _stateful_set(found: Raw, status: Raw) -> Health:
    spec = found["spec"]
    wanted = spec.get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return HEALTHY if ready >= wanted else _progressing(f"{ready} of {wanted} replicas are ready")
    kept = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0)
    if status.get("observedGeneration") is None or ready < wanted:
        return _progressing(f"{ready} of {wanted} replicas are ready")
    if updated < wanted - kept:
        return _progressing(f"{updated} of {wanted - kept} replicas are updated")
    if not kept and status.get("currentRevision") != status.get("updateRevision"):
        return _progressing("the new revision is not everywhere yet")
    return HEALTHY


def _daemon_set(found: Raw, status: Raw) -> Health:
    if status.get("observedGeneration") is None:
        return _progressing("not observed yet")
    wanted = status.get("desiredNumberScheduled", 0)
    for name, word in (("updatedNumberScheduled", "updated"), ("numberAvailable", "available")):
        if status.get(name, 0) < wanted:
            return _progressing(f"{status.get(name, 0)} of {wanted} Pods are {word}")
    return HEALTHY


def _replica_set(found: Raw, status: Raw) -> Health:
    wanted = found["spec"].get("replicas", 1)
    ready = status.get("availableReplicas", 0)
    return HEALTHY if ready >= wanted else _progressing(f"{ready} of {wanted} replicas are available")


def _job(found: Raw, status: Raw) -> Health:
    if failed := _condition(status, "Failed", "True"):
        return _degraded(_text(failed))
    if _condition(status, "Complete", "True"):
        return HEALTHY
    if found["spec"].get("suspend"):
        return Health(HealthState.SUSPENDED, "suspended")
    return _progressing(f"{status.get('succeeded', 0)} of {found['spec'].get('completions', 1)} have succeeded")


def _cron_job(found: Raw, status: Raw) -> Health:
    return Health(HealthState.SUSPENDED, "suspended") if found["spec"].get("suspend") else HEALTHY


def _claim(found: Raw, status: Raw) -> Health:
    phase = status.get("phase", "Pending")
    if phase == "Lost":
        return _degraded("its volume is lost")
    return HEALTHY if phase == "Bound" else _progressing(f"phase {phase}")


def _ingress(found: Raw, status: Raw) -> Health:
    return HEALTHY  # whether an address comes depends on a controller that need not write one (kstatus: current)


def _service(found: Raw, status: Raw) -> Health:
    if found["spec"].get("type") != "LoadBalancer" or (status.get("loadBalancer") or {}).get("ingress"):
        return HEALTHY
    return _progressing("no address of the load balancer yet")


def _pod(found: Raw, status: Raw) -> Health:
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        return _degraded(str(status.get("message") or status.get("reason") or "failed"))
    if trouble := pod_trouble([found]):
        return _degraded(trouble) if "CrashLoopBackOff" in trouble else _progressing(trouble)
    if phase == "Running" and _condition(status, "Ready", "True"):
        return HEALTHY
    return _progressing(f"phase {phase}")


def _definition(found: Raw, status: Raw) -> Health:
    if refused := _condition(status, "NamesAccepted", "False"):
        return _degraded(_text(refused))
    return HEALTHY if _condition(status, "Established", "True") else _progressing("not established yet")


def _autoscaler(found: Raw, status: Raw) -> Health:
    if broken := _condition(status, "AbleToScale", "False"):
        return _degraded(_text(broken))
    if idle := _condition(status, "ScalingActive", "False"):
        return HEALTHY if idle.get("reason") == "ScalingDisabled" else _progressing(_text(idle))
    return HEALTHY


def _budget(found: Raw, status: Raw) -> Health:
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return HEALTHY if healthy >= wanted else _progressing(f"{healthy} of {wanted} Pods are healthy")


def _namespace(found: Raw, status: Raw) -> Health:
    return HEALTHY if status.get("phase", "Active") == "Active" else _progressing(f"phase {status.get('phase')}")


_KINDS: Mapping[str, Callable[[Raw, Raw], Health]] = {
    "CronJob.batch": _cron_job,
    "CustomResourceDefinition.apiextensions.k8s.io": _definition,
    "DaemonSet.apps": _daemon_set,
    "Deployment.apps": _deployment,
    "HorizontalPodAutoscaler.autoscaling": _autoscaler,
    "Ingress.networking.k8s.io": _ingress,
    "Job.batch": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "PodDisruptionBudget.policy": _budget,
    "ReplicaSet.apps": _replica_set,
    "Service": _service,
    "StatefulSet.apps": _stateful_set,
}


def _conditions(status: Raw) -> list[Raw]:
    listed = status.get("conditions")
    return [c for c in listed if isinstance(c, Mapping)] if isinstance(listed, list) else []


def _condition(status: Raw, type_: str, value: str) -> Raw | None:
    return next((c for c in _conditions(status) if c.get("type") == type_ and c.get("status") == value), None)


def _text(condition: Raw) -> str:
    return str(condition.get("message") or condition.get("reason") or condition.get("type"))


def _progressing(reason: str) -> Health:
    return Health(HealthState.PROGRESSING, reason)


def _degraded(reason: str) -> Health:
    return Health(HealthState.DEGRADED, reason)
