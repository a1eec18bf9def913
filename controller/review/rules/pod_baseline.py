"""Rules of the Pod Security Standard `baseline`: what no ordinary pod needs and each of which opens its node."""

from __future__ import annotations

from collections.abc import Iterator

from controller.review.finding import Severity
from controller.review.manifest import Manifest, listed, mapping, maps_at
from controller.review.rules.controls import ACCESS, NETWORK, SEGMENTS
from controller.review.rules.manifest_samples import pod, secured
from controller.review.rules.rule import Hit, Reason, Rule, manifest_rule, told

# Pod Security Standards, baseline, "Capabilities", "Sysctls", "SELinux".
_ALLOWED_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"}
    | {"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_SAFE_SYSCTLS = frozenset(
    {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"}
    | {"net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"}
    | {"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"}
    | {"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
)
_SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "container_logreader_t"}
)
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_STANDARD = "Kubernetes Pod Security Standards, baseline"


def contexts(manifest: Manifest) -> Iterator[tuple[str, dict[str, object]]]:
    """(path, security context) of the pod and of each of its containers."""
    if manifest.pod:
        yield f"{manifest.pod_path}.securityContext", dict(mapping(manifest.pod.get("securityContext")))
    for c in manifest.containers:
        yield f"{c.path}.securityContext", dict(mapping(c.get("securityContext")))


@manifest_rule(
    "pod-privileged",
    Severity.CRITICAL,
    Reason.PRIVILEGE,
    "Privileged container in a pod",
    why="Inside it, root is root of the node: every device, every kernel module, every other pod's secrets.",
    source=f"{_STANDARD}, Privileged Containers; CIS Kubernetes 1.9, 5.2.2",
    controls=ACCESS,
    bad=pod(secured(privileged=True)),
    good=pod(secured(privileged=False)),
)
def pod_privileged(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if c.get("securityContext.privileged") is True:
            fix = "remove privileged; add the one capability it needs"
            yield told(m, f"{c.path}.securityContext.privileged", f"{c.name} runs privileged", fix)


@manifest_rule(
    "pod-host-namespace",
    Severity.HIGH,
    Reason.HOST,
    "Namespace of the node",
    why="It sees processes, traffic or shared memory of the node and of every pod there.",
    source=f"{_STANDARD}, Host Namespaces; CIS Kubernetes 1.9, 5.2.3 to 5.2.5",
    controls={**ACCESS, "PCI-DSS": ("1.3.1", "2.2.1")},
    bad=pod(hostNetwork=True),
    good=pod(hostNetwork=False),
)
def pod_host_namespace(m: Manifest) -> Iterator[Hit]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if m.pod.get(name) is True:
            yield told(m, f"{m.pod_path}.{name}", f"shares {name} with its node", f"remove {name}")


@manifest_rule(
    "pod-host-process",
    Severity.CRITICAL,
    Reason.PRIVILEGE,
    "Windows host process",
    why="It is a process of the node with the rights of its service account.",
    source=f"{_STANDARD}, HostProcess; CIS Kubernetes 1.9, 5.2.11",
    controls=ACCESS,
    bad=pod(secured(windowsOptions={"hostProcess": True})),
    good=pod(secured(windowsOptions={"hostProcess": False})),
)
def pod_host_process(m: Manifest) -> Iterator[Hit]:
    for path, context in contexts(m):
        if mapping(context.get("windowsOptions")).get("hostProcess") is True:
            yield told(m, f"{path}.windowsOptions", "runs as a process of the node", "remove hostProcess")


@manifest_rule(
    "pod-capability-added",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Capability beyond the default ones",
    why="Each of these is, with a little work, root on the node or control of its network.",
    source=f"{_STANDARD}, Capabilities; CIS Kubernetes 1.9, 5.2.8, 5.2.9",
    controls=ACCESS,
    bad=pod(secured(capabilities={"add": ["SYS_ADMIN"]})),
    good=pod(secured(capabilities={"add": ["NET_BIND_SERVICE"]})),
)
def pod_capability_added(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        for i, item in enumerate(listed(c.get("securityContext.capabilities.add"))):
            if item not in _ALLOWED_CAPABILITIES:  # exactly: CAP_CHOWN and chown are refused
                path = f"{c.path}.securityContext.capabilities.add.{i}"
                yield told(m, path, f"{c.name} adds the capability {item}", "drop it, or name the narrower one")


@manifest_rule(
    "pod-host-path",
    Severity.HIGH,
    Reason.HOST,
    "Folder of the node mounted",
    why="From there it reads keys and other pods' volumes, or leaves a program that the node runs.",
    source=f"{_STANDARD}, HostPath Volumes; CIS Kubernetes 1.9, 5.2.12",
    controls=ACCESS,
    bad=pod(volumes=[{"name": "etc", "hostPath": {"path": "/etc"}}]),
    good=pod(volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]),
)
def pod_host_path(m: Manifest) -> Iterator[Hit]:
    for path, volume in maps_at(m.body, f"{m.pod_path}.volumes" if m.pod_path else "volumes"):
        if "hostPath" in volume:
            where = mapping(volume["hostPath"]).get("path")
            yield told(m, path, f"mounts {where} of its node", "use a claim, a config map or an emptyDir")


@manifest_rule(
    "pod-host-port",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Port of the node",
    why="It is reachable on the node's own address, past services and network policies.",
    source=f"{_STANDARD}, Host Ports; CIS Kubernetes 1.9, 5.2.13",
    controls=NETWORK,
    bad=pod({"ports": [{"containerPort": 80, "hostPort": 80}]}),
    good=pod({"ports": [{"containerPort": 80}]}),
)
def pod_host_port(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        for path, port in maps_at(c.spec, "ports"):
            if port.get("hostPort"):
                yield told(m, f"{c.path}.{path}", f"takes port {port['hostPort']} of its node", "use a Service")


@manifest_rule(
    "pod-apparmor-off",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "AppArmor switched off",
    why="The profile of the runtime stops writes to proc and sys that lead out of a container.",
    source=f"{_STANDARD}, AppArmor",
    controls=ACCESS,
    bad=pod(secured(appArmorProfile={"type": "Unconfined"})),
    good=pod(secured(appArmorProfile={"type": "RuntimeDefault"})),
)
def pod_apparmor_off(m: Manifest) -> Iterator[Hit]:
    fix = "remove it, or appArmorProfile: {type: RuntimeDefault}"
    for path, context in contexts(m):
        if mapping(context.get("appArmorProfile")).get("type") == "Unconfined":
            yield told(m, f"{path}.appArmorProfile", "runs without an AppArmor profile", fix)
    above = m.pod_path.removesuffix("spec").rstrip(".")
    notes = f"{above}.metadata.annotations".lstrip(".")
    for key, value in mapping(m.get(notes)).items() if m.pod_path else ():
        if str(key).startswith(_APPARMOR) and not str(value).startswith(("runtime/default", "localhost/")):
            yield told(m, notes, f"sets AppArmor to {value}", fix)


@manifest_rule(
    "pod-selinux-own",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "SELinux type of its own",
    why="A type or user of one's own choice may be one that the policy lets do everything.",
    source=f"{_STANDARD}, SELinux",
    controls=ACCESS,
    bad=pod(secured(seLinuxOptions={"type": "spc_t"})),
    good=pod(secured(seLinuxOptions={"type": "container_t", "level": "s0:c1"})),
)
def pod_selinux_own(m: Manifest) -> Iterator[Hit]:
    for path, context in contexts(m):
        given = mapping(context.get("seLinuxOptions"))
        odd = str(given.get("type") or "") not in _SELINUX_TYPES or given.get("user") or given.get("role")
        if odd:
            yield told(m, f"{path}.seLinuxOptions", "chooses its own SELinux type, user or role", "set the level only")


@manifest_rule(
    "pod-proc-unmasked",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Unmasked proc",
    why="Parts of proc that runtimes hide change the kernel of the node.",
    source=f"{_STANDARD}, /proc Mount Type",
    controls=ACCESS,
    bad=pod(secured(procMount="Unmasked")),
    good=pod(secured(procMount="Default")),
)
def pod_proc_unmasked(m: Manifest) -> Iterator[Hit]:
    for c in m.containers:
        if c.get("securityContext.procMount") not in (None, "Default"):
            yield told(m, f"{c.path}.securityContext.procMount", f"{c.name} unmasks proc", "remove procMount")


@manifest_rule(
    "pod-seccomp-off",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "seccomp switched off",
    why="The filter stops most calls that kernel exploits begin with.",
    source=f"{_STANDARD}, Seccomp; CIS Kubernetes 1.9, 5.7.2",
    controls=ACCESS,
    bad=pod(secured(seccompProfile={"type": "Unconfined"})),
    good=pod(secured(seccompProfile={"type": "RuntimeDefault"})),
)
def pod_seccomp_off(m: Manifest) -> Iterator[Hit]:
    for path, context in contexts(m):
        if mapping(context.get("seccompProfile")).get("type") == "Unconfined":
            yield told(m, f"{path}.seccompProfile", "runs without a seccomp profile", "type: RuntimeDefault")


@manifest_rule(
    "pod-sysctl-unsafe",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Kernel setting beyond the safe ones",
    why="It holds for other pods of the node too, or breaks the node.",
    source=f"{_STANDARD}, Sysctls",
    controls=ACCESS,
    bad=pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}),
    good=pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
)
def pod_sysctl_unsafe(m: Manifest) -> Iterator[Hit]:
    for path, item in maps_at(m.pod, "securityContext.sysctls"):
        if item.get("name") not in _SAFE_SYSCTLS:
            yield told(m, f"{m.pod_path}.{path}", f"sets {item.get('name')}", "set it on the node, on purpose")


@manifest_rule(
    "pod-probe-elsewhere",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Probe of another host",
    why="The node asks that address from inside the cluster, with its own rights: a way around network policies.",
    source=f"{_STANDARD}, Host Probes and Lifecycle Hooks",
    controls=SEGMENTS,
    bad=pod({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "path": "/", "port": 80}}}),
    good=pod({"livenessProbe": {"httpGet": {"path": "/", "port": 80}}}),
)
def pod_probe_elsewhere(m: Manifest) -> Iterator[Hit]:
    places = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"]
    for c in m.containers:
        for at in places:
            for kind in ("httpGet", "tcpSocket"):
                if c.get(f"{at}.{kind}.host"):
                    text = f"{c.name} lets the node ask {c.get(f'{at}.{kind}.host')}"
                    yield told(m, f"{c.path}.{at}.{kind}.host", text, "remove host: the pod itself is asked")


RULES: tuple[Rule, ...] = (
    pod_privileged,
    pod_host_namespace,
    pod_host_process,
    pod_capability_added,
    pod_host_path,
    pod_host_port,
    pod_apparmor_off,
    pod_selinux_own,
    pod_proc_unmasked,
    pod_seccomp_off,
    pod_sysctl_unsafe,
    pod_probe_elsewhere,
)
