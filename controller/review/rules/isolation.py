"""Rules about the wall between a workload and its host."""

from __future__ import annotations

from collections.abc import Iterator

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import ACCESS
from controller.review.rules.coverage import CONTAINER, CONTAINERS
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import Mount, flag, items, mounts, text

_CAPABILITIES = frozenset(
    [
        "ALL",
        "SYS_ADMIN",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_BOOT",
        "SYS_TIME",
        "NET_ADMIN",
        "DAC_READ_SEARCH",
        "BPF",
        "PERFMON",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "SYSLOG",
        "MKNOD",
    ]
)
_SENSITIVE = ("/", "/etc", "/root", "/boot", "/dev", "/proc", "/sys", "/run", "/var/run", "/var/lib/docker", "/home")
# Files and folders below them that hold keys, accounts, or the kernel.
_KEYS = (
    "/etc/passwd",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/ssh",
    "/etc/kubernetes",
    "/root/",
    "/proc/",
    "/sys/",
    "/boot/",
)
_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
_OPEN_PROFILES = ("unconfined", "label=disable", "label:disable", "no-new-privileges:false", "no-new-privileges=false")


@rule(
    "privileged",
    Severity.CRITICAL,
    Reason.PRIVILEGE,
    "Privileged container",
    why="Inside it, root is root of the host: every device, every kernel module.",
    source="CIS Docker 1.6.0, 5.5",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "agent:1", "privileged": True}),
    good=Sample({"image": "agent:1", "privileged": False}),
)
def privileged(entry: Entry) -> Iterator[Hit]:
    if flag(entry, "privileged"):
        fix = "remove privileged; add the one device or capability it needs"
        yield hit(entry, "specs.privileged", "runs privileged", fix)


@rule(
    "runtime-socket",
    Severity.CRITICAL,
    Reason.HOST,
    "Container runtime socket mounted",
    why="Who can write to the socket can start a privileged container: it is root on the host, read-only or not.",
    source="CIS Docker 1.6.0, 5.32",
    kinds=CONTAINERS,
    controls=ACCESS,
    bad=Sample({"image": "agent:1", "volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]}),
    good=Sample({"image": "agent:1", "volumes": ["sockets:/var/run/app"]}),
)
def runtime_socket(entry: Entry) -> Iterator[Hit]:
    for mount in mounts(entry):
        if mount.source.endswith(_SOCKETS):
            fix = "put a proxy that allows only the calls it needs in between"
            yield hit(entry, mount.path, f"mounts the socket {mount.source}", fix)


@rule(
    "sensitive-host-path",
    Severity.HIGH,
    Reason.HOST,
    "Sensitive host path mounted",
    why="System folders hold keys, devices and the state of other containers.",
    source="CIS Docker 1.6.0, 5.6",
    kinds=CONTAINERS,
    controls=ACCESS,
    bad=Sample({"image": "agent:1", "volumes": ["/etc:/host/etc:ro"]}),
    good=Sample({"image": "agent:1", "volumes": ["/etc/localtime:/etc/localtime:ro"]}),
)
def sensitive_host_path(entry: Entry) -> Iterator[Hit]:
    for mount in mounts(entry):
        if _sensitive(mount):
            fix = "mount only the file or folder it needs"
            yield hit(entry, mount.path, f"mounts the host path {mount.source}", fix)


def _sensitive(mount: Mount) -> bool:
    folder = mount.source.rstrip("/") or "/"
    return bool(mount.source) and (folder in _SENSITIVE or folder.startswith(_KEYS))


@rule(
    "writable-host-path",
    Severity.MEDIUM,
    Reason.HOST,
    "Writable host path",
    why="A breach inside can leave files that the host or another container reads.",
    source="CIS Docker 1.6.0, 5.6; threats I38",
    kinds=CONTAINERS,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "volumes": ["/srv/media:/media"]}),
    good=Sample({"image": "web:1", "volumes": ["/srv/media:/media:ro", "data:/data"]}),
)
def writable_host_path(entry: Entry) -> Iterator[Hit]:
    for mount in mounts(entry):
        if mount.of_host and not mount.read_only and not mount.source.endswith(_SOCKETS) and not _sensitive(mount):
            fix = "add :ro, or use a named volume"
            yield hit(entry, mount.path, f"may write to the host path {mount.source}", fix)


@rule(
    "host-network",
    Severity.HIGH,
    Reason.HOST,
    "Host network",
    why="It sees all traffic of the host and reaches what listens on loopback only.",
    source="CIS Docker 1.6.0, 5.10",
    kinds=CONTAINERS,
    controls={**ACCESS, "PCI-DSS": ("1.3.1", "2.2.1")},
    bad=Sample({"image": "web:1", "network_mode": "host"}),
    good=Sample({"image": "web:1", "networks": ["front"]}),
)
def host_network(entry: Entry) -> Iterator[Hit]:
    if text(entry, "network_mode") == "host" or flag(entry, "hostNetwork"):
        yield hit(entry, "specs.network_mode", "shares the network of the host", "publish the ports it needs instead")


@rule(
    "host-namespace",
    Severity.HIGH,
    Reason.HOST,
    "Host namespace",
    why="It sees, and as root signals or traces, processes of the host.",
    source="CIS Docker 1.6.0, 5.16, 5.17, 5.21, 5.31",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "agent:1", "pid": "host"}),
    good=Sample({"image": "agent:1"}),
)
def host_namespace(entry: Entry) -> Iterator[Hit]:
    for name in ("pid", "ipc", "uts", "userns_mode", "cgroup"):
        if text(entry, name) == "host":
            yield hit(entry, f"specs.{name}", f"shares the {name} namespace of the host", f"remove {name}")


@rule(
    "dangerous-capability",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Dangerous capability",
    why="Each of these is, with a little work, root on the host or control of its network.",
    source="CIS Docker 1.6.0, 5.4",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "vpn:1", "cap_add": ["CAP_SYS_ADMIN"]}),
    good=Sample({"image": "vpn:1", "cap_add": ["NET_BIND_SERVICE"]}),
)
def dangerous_capability(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "cap_add"):
        name = str(item).upper().removeprefix("CAP_")
        if name in _CAPABILITIES:
            yield hit(entry, path, f"adds the capability {name}", "drop it, or name the narrower one it needs")


@rule(
    "security-profile-off",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Security profile switched off",
    why="seccomp, AppArmor and SELinux stop most kernel exploits from inside a container.",
    source="CIS Docker 1.6.0, 5.2, 5.3, 5.22",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "security_opt": ["seccomp=unconfined"]}),
    good=Sample({"image": "web:1", "security_opt": ["no-new-privileges:true"]}),
)
def security_profile_off(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "security_opt"):
        if str(item).lower().endswith(_OPEN_PROFILES):
            yield hit(entry, path, f"switches protection off with {item}", "remove it, or bring a profile of its own")


@rule(
    "host-device",
    Severity.MEDIUM,
    Reason.HOST,
    "Host device",
    why="A device is shared hardware: what writes to it can affect the host and its neighbours.",
    source="CIS Docker 1.6.0, 5.18",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "player:1", "devices": ["/dev/mem:/dev/mem"]}),
    good=Sample({"image": "player:1"}),
)
def host_device(entry: Entry) -> Iterator[Hit]:
    for path, item in items(entry, "devices"):
        yield hit(entry, path, f"uses the host device {item}", "waive it with the reason, or remove it")


@rule(
    "runs-as-root",
    Severity.MEDIUM,
    Reason.PRIVILEGE,
    "Runs as root",
    why="Root inside a container meets the kernel as root.",
    source="CIS Docker 1.6.0, 4.1",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1", "user": "0:0"}),
    good=Sample({"image": "web:1", "user": "1000:1000"}),
)
def runs_as_root(entry: Entry) -> Iterator[Hit]:
    user = str(entry.specs.get("user", "")).partition(":")[0]
    if user in ("0", "root"):
        yield hit(entry, "specs.user", "asks for the user root", "name another user, as in user: 1000")


@rule(
    "may-gain-privileges",
    Severity.INFO,
    Reason.PRIVILEGE,
    "New privileges allowed",
    why="Without no-new-privileges a setuid program inside can still become root.",
    source="CIS Docker 1.6.0, 5.26",
    kinds=CONTAINER,
    controls=ACCESS,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "security_opt": ["no-new-privileges:true"]}),
)
def may_gain_privileges(entry: Entry) -> Iterator[Hit]:
    options = [str(item).replace("=", ":") for _, item in items(entry, "security_opt")]
    if not {"no-new-privileges:true", "no-new-privileges"} & set(options):
        fix = "security_opt: [no-new-privileges:true]"
        yield hit(entry, "specs.security_opt", "may gain privileges", fix)


RULES: tuple[Rule, ...] = (
    privileged,
    runtime_socket,
    sensitive_host_path,
    writable_host_path,
    host_network,
    host_namespace,
    dangerous_capability,
    security_profile_off,
    host_device,
    runs_as_root,
    may_gain_privileges,
)
