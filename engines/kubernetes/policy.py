"""What a blueprint may not ask of a cluster unless the server's policy allows it (I38). Judged when it is planned, and
again on the filled body right before it is sent. Pure.

The server's `allow.NAME.kubernetes` opens things one by one:
`namespaces` (patterns; the first without a wildcard is the default, without any: the one named like the scope),
`kinds` (patterns such as `Namespace`, `ClusterRole.*`, `*.cert-manager.io`), `host_paths` (`/srv/media:ro`),
`pods` (`hostNetwork`, `privileged`, `capability:NET_ADMIN`, `sysctl:net.core.somaxconn`, `serviceAccountToken`, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from controller.blueprint.names import shown
from controller.blueprint.value import Value
from controller.plan.resource import Allow
from engines.kubernetes import marks
from engines.kubernetes.objects import group_kind
from engines.kubernetes.settings import Settings

Refusal = tuple[str, str]  # path in the manifest, why
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]{0,251}[a-z0-9])?")
_KEPT_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
# Built-in kinds without a namespace. Others are found out from the cluster, and then need the same permission.
CLUSTER_KINDS = frozenset(
    {
        "APIService.apiregistration.k8s.io",
        "CertificateSigningRequest.certificates.k8s.io",
        "ClusterRole.rbac.authorization.k8s.io",
        "ClusterRoleBinding.rbac.authorization.k8s.io",
        "ClusterTrustBundle.certificates.k8s.io",
        "ComponentStatus",
        "CSIDriver.storage.k8s.io",
        "CSINode.storage.k8s.io",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "DeviceClass.resource.k8s.io",
        "FlowSchema.flowcontrol.apiserver.k8s.io",
        "IngressClass.networking.k8s.io",
        "IPAddress.networking.k8s.io",
        "MutatingAdmissionPolicy.admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "MutatingWebhookConfiguration.admissionregistration.k8s.io",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass.scheduling.k8s.io",
        "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
        "ResourceSlice.resource.k8s.io",
        "RuntimeClass.node.k8s.io",
        "SelfSubjectAccessReview.authorization.k8s.io",
        "SelfSubjectReview.authentication.k8s.io",
        "SelfSubjectRulesReview.authorization.k8s.io",
        "ServiceCIDR.networking.k8s.io",
        "StorageClass.storage.k8s.io",
        "StorageVersionMigration.storagemigration.k8s.io",
        "SubjectAccessReview.authorization.k8s.io",
        "TokenReview.authentication.k8s.io",
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        "VolumeAttachment.storage.k8s.io",
        "VolumeAttributesClass.storage.k8s.io",
    }
)
# Namespaced kinds that give rights, or send somebody else's traffic elsewhere.
_GIVES_POWER: Mapping[str, str] = {
    "Role.rbac.authorization.k8s.io": "gives rights",
    "RoleBinding.rbac.authorization.k8s.io": "gives rights",
    "LocalSubjectAccessReview.authorization.k8s.io": "asks for others' rights",
    "Endpoints": "can send a Service's traffic anywhere",
    "EndpointSlice.discovery.k8s.io": "can send a Service's traffic anywhere",
    "Binding": "puts Pods on nodes past the scheduler",
    "Event": "is written by the cluster",
    "Event.events.k8s.io": "is written by the cluster",
    "ControllerRevision.apps": "is written by the cluster",
    "PodTemplate": "runs nothing by itself",
    "Lease.coordination.k8s.io": "can take a controller's leadership",
}
_SAFE_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SAFE_VOLUMES = frozenset(
    {"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}
)
_POD_AT: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob.batch": ("spec", "jobTemplate", "spec", "template"),
}
_RIGHTS = "gives the Pod rights on the cluster"
_ESCALATES = "allowPrivilegeEscalation"
_SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secret


def namespaces(scope: str, allow: Allow) -> tuple[str, ...]:
    """Patterns of the namespaces a scope may use."""
    return allow.option("kubernetes.namespaces") or (scope,)


def default_namespace(scope: str, allow: Allow) -> str:
    """Where a manifest goes that names no namespace."""
    return next((n for n in namespaces(scope, allow) if not set(n) & set("*?[")), scope)


def namespace_allowed(namespace: str, scope: str, allow: Allow) -> bool:
    """A wildcard never reaches the cluster's own namespaces: they must be named."""
    patterns = namespaces(scope, allow)
    if namespace in _KEPT_NAMESPACES:
        return namespace in patterns
    return any(fnmatchcase(namespace, p) for p in patterns)


def kind_allowed(kind: str, allow: Allow) -> bool:
    """True if policy names the kind."""
    return any(fnmatchcase(kind, p) for p in allow.option("kubernetes.kinds"))


def fenced(body: Mapping[str, Value], settings: Settings) -> list[Refusal]:
    """What lies outside the namespaces that the target itself is limited to."""
    metadata = body.get("metadata")
    place = str(metadata.get("namespace") or "") if isinstance(metadata, Mapping) else ""
    if not settings.namespaces or (place and settings.may_touch(place)):
        return []
    what = f"namespace {place}" if place else "what has no namespace"
    return [("metadata.namespace", f"this target may not touch {what} (targets.NAME.namespaces)")]


def judge(body: Mapping[str, Any], allow: Allow, scope: str) -> list[Refusal]:
    """Everything in a manifest that needs a permission it does not have."""
    kind = group_kind(str(body.get("apiVersion")), str(body.get("kind")))
    found = [*_identity(body, kind, allow, scope), *_metadata(body), *_of_kind(body, kind, allow)]
    pod = _pod(body, kind)
    if pod is not None:
        path, spec = pod
        found += _pod_spec(path, spec, allow)
    return found


def _identity(body: Mapping[str, Any], kind: str, allow: Allow, scope: str) -> Iterator[Refusal]:
    metadata = _map(body.get("metadata"))
    if "generateName" in metadata:
        yield "metadata.generateName", "the cluster would choose the name, so nobody could find it again; write a name"
    name = str(metadata.get("name") or "")
    if not _NAME.fullmatch(name):
        yield "metadata.name", f"{shown(name, 80) or 'nothing'} is no name of an object"
    if kind in CLUSTER_KINDS and not kind_allowed(kind, allow):
        yield "kind", f"{kind} concerns the whole cluster; the server's allow.kubernetes.kinds must name it"
    elif kind in _GIVES_POWER and not kind_allowed(kind, allow):
        yield "kind", f"{kind} {_GIVES_POWER[kind]}; the server's allow.kubernetes.kinds must name it"
    namespace = str(metadata.get("namespace") or "")
    if namespace and not namespace_allowed(namespace, scope, allow):
        yield (
            "metadata.namespace",
            f"namespace {shown(namespace, 80)} is not this scope's (allow.kubernetes.namespaces)",
        )
    if kind == "Namespace" and not namespace_allowed(name, scope, allow):
        yield "metadata.name", _elsewhere(name)


def _elsewhere(namespace: str) -> str:
    return f"namespace {shown(namespace, 80)} is not this scope's (allow.kubernetes.namespaces)"


def _metadata(body: Mapping[str, Any]) -> Iterator[Refusal]:
    metadata = _map(body.get("metadata"))
    for field in ("ownerReferences", "finalizers", "managedFields", "uid", "resourceVersion", "deletionTimestamp"):
        if metadata.get(field):
            yield f"metadata.{field}", "is written by the cluster and its controllers, not by a blueprint"
    for name in _map(metadata.get("annotations")):
        if name.startswith(marks.PREFIX) and name != marks.HEALTH:
            yield f"metadata.annotations.{name}", "marks are written by alma alone"
    if _map(metadata.get("labels")).get("app.kubernetes.io/component") == "inventory" and (
        body.get("kind") == "ConfigMap" and str(metadata.get("name")).startswith("alma.")
    ):
        yield "metadata.name", "this is where alma keeps its own records (I49)"
    if body.get("status"):
        yield "status", "is written by the cluster"


def _of_kind(body: Mapping[str, Any], kind: str, allow: Allow) -> Iterator[Refusal]:
    spec = _map(body.get("spec"))
    if kind == "Secret":
        annotations = _map(_map(body.get("metadata")).get("annotations"))
        if body.get("type") == _SERVICE_ACCOUNT_TOKEN or "kubernetes.io/service-account.name" in annotations:
            yield "type", "would make a token of a service account that never ends"
    if kind == "Service":
        if spec.get("externalIPs"):
            yield "spec.externalIPs", "could take the traffic of any address"
        if spec.get("type") == "ExternalName" and not kind_allowed("Service:ExternalName", allow):
            yield (
                "spec.type",
                "ExternalName sends callers out of the cluster; allow.kubernetes.kinds: Service:ExternalName",
            )
    if kind == "ServiceAccount" and body.get("secrets"):
        yield "secrets", "would give Pods tokens that never end"
    if kind == "PersistentVolumeClaim" and spec.get("volumeName"):
        yield "spec.volumeName", "would bind a volume by name, whoever's data are on it"


def _pod(body: Mapping[str, Any], kind: str) -> tuple[str, Mapping[str, Any]] | None:
    """Where a kind holds a Pod's spec: any kind with `spec.template.spec.containers`, custom ones too."""
    path = _POD_AT.get(kind, ("spec", "template"))
    found: Any = body
    for part in (*path, "spec"):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping) or not (kind == "Pod" or "containers" in found):
        return None
    return ".".join((*path, "spec")), found


def _pod_spec(path: str, spec: Mapping[str, Any], allow: Allow) -> Iterator[Refusal]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field) and not _opened(field, allow):
            yield f"{path}.{field}", _needs(field, "shares the node's")
    if spec.get("ephemeralContainers"):
        yield f"{path}.ephemeralContainers", "are for debugging a Pod that runs, not for a blueprint"
    if spec.get("nodeName") and not _opened("nodeName", allow):
        yield f"{path}.nodeName", _needs("nodeName", "goes past the scheduler and its rules")
    if str(spec.get("priorityClassName") or "").startswith("system-"):
        yield f"{path}.priorityClassName", "is for the cluster's own Pods"
    if spec.get("automountServiceAccountToken") and not _opened("serviceAccountToken", allow):
        yield (
            f"{path}.automountServiceAccountToken",
            _needs("serviceAccountToken", _RIGHTS),
        )
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account and account != "default" and not _opened(f"serviceAccount:{account}", allow):
        yield f"{path}.serviceAccountName", _needs(f"serviceAccount:{account}", "runs with that account's rights")
    yield from _security(f"{path}.securityContext", _map(spec.get("securityContext")), allow)
    for i, volume in enumerate(_list(spec.get("volumes"))):
        yield from _volume(f"{path}.volumes.{volume.get('name', i)}", volume, allow)
    for group in ("initContainers", "containers"):
        for i, one in enumerate(_list(spec.get(group))):
            yield from _container(f"{path}.{group}.{one.get('name', i)}", one, allow)


def _container(path: str, one: Mapping[str, Any], allow: Allow) -> Iterator[Refusal]:
    context = _map(one.get("securityContext"))
    if context.get("privileged") and not _opened("privileged", allow):
        yield f"{path}.securityContext.privileged", _needs("privileged", "is root on the node")
    if context.get("allowPrivilegeEscalation") and not _opened("allowPrivilegeEscalation", allow):
        yield (
            f"{path}.securityContext.allowPrivilegeEscalation",
            _needs("allowPrivilegeEscalation", "lets it gain rights"),
        )
    if str(context.get("procMount") or "Default") != "Default":
        yield f"{path}.securityContext.procMount", "shows the node's processes"
    for name in _list_of_text(_map(context.get("capabilities")).get("add")):
        bare = name.upper().removeprefix("CAP_")
        if bare not in _SAFE_CAPABILITIES and not _opened(f"capability:{bare}", allow):
            yield f"{path}.securityContext.capabilities.add", _needs(f"capability:{bare}", "is a right of root")
    yield from _security(f"{path}.securityContext", context, allow)
    for port in _list(one.get("ports")):
        if port.get("hostPort") and not _opened(f"hostPort:{port['hostPort']}", allow):
            yield f"{path}.ports.hostPort", _needs(f"hostPort:{port['hostPort']}", "takes a port of the node")
    hooks = {h: one.get(h) for h in ("livenessProbe", "readinessProbe", "startupProbe")}
    for hook, action in {**hooks, **_map(one.get("lifecycle"))}.items():
        if any(_map(_map(action).get(way)).get("host") for way in ("httpGet", "tcpSocket")):
            yield f"{path}.{hook}.host", "makes the node call another host"
    if one.get("volumeDevices") and not _opened("volumeDevices", allow):
        yield f"{path}.volumeDevices", _needs("volumeDevices", "gives a raw block device")


def _security(path: str, context: Mapping[str, Any], allow: Allow) -> Iterator[Refusal]:
    for field in ("seccompProfile", "appArmorProfile"):
        if _map(context.get(field)).get("type") == "Unconfined" and not _opened(f"{field}:Unconfined", allow):
            yield f"{path}.{field}", _needs(f"{field}:Unconfined", "takes the node's guard away")
    if _map(context.get("windowsOptions")).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess", "runs on the node itself"
    selinux = _map(context.get("seLinuxOptions"))
    plain = selinux.get("type") in (
        None,
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    )
    if not plain or selinux.get("user") or selinux.get("role"):
        yield f"{path}.seLinuxOptions", "takes the node's guard away"
    for one in _list(context.get("sysctls")):
        name = str(one.get("name"))
        if name not in _SAFE_SYSCTLS and not _opened(f"sysctl:{name}", allow):
            yield f"{path}.sysctls.{name}", _needs(f"sysctl:{name}", "reaches other Pods of the node")


def _volume(path: str, volume: Mapping[str, Any], allow: Allow) -> Iterator[Refusal]:
    for source, about in volume.items():
        if source == "name":
            continue
        if source == "hostPath":
            where = str(_map(about).get("path"))
            if not _path_allowed(where, allow):
                yield f"{path}.hostPath", f"host path {shown(where, 200)} is not allowed (allow.kubernetes.host_paths)"
        elif source not in _SAFE_VOLUMES and not _opened(f"volume:{source}", allow):
            yield f"{path}.{source}", _needs(f"volume:{source}", "reaches storage past the cluster's claims")
        elif source == "projected":
            tokens = [s for s in _list(_map(about).get("sources")) if "serviceAccountToken" in s]
            if tokens and not _opened("serviceAccountToken", allow):
                yield f"{path}.projected", _needs("serviceAccountToken", _RIGHTS)


def _path_allowed(path: str, allow: Allow) -> bool:
    if not path.startswith("/") or ".." in path.split("/"):
        return False
    roots = [p.partition(":")[0].rstrip("/") for p in allow.option("kubernetes.host_paths")]
    return any(path == root or path.startswith(f"{root}/") for root in roots if root)


def _opened(option: str, allow: Allow) -> bool:
    return any(fnmatchcase(option, p) for p in allow.option("kubernetes.pods"))


def _needs(option: str, what: str) -> str:
    return f"{what}; the server's allow.kubernetes.pods must name {shown(option, 80)}"


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _list_of_text(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else []
