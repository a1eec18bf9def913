"""How hard a change of a Kubernetes object is on users (design.md 2). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.blueprint.entry import Disruption
from controller.blueprint.value import Value
from controller.plan.resource import ObjectKey
from controller.plan.step import FieldChange
from engines.kubernetes.objects import kind_of

_RUNS_PODS = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps"})
_TEMPLATE = "spec.template."
_HOLDS_OTHERS = frozenset({"Namespace", "CustomResourceDefinition.apiextensions.k8s.io"})
_HOLDS_DATA = _HOLDS_OTHERS | {"PersistentVolumeClaim", "PersistentVolume"}
# What others stand on goes last; a kind that is not here goes first.
_DELETED_AFTER: Mapping[str, int] = {
    "Service": 1,
    "ConfigMap": 2,
    "Secret": 2,
    "ServiceAccount": 2,
    "PersistentVolumeClaim": 3,
    "CustomResourceDefinition.apiextensions.k8s.io": 4,
    "Namespace": 5,
}


def of_update(key: ObjectKey, changes: Sequence[FieldChange]) -> Disruption:
    """A new Pod template starts every Pod again; fewer Pods than before end some; the rest is noticed by nobody."""
    if not changes:
        return Disruption.NONE
    if kind_of(key) in _RUNS_PODS and any(_restarts(c) for c in changes):
        return Disruption.RESTART
    return Disruption.IN_PLACE


def _restarts(change: FieldChange) -> bool:
    if change.path == "spec.replicas":
        return _count(change.after) < _count(change.before)
    return change.path.startswith(_TEMPLATE)


def _count(value: Value) -> int:
    return value if isinstance(value, int) else 1


def of_loss(key: ObjectKey) -> Disruption:
    """Of an object that goes, for good or to be made again."""
    return Disruption.DATA_LOSS if kind_of(key) in _HOLDS_DATA else Disruption.RECREATE


def holds_others(key: ObjectKey) -> bool:
    """True for what takes objects along that nobody listed: all in a namespace, all of a kind."""
    return kind_of(key) in _HOLDS_OTHERS


def order_of_deletion(key: ObjectKey) -> int:
    """Lower goes first where no dependency is known."""
    return _DELETED_AFTER.get(kind_of(key), 0)
