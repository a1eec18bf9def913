"""The mapped types → manifests: Deployment or StatefulSet, Service, ConfigMap, Secret, Ingress, claims, NetworkPolicy.

Every Pod keeps to Pod Security `restricted` and bears no token of its service account unless one is named. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller.blueprint.entry import Probe, ProbeKind, UpdateOrder
from controller.blueprint.value import Secret, Value, markers
from engines.kubernetes.workload_specs import Mount, NetworkSpecs, Port, StorageSpecs, WorkloadSpecs

Body = dict[str, Value]
INSTANCE = "app.kubernetes.io/instance"
NETWORK = "network.gitops.alma/"  # label prefix: a Pod's membership
_DATA = "data"
_UNITS = (("Ti", 1024**4), ("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024))


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload to be written as objects. `claims` maps the names in `volumes` to claims on the cluster."""

    name: str
    specs: WorkloadSpecs
    resource: str
    stateful: bool = False
    probe: Probe | None = None
    update: UpdateOrder | None = None
    claims: Mapping[str, str] | None = None
    networks: Mapping[str, str] | None = None

    def bodies(self) -> Iterator[Body]:
        """Main object first."""
        yield self._main()
        if self.specs.ports or self.stateful:
            yield self._service()
        plain, secret = self._files()
        if plain:
            yield _object("v1", "ConfigMap", f"{self.name}-files", data=plain)
        values = {**self._secret_env(), **secret}
        if values:
            yield _object("v1", "Secret", self.name, type="Opaque", stringData=values)
        if self.specs.ingress:
            yield self._ingress()

    def _main(self) -> Body:
        spec: Body = {
            "replicas": self.specs.replicas,
            "selector": {"matchLabels": {INSTANCE: self.name}},
            "template": {"metadata": {"labels": self._labels()}, "spec": self._pod()},
        }
        if self.stateful:
            spec["serviceName"] = self.name
            if self.specs.storage:
                claim = claim_spec(self.specs.storage, "ReadWriteOnce", self.specs.storage_class)
                spec["volumeClaimTemplates"] = [{"metadata": {"name": _DATA}, "spec": claim}]
            return _object("apps/v1", "StatefulSet", self.name, spec=spec)
        if self.update is UpdateOrder.STOP_FIRST or (self.update is None and self._writes()):
            spec["strategy"] = {"type": "Recreate"}
        return _object("apps/v1", "Deployment", self.name, spec=spec)

    def _writes(self) -> bool:
        """Two that write one claim must not run at once."""
        return any(not m.read_only for m in self.specs.volumes)

    def _labels(self) -> Body:
        member = {f"{NETWORK}{n}": "member" for n in (self.networks or {}).values()}
        return {**self.specs.labels, **member, INSTANCE: self.name, "app.kubernetes.io/name": self.resource}

    def _pod(self) -> Body:
        specs = self.specs
        context: Body = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        if specs.user is not None:
            context |= {"runAsUser": specs.user, "fsGroup": specs.user}
        pod: Body = {
            "automountServiceAccountToken": specs.service_account is not None,
            "securityContext": context,
            "containers": [self._container()],
        }
        if specs.service_account:
            pod["serviceAccountName"] = specs.service_account
        if volumes := self._volumes():
            pod["volumes"] = volumes
        return pod

    def _container(self) -> Body:
        specs = self.specs
        one: Body = {
            "name": "main",
            "image": specs.image,
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                **({"readOnlyRootFilesystem": True} if specs.read_only else {}),
            },
        }
        # A Docker entrypoint is Kubernetes' command, a Docker command its args.
        for key, words in (("command", specs.entrypoint), ("args", specs.command)):
            if words:
                one[key] = list(words)
        if specs.env:
            one["env"] = [self._variable(k, v) for k, v in sorted(specs.env.items())]
        if specs.ports:
            one["ports"] = [{"containerPort": p.inner, "protocol": p.protocol} for p in specs.ports]
        if resources := _resources(specs):
            one["resources"] = resources
        if mounts := self._mounts():
            one["volumeMounts"] = mounts
        if probe := _probe(self.probe, specs):
            one["readinessProbe"] = probe
        return one

    def _variable(self, name: str, value: Value) -> Body:
        if _is_secret(value):
            return {"name": name, "valueFrom": {"secretKeyRef": {"name": self.name, "key": name}}}
        return {"name": name, "value": value}

    def _secret_env(self) -> Body:
        return {k: v for k, v in self.specs.env.items() if _is_secret(v)}

    def _files(self) -> tuple[Body, Body]:
        """Contents by key: what may be read by everyone, and what is secret."""
        listed = {file_key(path): value for path, value in sorted(self.specs.files.items())}
        secret = {k: v for k, v in listed.items() if _is_secret(v)}
        return {k: v for k, v in listed.items() if k not in secret}, secret

    def _mounts(self) -> list[Body]:
        found: list[Body] = []
        if self.stateful and self.specs.storage:
            found.append({"name": _DATA, "mountPath": self.specs.path})
        for mount in self.specs.volumes:
            more: Body = {"readOnly": True} if mount.read_only else {}
            found.append({"name": _volume(mount), "mountPath": mount.path, **more})
        for path, value in sorted(self.specs.files.items()):
            name = "secret-files" if _is_secret(value) else "files"
            found.append({"name": name, "mountPath": path, "subPath": file_key(path), "readOnly": True})
        return found

    def _volumes(self) -> list[Body]:
        claims = self.claims or {}
        found: list[Body] = [
            {"name": _volume(m), "persistentVolumeClaim": {"claimName": claims.get(m.claim, m.claim)}}
            for m in {_volume(m): m for m in self.specs.volumes}.values()
        ]
        plain, secret = self._files()
        if plain:
            found.append({"name": "files", "configMap": {"name": f"{self.name}-files"}})
        if secret:
            found.append({"name": "secret-files", "secret": {"secretName": self.name}})
        return found

    def _service(self) -> Body:
        specs = self.specs
        spec: Body = {"selector": {INSTANCE: self.name}}
        if specs.ports:
            spec["ports"] = [
                {
                    "name": f"{p.protocol.lower()}-{p.port}",
                    "port": p.port,
                    "targetPort": p.inner,
                    "protocol": p.protocol,
                }
                for p in specs.ports
            ]
        if specs.service_type != "ClusterIP":
            spec["type"] = specs.service_type
        elif self.stateful:
            spec["clusterIP"] = "None"
        return _object("v1", "Service", self.name, spec=spec)

    def _ingress(self) -> Body:
        ingress = self.specs.ingress
        assert ingress is not None
        backend = {"service": {"name": self.name, "port": {"number": self.specs.ports[0].port}}}
        path = {"path": ingress.path, "pathType": "Prefix", "backend": backend}
        spec: Body = {"rules": [{"host": ingress.host, "http": {"paths": [path]}}]}
        if ingress.ingress_class:
            spec["ingressClassName"] = ingress.ingress_class
        if ingress.tls_secret:
            spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret}]
        return _object("networking.k8s.io/v1", "Ingress", self.name, spec=spec)


def claim(name: str, specs: StorageSpecs) -> Body:
    """A PersistentVolumeClaim."""
    size = specs.size or specs.storage
    assert size is not None, "expand has asked for it"
    spec = claim_spec(size, specs.access, specs.storage_class)
    return _object("v1", "PersistentVolumeClaim", name, spec=spec)


def claim_spec(size_bytes: int, access: str, storage_class: str | None) -> Body:
    """The spec of a claim, its own or in a template."""
    more: Body = {"storageClassName": storage_class} if storage_class else {}
    return {"accessModes": [access], "resources": {"requests": {"storage": quantity(size_bytes)}}, **more}


def network_policy(name: str, specs: NetworkSpecs) -> Body:
    """Members reach each other and are reached from `allow_from`; `internal` members reach nobody else but the DNS."""
    members: Body = {"matchLabels": {f"{NETWORK}{name}": "member"}}
    sources: list[Value] = [{"podSelector": members}]
    sources += [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place}}} for place in specs.allow_from
    ]
    spec: Body = {"podSelector": members, "policyTypes": ["Ingress"], "ingress": [{"from": sources}]}
    if specs.internal:
        dns = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
        spec |= {"policyTypes": ["Ingress", "Egress"], "egress": [{"to": [{"podSelector": members}]}, {"ports": dns}]}
    return _object("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


def quantity(size_bytes: int) -> str:
    """Bytes as the server writes them back: `512Mi`."""
    for suffix, unit in _UNITS:
        if size_bytes % unit == 0:
            return f"{size_bytes // unit}{suffix}"
    return str(size_bytes)


def cores(millicores: int) -> str:
    """Thousandths of a CPU as the server writes them back: `500m`, `2`."""
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def file_key(path: str) -> str:
    """The key a file's content has in its ConfigMap or Secret."""
    return f"{path.rpartition('/')[2][:60]}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _port_name(port: Port) -> str:
    return f"{port.protocol.lower()}-{port.port}"


def _volume(mount: Mount) -> str:
    return f"claim-{mount.claim.replace('/', '-')}"[:63]


def _resources(specs: WorkloadSpecs) -> Body:
    """Memory is requested and limited alike; a CPU is requested only, because a limit slows what is there unused."""
    requests: Body = {}
    if specs.cpu:
        requests["cpu"] = cores(specs.cpu)
    if specs.memory:
        requests["memory"] = quantity(specs.memory)
    limits: Body = {"limits": {"memory": quantity(specs.memory)}} if specs.memory else {}
    return {"requests": requests, **limits} if requests else {}


def _probe(probe: Probe | None, specs: WorkloadSpecs) -> Body | None:
    port = probe.port if probe and probe.port else specs.ports[0].inner if specs.ports else None
    if probe is None or probe.kind in (ProbeKind.PLATFORM, ProbeKind.RUNNING):
        return None
    if probe.kind is ProbeKind.EXEC:
        return {"exec": {"command": list(probe.command)}}
    if probe.kind is ProbeKind.TCP:
        return {"tcpSocket": {"port": port}}
    return {"httpGet": {"path": probe.path, "port": port}}


def _is_secret(value: Value) -> bool:
    return any(isinstance(m, Secret) for m in markers(value))


def _object(api_version: str, kind: str, name: str, **rest: Any) -> Body:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}
