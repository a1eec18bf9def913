"""Rules of the Pod Security Standard `restricted` and of the NSA's guide: what a pod should give up by itself."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Container, Manifest, at, listed, maps_at
from controller.review.rules.controls import ACCESS
from controller.review.rules.manifest_samples import pod, secured
from controller.review.rules.pod_baseline import contexts
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

_STANDARD = "Kubernetes Pod Security Standards, restricted"
_NSA = "NSA/CISA Kubernetes Hardening Guide 1.2"
_VOLUMES = frozenset(
    {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
    | {"secret", "hostPath", "image"}  # hostPath has a rule of its own; image came with Kubernetes 1.31
)


def _effective(m: Manifest, c: Container, name: str) -> object:
    """What holds for a container: its own word, else the pod's."""
    own = c.get(f"securityContext.{name}")
    return own if own is not None else at(m.pod, f"securityContext.{name}")


def _linux(m: Manifest) -> bool:
    return at(m.pod, "os.name") != "windows"


@manifest_rule(
    "pod-volume-type",
    Severity.MEDIUM,
    Reason.HOST,
    "Volume of an unusual type",
    why="Such a volume speaks to storage with the node's rights, past what the cluster checks.",
    source=f"{_STANDARD}, Volume Types",
    controls=ACCESS,
    bad=pod(volumes=[{"name": "share", "nfs": {"server": "10.0.0.3", "path": "/"}}]),
    good=pod(volumes=[{"name": "share", "persistentVolumeClaim": {"claimName": "share"}}]),
)
def pod_volume_type(m: Manifest) -> Iterator[Hit]:
    for path, volume in maps_at(m.body, f"{m.pod_path}.volumes" if m.pod_path else "volumes"):
        odd = sorted(set(volume) - _VOLUMES)
        if odd:
            yield told(m, path, f"mounts a volume of type {odd[0]}", "use a PersistentVolumeClaim")


@manifest_rule(
    "pod-may-gain-privileges",
    Severity.LOW,
    Reason.PRIVILEGE,
    "New privileges allowed in a pod",
    why="Without allowPrivilegeEscalation: false a setuid program inside can still become root.",
    source=f"{_STANDARD}, Privilege Escalation; CIS Kubernetes 1.9, 5.2.6",
    controls=ACCESS,
    bad=pod(secured(allowPrivilegeEscalation=True)),
    good=pod(secured(allowPrivilegeEscalation=False)),
)
def pod_may_gain_privileges(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if _linux(m) and c.get("securityContext.allowPrivilegeEscalation") is not False:
            path = f"{c.path}.securityContext.allowPrivilegeEscalation"
            yield told(m, path, f"{c.name} may gain privileges", "allowPrivilegeEscalation: false")


@manifest_rule(
    "pod-may-be-root",
    Severity.LOW,
    Reason.PRIVILEGE,
    "May run as root",
    why="The image decides, and most images say root; root inside meets the kernel as root.",
    source=f"{_STANDARD}, Running as Non-root; CIS Kubernetes 1.9, 5.2.7",
    controls=ACCESS,
    bad=pod(),
    good=pod(securityContext={"runAsNonRoot": True}),
)
def pod_may_be_root(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if _linux(m) and _effective(m, c, "runAsNonRoot") is not True:
            yield told(m, f"{c.path}.securityContext.runAsNonRoot", f"{c.name} may run as root", "runAsNonRoot: true")


@manifest_rule(
    "pod-runs-as-root",
    Severity.MEDIUM,
    Reason.PRIVILEGE,
    "Pod runs as root",
    why="It asks for it, where the rule above only fears it.",
    source=f"{_STANDARD}, Running as Non-root user",
    controls=ACCESS,
    bad=pod(securityContext={"runAsUser": 0}),
    good=pod(securityContext={"runAsUser": 10001}),
)
def pod_runs_as_root(m: Manifest) -> Iterator[Hit]:
    for path, context in contexts(m):
        if context.get("runAsUser") == 0 and context.get("runAsUser") is not False:
            yield told(m, f"{path}.runAsUser", "runs as user 0", "runAsUser: 10001, or remove it")


@manifest_rule(
    "pod-seccomp-unset",
    Severity.LOW,
    Reason.PRIVILEGE,
    "No seccomp profile",
    why="A node without SeccompDefault then filters nothing.",
    source=f"{_STANDARD}, Seccomp; CIS Kubernetes 1.9, 5.7.2",
    controls=ACCESS,
    bad=pod(),
    good=pod(securityContext={"seccompProfile": {"type": "RuntimeDefault"}}),
)
def pod_seccomp_unset(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if _linux(m) and not _effective(m, c, "seccompProfile"):
            fix = "securityContext: {seccompProfile: {type: RuntimeDefault}} of the pod"
            yield told(m, f"{c.path}.securityContext.seccompProfile", f"{c.name} names no seccomp profile", fix)


@manifest_rule(
    "pod-capabilities-kept",
    Severity.LOW,
    Reason.PRIVILEGE,
    "Default capabilities kept in a pod",
    why="Most programs need none of them; one may be added back.",
    source=f"{_STANDARD}, Capabilities; CIS Kubernetes 1.9, 5.2.10",
    controls=ACCESS,
    bad=pod(),
    good=pod(secured(capabilities={"drop": ["ALL"]})),
)
def pod_capabilities_kept(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        dropped = {str(i).upper() for i in listed(c.get("securityContext.capabilities.drop"))}
        if _linux(m) and "ALL" not in dropped:
            path = f"{c.path}.securityContext.capabilities.drop"
            yield told(m, path, f"{c.name} keeps the default capabilities", "capabilities: {drop: [ALL]}")


@manifest_rule(
    "pod-capability-needless",
    Severity.LOW,
    Reason.PRIVILEGE,
    "Capability that restricted pods do without",
    why="Only NET_BIND_SERVICE may be added to a restricted pod.",
    source=f"{_STANDARD}, Capabilities",
    controls=ACCESS,
    bad=pod(secured(capabilities={"drop": ["ALL"], "add": ["CHOWN"]})),
    good=pod(secured(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})),
)
def pod_capability_needless(m: Manifest) -> Iterator[Hit]:
    default = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "SETFCAP", "SETGID"}
    default |= {"SETPCAP", "SETUID", "SYS_CHROOT"}
    for c in m.containers:
        for i, item in enumerate(listed(c.get("securityContext.capabilities.add"))):
            if item in default:
                path = f"{c.path}.securityContext.capabilities.add.{i}"
                yield told(m, path, f"{c.name} adds {item}", "run as another user, or as the owner of the files")


@manifest_rule(
    "pod-writable-root",
    Severity.LOW,
    Reason.CHANGE,
    "Writable root file system in a pod",
    why="What breaks in can leave programs behind and change those that are there.",
    source=f"{_NSA}, Immutable container file systems",
    controls=ACCESS,
    bad=pod(),
    good=pod(secured(readOnlyRootFilesystem=True)),
)
def pod_writable_root(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if c.get("securityContext.readOnlyRootFilesystem") is not True:
            path = f"{c.path}.securityContext.readOnlyRootFilesystem"
            fix = "readOnlyRootFilesystem: true, with an emptyDir where it writes"
            yield told(m, path, f"{c.name} may write to its root file system", fix)


RULES: tuple[Rule, ...] = (
    pod_volume_type,
    pod_may_gain_privileges,
    pod_may_be_root,
    pod_runs_as_root,
    pod_seccomp_unset,
    pod_capabilities_kept,
    pod_capability_needless,
    pod_writable_root,
)
