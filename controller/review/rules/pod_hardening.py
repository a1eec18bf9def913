"""Rules of the NSA's and CISA's guide and of scanners about pods: tokens, secrets, images, namespaces."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Manifest, at, mapping, maps_at
from controller.review.rules.controls import ACCESS, CHANGE, IDENTITY, SECRETS, SUPPLY
from controller.review.rules.manifest_samples import deployment, made, pod, secured
from controller.review.rules.pod_baseline import contexts
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

_NSA = "NSA/CISA Kubernetes Hardening Guide 1.2"
_SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "podman.sock")


@manifest_rule(
    "pod-token-mounted",
    Severity.LOW,
    Reason.IDENTITY,
    "Cluster token in every container",
    why="Whoever breaks in may ask the API server as this pod; few programs need that.",
    source=f"{_NSA}, Protecting Pod service account tokens; CIS Kubernetes 1.9, 5.1.6",
    controls=IDENTITY,
    bad=pod(),
    good=pod(automountServiceAccountToken=False),
)
def pod_token_mounted(m: Manifest) -> Iterator[Hit]:
    named = m.pod.get("serviceAccountName") not in (None, "default")
    if m.pod and not named and m.pod.get("automountServiceAccountToken") is not False:
        path = f"{m.pod_path}.automountServiceAccountToken"
        yield told(m, path, "mounts the token of the default account", "automountServiceAccountToken: false")


@manifest_rule(
    "pod-runtime-socket",
    Severity.CRITICAL,
    Reason.PRIVILEGE,
    "Container runtime socket in a pod",
    why="Who can write to the socket can start a privileged container: it is root on the node.",
    source=f"{_NSA}, Kubernetes Pod security; CIS Docker 1.6.0, 5.32",
    controls=ACCESS,
    bad=pod(volumes=[{"name": "d", "hostPath": {"path": "/var/run/docker.sock"}}]),
    good=pod(volumes=[{"name": "d", "emptyDir": {}}]),
)
def pod_runtime_socket(m: Manifest) -> Iterator[Hit]:
    for path, volume in maps_at(m.body, f"{m.pod_path}.volumes" if m.pod_path else "volumes"):
        where = str(at(volume, "hostPath.path") or "")
        if where.endswith(_SOCKETS):
            yield told(m, path, f"mounts the socket {where}", "build and inspect without the runtime's socket")


@manifest_rule(
    "pod-secret-in-environment",
    Severity.INFO,
    Reason.SECRET,
    "Secret in the environment",
    why="Environments are logged, inherited and shown by debuggers; a mounted file is not.",
    source=f"{_NSA}, Protecting sensitive cluster data; CIS Kubernetes 1.9, 5.4.1",
    controls=SECRETS,
    bad=pod({"env": [{"name": "PW", "valueFrom": {"secretKeyRef": {"name": "db", "key": "pw"}}}]}),
    good=pod({"volumeMounts": [{"name": "db", "mountPath": "/run/secrets/db", "readOnly": True}]}),
)
def pod_secret_in_environment(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        for path, item in maps_at(c.spec, "env"):
            if at(item, "valueFrom.secretKeyRef"):
                yield told(m, f"{c.path}.{path}", f"{item.get('name')} is a secret", "mount the secret as a file")
        for path, item in maps_at(c.spec, "envFrom"):
            if "secretRef" in item:
                yield told(m, f"{c.path}.{path}", "takes a whole secret as variables", "mount the secret as a file")


@manifest_rule(
    "secret-in-git",
    Severity.HIGH,
    Reason.SECRET,
    "Secret written out",
    why="base64 is no encryption: whoever can read the repository has it.",
    source=f"{_NSA}, Protecting sensitive cluster data; threats I27",
    controls=SECRETS,
    bad=made("v1", "Secret", data={"password": "aHVudGVyMg=="}),
    good=made("v1", "Secret", type="Opaque"),
)
def secret_in_git(m: Manifest) -> Iterator[Hit]:
    for part in ("data", "stringData"):
        for key, value in mapping(m.get(part)).items() if m.kind == "Secret" else ():
            if isinstance(value, str) and value:
                fix = "{secret: env:NAME} in its place, and replace the secret where it is used"
                yield told(m, f"{part}.{key}", f"{key} of this secret stands in Git", fix)


@manifest_rule(
    "pod-image-unpinned",
    Severity.MEDIUM,
    Reason.SUPPLY,
    "Image without version in a pod",
    why="Two nodes may run two versions of it, and there is nothing to go back to.",
    source="Kubernetes documentation, Images, image names; kube-score, container-image-tag",
    controls=SUPPLY,
    bad=pod({"image": "nginx:latest"}),
    good=pod({"image": "nginx:1.27"}),
)
def pod_image_unpinned(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        image = c.get("image")
        tag = image.rpartition("/")[2].partition(":")[2] if isinstance(image, str) else "later"
        if isinstance(image, str) and "@" not in image and tag in ("", "latest"):
            yield told(m, f"{c.path}.image", f"image {image} is not pinned to a version", "name a version")


@manifest_rule(
    "pod-image-not-pulled",
    Severity.INFO,
    Reason.IDENTITY,
    "Image that is not asked for again",
    why="A node that has it runs it for anyone who can name it, without the registry's login.",
    source="Kubernetes, AlwaysPullImages; kube-score, container-image-pull-policy",
    controls=SUPPLY,
    bad=pod({"imagePullPolicy": "Never"}),
    good=pod({"imagePullPolicy": "Always"}),
)
def pod_image_not_pulled(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        image = str(c.get("image"))
        latest = "@" not in image and image.rpartition("/")[2].partition(":")[2] in ("", "latest")
        policy = c.get("imagePullPolicy") or ("Always" if latest else "IfNotPresent")
        if policy != "Always":
            yield told(m, f"{c.path}.imagePullPolicy", f"{c.name} may run what its node has", "Always")


@manifest_rule(
    "default-namespace",
    Severity.LOW,
    Reason.IDENTITY,
    "Default namespace",
    why="Rights, quotas and policies are given by namespace; in the default one everything is together.",
    source="CIS Kubernetes 1.9, 5.7.4",
    controls=IDENTITY,
    bad={**deployment(), "metadata": {"name": "web", "namespace": "default"}},
    good={**deployment(), "metadata": {"name": "web", "namespace": "shop"}},
)
def default_namespace(m: Manifest) -> Iterator[Hit]:
    if m.namespaced and at(m.body, "metadata.namespace") == "default":
        yield told(m, "metadata.namespace", f"{m.kind} {m.name} is in the default namespace", "a namespace of its own")


@manifest_rule(
    "namespace-unenforced",
    Severity.LOW,
    Reason.CHANGE,
    "Namespace without a pod standard",
    why="Whatever a pod asks for there is granted.",
    source="CIS Kubernetes 1.9, 5.2.1; Kubernetes documentation, Pod Security Admission",
    controls=CHANGE,
    bad=made("v1", "Namespace"),
    good={
        **made("v1", "Namespace"),
        "metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    },
)
def namespace_unenforced(m: Manifest) -> Iterator[Hit]:
    labels = mapping(m.get("metadata.labels"))
    if m.kind == "Namespace" and labels.get("pod-security.kubernetes.io/enforce") not in ("baseline", "restricted"):
        fix = "label pod-security.kubernetes.io/enforce: restricted, or baseline"
        yield told(m, "metadata.labels", f"namespace {m.name} enforces no pod standard", fix)


@manifest_rule(
    "pod-low-user-id",
    Severity.INFO,
    Reason.PRIVILEGE,
    "User or group of the node",
    why="Ids below 10000 are often those of a person or service on the node.",
    source="kube-score, container-security-context-user-group-id",
    controls=ACCESS,
    bad=pod(secured(runAsUser=1000, runAsGroup=1000)),
    good=pod(secured(runAsUser=10001, runAsGroup=10001)),
)
def pod_low_user_id(m: Manifest) -> Iterator[Hit]:
    for path, context in contexts(m):
        for name in ("runAsUser", "runAsGroup"):
            given = context.get(name)
            low = isinstance(given, int) and not isinstance(given, bool) and given < 10_000
            if low and (name, given) != ("runAsUser", 0):
                yield told(m, f"{path}.{name}", f"{name} is {given}", f"{name}: 10001 or more")


RULES: tuple[Rule, ...] = (
    pod_token_mounted,
    pod_runtime_socket,
    pod_secret_in_environment,
    secret_in_git,
    pod_image_unpinned,
    pod_image_not_pulled,
    default_namespace,
    namespace_unenforced,
    pod_low_user_id,
)
