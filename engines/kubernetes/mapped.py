"""compute, service, container, database, storage, volume and network on a cluster: each type's objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.blueprint.entry import Entry, ProbeKind
from controller.blueprint.names import did_you_mean, natural_name, shown
from controller.errors import Problem
from controller.plan.resource import Desired, Expanding, ObjectKey, ResourceId
from engines.kubernetes import observe
from engines.kubernetes.manifests import Manifest
from engines.kubernetes.objects import KIND, place_of
from engines.kubernetes.wanted import wanted
from engines.kubernetes.workload import Body, Workload, claim, network_policy
from engines.kubernetes.workload_specs import NetworkSpecs, StorageSpecs, Strict, WorkloadSpecs

Expanded = tuple[tuple[Desired, ...], tuple[Problem, ...]]
Model = TypeVar("Model", bound=Strict)
_NAME_MAX = 52  # what owns Pods adds to its name


class WorkloadKind:
    """compute, service and container as a Deployment, database as a StatefulSet."""

    outputs: frozenset[str] = observe.OUTPUTS

    def __init__(self, stateful: bool) -> None:
        self._stateful = stateful
        self.name = f"{KIND}StatefulSet.apps" if stateful else f"{KIND}Deployment.apps"

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """Of the Deployment or StatefulSet."""
        return ObjectKey(self.name, f"{_namespace(resource, scope)}/{_name(resource, scope)}")

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """The workload, its Service, configuration, secret values and Ingress; or the problems."""
        specs, problems = parsed(WorkloadSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        problems += self._problems(resource, specs)
        claims, needed = _named(resource, (m.claim for m in specs.volumes), "volumes", about, problems)
        networks, more = _named(resource, specs.networks, "networks", about, problems)
        if problems:
            return (), tuple(problems)
        workload = Workload(
            _name(resource, about.scope),
            specs,
            resource.name,
            self._stateful,
            resource.health,
            resource.lifecycle.update,
            claims,
            networks,
        )
        return expanded(resource, workload.bodies(), about, (*needed, *more))

    def _problems(self, entry: Entry, specs: WorkloadSpecs) -> Iterable[Problem]:
        if specs.storage and not self._stateful:
            text = "a Deployment's own storage goes with its Pod; add a storage resource and name it in volumes"
            yield entry.problem("specs.storage", text)
        if specs.storage and self._stateful and not specs.path:
            yield entry.problem("specs.path", "say where the storage is mounted: path: /var/lib/…")
        if specs.ingress and not specs.ports:
            yield entry.problem("specs.ingress", "there is no port it could lead to; write ports too")
        probe = entry.health
        if probe and probe.kind in (ProbeKind.HTTP, ProbeKind.TCP) and not probe.port and not specs.ports:
            yield entry.problem("health", f"{probe.kind} needs the port inside the container")

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return schema("workload", WorkloadSpecs)


class StorageKind:
    """storage and volume as a PersistentVolumeClaim."""

    name: str = f"{KIND}PersistentVolumeClaim"
    outputs: frozenset[str] = observe.OUTPUTS

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """Of the claim."""
        return ObjectKey(self.name, f"{_namespace(resource, scope)}/{_name(resource, scope)}")

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One claim, or the problems."""
        specs, problems = parsed(StorageSpecs, resource)
        if specs is not None and not (specs.size or specs.storage):
            problems.append(resource.problem("specs.size", "say how much: size: 10Gi"))
        if specs is None or problems:
            return (), tuple(problems)
        return expanded(resource, [claim(_name(resource, about.scope), specs)], about)

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return schema("storage", StorageSpecs)


class NetworkKind:
    """network as a NetworkPolicy."""

    name: str = f"{KIND}NetworkPolicy.networking.k8s.io"
    outputs: frozenset[str] = observe.OUTPUTS

    def key(self, resource: Entry, scope: str) -> ObjectKey:
        """Of the policy."""
        return ObjectKey(self.name, f"{_namespace(resource, scope)}/{_name(resource, scope)}")

    def expand(self, resource: Entry, about: Expanding) -> Expanded:
        """One policy, or the problems."""
        specs, problems = parsed(NetworkSpecs, resource)
        if specs is None:
            return (), tuple(problems)
        return expanded(resource, [network_policy(_name(resource, about.scope), specs)], about)

    def schema(self) -> Mapping[str, object]:
        """JSON Schema of `specs`."""
        return schema("network", NetworkSpecs)


def expanded(entry: Entry, bodies: Iterable[Body], about: Expanding, needs: tuple[str, ...] = ()) -> Expanded:
    """Bodies of one resource as wanted objects. The probe has become the Pod's, so the cluster's own word counts."""
    problems: list[Problem] = []
    found = [wanted(entry, Manifest(body, ""), about, problems) for body in bodies]
    if problems:
        return (), tuple(problems)
    probe = replace(entry.health, kind=ProbeKind.PLATFORM) if entry.health else None
    return tuple(replace(d, probe=probe, needs=needs) for d in found if d is not None), ()


def parsed(model: type[Model], entry: Entry) -> tuple[Model | None, list[Problem]]:
    """`entry.specs` as the model says, or every mistake at its place."""
    try:
        return model.model_validate(dict(entry.specs)), []
    except ValidationError as error:
        return None, [_problem(entry, model, dict(e)) for e in error.errors(include_url=False, include_input=False)]


def _problem(entry: Entry, model: type[Strict], error: Mapping[str, Any]) -> Problem:
    path = ".".join(["specs", *(str(p) for p in error["loc"])])
    if error["type"] == "extra_forbidden":
        wrong = str(error["loc"][-1])
        known = model.model_fields if len(error["loc"]) == 1 else ()
        return entry.problem(path, f"unknown key {shown(wrong, 80)}{did_you_mean(wrong, known)}")
    return entry.problem(path, str(error["msg"]).removeprefix("Value error, "))


def _named(
    entry: Entry, names: Iterable[str], at: str, about: Expanding, problems: list[Problem]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names of resources of this blueprint (or `blueprint/name`) → names on the cluster, and their ids."""
    found, needs = {}, []
    for name in names:
        key = about.names.get(name)
        if key is None:
            near = did_you_mean(name, about.names)
            problems.append(entry.problem(f"specs.{at}", f"there is no resource {shown(name, 80)}{near}"))
            continue
        found[name] = place_of(key)[1]
        blueprint, _, own = name.rpartition("/")
        needs.append(str(ResourceId(about.scope, blueprint or entry.blueprint, own)))
    return found, tuple(needs)


def _name(entry: Entry, scope: str) -> str:
    written = entry.specs.get("name")
    return written if isinstance(written, str) else natural_name(scope, entry.blueprint, entry.name, limit=_NAME_MAX)


def _namespace(entry: Entry, scope: str) -> str:
    """Where no namespace is written the policy's default may differ from the scope's name; the object's own key
    counts then, this one serves names within the blueprint."""
    written = entry.specs.get("namespace")
    return written if isinstance(written, str) else scope


def schema(title: str, model: type[Strict]) -> Mapping[str, object]:
    """Markers and short forms are wider than pydantic's types, so only the known keys are said exactly."""
    known = sorted(model.model_fields)
    return {"title": title, "type": "object", "additionalProperties": False, "properties": {k: {} for k in known}}
