"""The danger list of a cluster (D15): refused when it is planned and again on the body that is sent, unless the
server's policy names it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from controller.plan.resource import Allow
from engines.kubernetes import policy
from engines.kubernetes.policy import CLUSTER_KINDS
from tests.engines.kubernetes.driving import Body, deployment, entry, expand

Report = Callable[..., None]
_ROW = "D15 kubernetes danger"


def pod_with(**spec: Any) -> Body:
    body = copy.deepcopy(deployment("web"))
    body["spec"]["template"]["spec"].update(spec)
    return body


def container_with(**fields: Any) -> Body:
    body = copy.deepcopy(deployment("web"))
    body["spec"]["template"]["spec"]["containers"][0].update(fields)
    return body


def secured(**context: Any) -> Body:
    return container_with(securityContext=context)


def volume(**source: Any) -> Body:
    return pod_with(volumes=[{"name": "v", **source}])


def of(api_version: str, kind: str, name: str = "it", **rest: Any) -> Body:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


def meta(**metadata: Any) -> Body:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it", **metadata}}


def as_cron_job(body: Body) -> Body:
    return of("batch/v1", "CronJob", spec={"jobTemplate": {"spec": {"template": body["spec"]["template"]}}})


def as_pod(body: Body) -> Body:
    return of("v1", "Pod", spec=body["spec"]["template"]["spec"])


def as_custom(body: Body) -> Body:
    return {**body, "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}


_CLUSTER_WIDE = [of(f"{kind.partition('.')[2] or ''}/v1".lstrip("/"), kind.partition(".")[0]) for kind in CLUSTER_KINDS]
_POWER = [
    of("rbac.authorization.k8s.io/v1", "Role"),
    of("rbac.authorization.k8s.io/v1", "RoleBinding"),
    of("v1", "Endpoints"),
    of("discovery.k8s.io/v1", "EndpointSlice"),
    of("v1", "Binding"),
    of("v1", "Event"),
    of("apps/v1", "ControllerRevision"),
    of("coordination.k8s.io/v1", "Lease"),
    of("authorization.k8s.io/v1", "LocalSubjectAccessReview"),
]
_HOST = [
    pod_with(hostNetwork=True),
    pod_with(hostPID=True),
    pod_with(hostIPC=True),
    pod_with(nodeName="node-1"),
    pod_with(priorityClassName="system-node-critical"),
    pod_with(ephemeralContainers=[{"name": "x", "image": "x"}]),
    pod_with(automountServiceAccountToken=True),
    pod_with(serviceAccountName="admin"),
    pod_with(serviceAccount="admin"),
    pod_with(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    pod_with(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    pod_with(securityContext={"appArmorProfile": {"type": "Unconfined"}}),
    pod_with(securityContext={"windowsOptions": {"hostProcess": True}}),
    pod_with(securityContext={"seLinuxOptions": {"type": "spc_t"}}),
    pod_with(securityContext={"seLinuxOptions": {"user": "system_u"}}),
    secured(privileged=True),
    secured(allowPrivilegeEscalation=True),
    secured(procMount="Unmasked"),
    secured(capabilities={"add": ["SYS_ADMIN"]}),
    secured(capabilities={"add": ["cap_net_raw"]}),
    secured(capabilities={"add": ["ALL"]}),
    secured(seccompProfile={"type": "Unconfined"}),
    secured(seLinuxOptions={"role": "system_r"}),
    container_with(ports=[{"containerPort": 80, "hostPort": 80}]),
    container_with(livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}),
    container_with(readinessProbe={"tcpSocket": {"host": "10.0.0.1", "port": 80}}),
    container_with(lifecycle={"postStart": {"httpGet": {"host": "10.0.0.1", "port": 80}}}),
    container_with(volumeDevices=[{"name": "v", "devicePath": "/dev/x"}]),
    volume(hostPath={"path": "/"}),
    volume(hostPath={"path": "/var/run/docker.sock"}),
    volume(hostPath={"path": "/srv/media/../../etc"}),
    volume(nfs={"server": "10.0.0.1", "path": "/"}),
    volume(iscsi={"targetPortal": "10.0.0.1"}),
    volume(csi={"driver": "any"}),
    volume(flexVolume={"driver": "any"}),
    volume(gitRepo={"repository": "x"}),
    volume(awsElasticBlockStore={"volumeID": "x"}),
    volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
    {**(_init := copy.deepcopy(deployment("web")))},
]
_init["spec"]["template"]["spec"]["initContainers"] = [
    {"name": "i", "image": "x", "securityContext": {"privileged": True}}
]
_HOST[-1] = _init
_ELSEWHERE = [
    as_cron_job(pod_with(hostNetwork=True)),
    as_pod(pod_with(hostPID=True)),
    as_custom(secured(privileged=True)),
    as_cron_job(volume(hostPath={"path": "/etc"})),
]
_IDENTITY = [
    meta(namespace="kube-system"),
    meta(namespace="other"),
    {"apiVersion": "v1", "kind": "List", "items": [meta(namespace="other")]},
    {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "it", "namespace": "other"}}]},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "it-"}},
    meta(generateName="it-"),
    meta(name="../secrets/x"),
    meta(name="x?y"),
    meta(finalizers=["example.org/never"]),
    meta(ownerReferences=[{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]),
    meta(managedFields=[{"manager": "kubectl"}]),
    meta(uid="u"),
    meta(resourceVersion="1"),
    meta(deletionTimestamp="2026-01-01T00:00:00Z"),
    meta(annotations={"gitops.alma/scope": "other"}),
    meta(annotations={"gitops.alma/install": "other"}),
    meta(name="alma.home.prod", labels={"app.kubernetes.io/component": "inventory"}),
    {**meta(), "status": {"x": 1}},
]
_OTHERS = [
    of("v1", "Secret", type="kubernetes.io/service-account-token"),
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "admin"}},
    },
    of("v1", "Secret", stringData={"password": "in Git"}),
    of("v1", "Secret", data={"password": "aW4gR2l0"}),
    of("v1", "Service", spec={"externalIPs": ["1.2.3.4"]}),
    of("v1", "Service", spec={"type": "ExternalName", "externalName": "x.example"}),
    of("v1", "ServiceAccount", secrets=[{"name": "x"}]),
    of("v1", "PersistentVolumeClaim", spec={"volumeName": "theirs"}),
]
DANGERS = [*_CLUSTER_WIDE, *_POWER, *_HOST, *_ELSEWHERE, *_IDENTITY, *_OTHERS]


def test_everything_on_the_danger_list_is_refused_at_its_place(report_n: Report) -> None:
    for body in DANGERS:
        objects, problems = expand([entry("it", specs={"manifest": body})])
        assert problems and not objects, body
        assert all(p.place for p in problems)
    assert len(DANGERS) >= 70
    report_n(_ROW, len(DANGERS))


def test_it_is_refused_again_on_the_body_that_is_sent(report_n: Report) -> None:
    judged = [b for b in DANGERS if not str(b["kind"]).endswith("List") and not _is_literal_secret(b)]
    for body in judged:
        assert policy.judge({**body, "metadata": {"namespace": "prod", **body["metadata"]}}, Allow(), "prod") or (
            "namespace" in body["metadata"]
        ), body
    report_n(_ROW, len(judged))


def _is_literal_secret(body: Body) -> bool:
    return body["kind"] == "Secret" and bool(body.get("data") or body.get("stringData"))


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (of("v1", "Namespace", "prod"), {"kubernetes.kinds": ("Namespace",)}),
        (of("rbac.authorization.k8s.io/v1", "Role"), {"kubernetes.kinds": ("Role.*",)}),
        (pod_with(hostNetwork=True), {"kubernetes.pods": ("hostNetwork",)}),
        (secured(capabilities={"add": ["NET_ADMIN"]}), {"kubernetes.pods": ("capability:NET_ADMIN",)}),
        (volume(hostPath={"path": "/srv/media/films"}), {"kubernetes.host_paths": ("/srv/media:ro",)}),
        (meta(namespace="shop-eu"), {"kubernetes.namespaces": ("prod", "shop-*")}),
        (pod_with(serviceAccountName="reader"), {"kubernetes.pods": ("serviceAccount:reader",)}),
    ],
)
def test_policy_opens_one_thing_at_a_time(body: Body, options: dict[str, tuple[str, ...]]) -> None:
    assert expand([entry("it", specs={"manifest": body})])[1]
    assert not expand([entry("it", specs={"manifest": body})], Allow(options=options))[1]


def test_a_wildcard_never_opens_the_namespaces_of_the_cluster() -> None:
    body = meta(namespace="kube-system")
    _, problems = expand([entry("it", specs={"manifest": body})], Allow(options={"kubernetes.namespaces": ("*",)}))
    assert problems


def test_what_is_ordinary_is_not_refused() -> None:
    ordinary = [
        deployment("web"),
        volume(emptyDir={}),
        volume(configMap={"name": "c"}),
        secured(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, runAsNonRoot=True),
        pod_with(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
        of("v1", "Service", spec={"ports": [{"port": 80}]}),
        of("v1", "PersistentVolumeClaim", spec={"accessModes": ["ReadWriteOnce"]}),
    ]
    objects, problems = expand([entry(f"it{i}", specs={"manifest": b}) for i, b in enumerate(ordinary)])
    assert not problems and len(objects) == len(ordinary)
