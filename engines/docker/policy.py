"""What a request to a Docker host may hold (I38): an allow-list over the final body. Pure.

The same function judges a blueprint when it is expanded and the filled body right before it is sent, so nothing that
the first does not know can pass the second. A key that is not named here is refused.

Server policy widens it per repository (`allow: {REPO: {docker: {…}}}`):
    host_paths    paths that may be mounted: `/srv/media`, `/srv/media:ro`, `/srv/**` (all below)
    devices       device paths: `/dev/dri`, with everything below them
    capabilities  `NET_ADMIN`, …
    network_modes `host`
    sysctls       `net.ipv4.ip_unprivileged_port_start`, …
    runtimes, log_drivers, network_drivers   by name
    require_digest  any value: images must be written with `@sha256:…`
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from controller.plan.resource import Allow
from engines.docker import marks

Refusal = tuple[str, str]  # path in `specs`, reason
Body = Mapping[str, Any]

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_HARMLESS = frozenset(
    [
        "Image",
        "Cmd",
        "Entrypoint",
        "Env",
        "User",
        "WorkingDir",
        "Hostname",
        "Domainname",
        "ExposedPorts",
        "Healthcheck",
        "StopSignal",
        "StopTimeout",
        "Tty",
        "OpenStdin",
        "NetworkingConfig",
    ]
)
_HARMLESS_HOST = frozenset(
    [
        "PortBindings",
        "RestartPolicy",
        "NanoCpus",
        "Memory",
        "MemorySwap",
        "MemoryReservation",
        "PidsLimit",
        "CpuShares",
        "CpusetCpus",
        "ReadonlyRootfs",
        "CapDrop",
        "Init",
        "ExtraHosts",
        "Dns",
        "DnsSearch",
        "DnsOptions",
        "Ulimits",
        "ShmSize",
        "GroupAdd",
    ]
)
# Key of HostConfig → key of specs, for those that no server policy can open.
NEVER = {
    "PidMode": "pid",
    "IpcMode": "ipc",
    "UTSMode": "uts",
    "UsernsMode": "userns_mode",
    "CgroupnsMode": "cgroup",
    "CgroupParent": "cgroup_parent",
    "DeviceCgroupRules": "device_cgroup_rules",
    "DeviceRequests": "gpus",
    "VolumesFrom": "volumes_from",
    "VolumeDriver": "volume_driver",
    "OomKillDisable": "oom_kill_disable",
    "OomScoreAdj": "oom_score_adj",
    "Links": "links",
    "Isolation": "isolation",
    "Privileged": "privileged",
    "Binds": "volumes",
    "CpuRealtimePeriod": "cpu_rt_period",
    "CpuRealtimeRuntime": "cpu_rt_runtime",
    "BlkioWeight": "blkio_config",
    "MaskedPaths": "masked_paths",
    "ReadonlyPaths": "readonly_paths",
    "AutoRemove": "auto_remove",
    "Cgroup": "cgroup",
}
_LOG_DRIVERS = frozenset({"", "json-file", "local", "none", "journald"})
_NETWORK_OPTIONS = frozenset(
    {
        "com.docker.network.driver.mtu",
        "com.docker.network.bridge.enable_icc",
        "com.docker.network.bridge.enable_ip_masquerade",
    }
)
_NETWORK_KEYS = frozenset({"Name", "Driver", "Internal", "Attachable", "EnableIPv6", "IPAM", "Options", "Labels"})
_VOLUME_KEYS = frozenset({"Name", "Driver", "DriverOpts", "Labels"})
_KERNEL = ("/proc", "/sys", "/dev")


def container(body: Body, allow: Allow) -> list[Refusal]:
    """Everything in a create body that reaches the host and is not allowed."""
    found = [_unknown(key) for key in body if key not in _HARMLESS and key not in ("Labels", "HostConfig")]
    found += _labels(body.get("Labels") or {})
    if allow.option("docker.require_digest") and not _DIGEST.fullmatch(str(body.get("Image"))):
        found.append(("image", "server policy asks for an image with its digest: NAME@sha256:…"))
    host = body.get("HostConfig") or {}
    for key, value in host.items():
        if value and key not in _HARMLESS_HOST:
            check = _HOST_CHECKS.get(key)
            found += check(value, allow) if check else [_unknown(key)]
    return found


def update(body: Body, allow: Allow) -> list[Refusal]:
    """An update body: limits and restart policy, nothing else."""
    return [_unknown(key) for key in body if key not in _HARMLESS_HOST]


def network(body: Body, allow: Allow) -> list[Refusal]:
    """A network-create body."""
    found = [_unknown(key) for key in body if key not in _NETWORK_KEYS]
    driver = body.get("Driver") or "bridge"
    if driver != "bridge" and driver not in allow.option("docker.network_drivers"):
        found.append(
            ("driver", f"network driver {driver} reaches beyond this host's bridges; {_open('network_drivers')}")
        )
    options = [o for o in body.get("Options") or {} if o not in _NETWORK_OPTIONS]
    found += [(f"driver_opts.{o}", "this driver option can join or reshape a network of the host") for o in options]
    ipam = (body.get("IPAM") or {}).get("Driver", "default")
    if ipam != "default":
        found.append(("ipam.driver", f"IPAM plugin {ipam} is not allowed"))
    return found + _labels(body.get("Labels") or {})


def volume(body: Body, allow: Allow) -> list[Refusal]:
    """A volume-create body: driver options can mount any path or device of the host."""
    found = [_unknown(key) for key in body if key not in _VOLUME_KEYS]
    driver = body.get("Driver") or "local"
    if driver != "local":
        found.append(("driver", f"volume plugin {driver} runs with the host's rights and is not allowed"))
    if body.get("DriverOpts"):
        found.append(("driver_opts", "volume driver options reach the host; mount an allowed host path instead"))
    if marks.is_note(str(body.get("Name"))):
        found.append(("name", f"names beginning with {marks.NOTE_PREFIX} are ALMA's own notes"))
    return found + _labels(body.get("Labels") or {})


def host_path_allowed(source: str, read_only: bool, allow: Allow) -> bool:
    """True if one of the allowed host paths covers `source`, which must be written in its normal form."""
    if not source.startswith("/") or posixpath.normpath(source) != source or re.search(r"[\x00-\x1f:,]", source):
        return False
    return any(_covers(pattern, source, read_only) for pattern in allow.option("docker.host_paths"))


def mounted_host_paths(body: Body) -> Iterator[tuple[str, bool]]:
    """(source, read-only) of each host path in a create body."""
    for mount in (body.get("HostConfig") or {}).get("Mounts") or ():
        if mount.get("Type") == "bind":
            yield mount.get("Source", ""), bool(mount.get("ReadOnly"))


def _covers(pattern: str, source: str, read_only: bool) -> bool:
    path, _, mode = pattern.partition(":")
    if mode == "ro" and not read_only:
        return False
    if path.endswith("/**"):
        root = path.removesuffix("/**")
        return (source == root or source.startswith(root + "/")) and not source.endswith(".sock")
    return source == (path.rstrip("/") or "/")


def _labels(found: Mapping[str, Any]) -> list[Refusal]:
    reserved = (marks.PREFIX, "com.docker.")
    return [
        (f"labels.{key}", "labels beginning with alma. or com.docker. say who owns an object and cannot be set")
        for key in found
        if key.lower().startswith(reserved)
    ]


def _mounts(mounts: Any, allow: Allow) -> list[Refusal]:
    return [(f"volumes.{i}", why) for i, mount in enumerate(mounts) if (why := _mount(mount, allow))]


def _mount(mount: Body, allow: Allow) -> str | None:
    target = str(mount.get("Target"))
    if not target.startswith("/") or posixpath.normpath(target) != target or target == "/":
        return f"target {target} must be an absolute path below /, without . and .."
    if any(target == k or target.startswith(k + "/") for k in _KERNEL) and not target.startswith("/dev/shm"):  # noqa: S108 - a path in the container
        return f"target {target} would cover the container's kernel interfaces"
    kind, source = mount.get("Type"), str(mount.get("Source", ""))
    if kind == "tmpfs":
        return None
    if kind == "volume":
        return _named_volume(mount, source)
    if kind == "bind":
        if set(mount) - {"Type", "Source", "Target", "ReadOnly"}:
            return "bind options are not allowed"
        allowed = host_path_allowed(source, bool(mount.get("ReadOnly")), allow)
        return None if allowed else f"host path {source} is not allowed; {_open('host_paths')}"
    return f"mount type {kind} is not allowed"


def _named_volume(mount: Body, source: str) -> str | None:
    if not NAME.fullmatch(source) or marks.is_note(source):
        return f"{source!r} is no volume name"
    if set(mount.get("VolumeOptions") or {}) - {"NoCopy"}:
        return "volume options reach the host and are not allowed"
    return None


def _each(path: str, option: str, what: str) -> Callable[[Any, Allow], list[Refusal]]:
    def check(values: Any, allow: Allow) -> list[Refusal]:
        allowed = allow.option(f"docker.{option}")
        listed = list(values) if not isinstance(values, str) else [values]
        return [(path, f"{what} {v} is not allowed; {_open(option)}") for v in listed if v not in allowed]

    return check


def _devices(devices: Any, allow: Allow) -> list[Refusal]:
    allowed = allow.option("docker.devices")
    found = []
    for device in devices:
        path = str(device.get("PathOnHost"))
        normal = posixpath.normpath(path) == path
        if not normal or not any(path == a or path.startswith(a.rstrip("/") + "/") for a in allowed):
            found.append(("devices", f"device {path} is not allowed; {_open('devices')}"))
    return found


def _security(values: Any, allow: Allow) -> list[Refusal]:
    fine = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
    return [("security_opt", f"{v} switches a protection off or changes it") for v in values if v not in fine]


def _network_mode(value: Any, allow: Allow) -> list[Refusal]:
    if value == "host" or not NAME.fullmatch(str(value)):
        return _each("network_mode", "network_modes", "network mode")(value, allow)
    return []


def _log(value: Body, allow: Allow) -> list[Refusal]:
    driver = value.get("Type", "")
    if driver in _LOG_DRIVERS or driver in allow.option("docker.log_drivers"):
        return []
    return [("logging.driver", f"log driver {driver} sends from the host; {_open('log_drivers')}")]


def _never(path: str) -> Callable[[Any, Allow], list[Refusal]]:
    return lambda value, allow: [(path, "reaches the host or another container and is never allowed")]


def _unknown(key: str) -> Refusal:
    return (NEVER.get(key, key), f"{key} is not among what ALMA sends to a Docker host")


def _open(option: str) -> str:
    return f"an administrator may add it to docker.{option} of this repository's allow list"


_HOST_CHECKS: Mapping[str, Callable[[Any, Allow], list[Refusal]]] = {
    **{key: _never(path) for key, path in NEVER.items()},
    "Mounts": _mounts,
    "CapAdd": _each("cap_add", "capabilities", "capability"),
    "Devices": _devices,
    "SecurityOpt": _security,
    "Sysctls": _each("sysctls", "sysctls", "sysctl"),
    "Runtime": _each("runtime", "runtimes", "runtime"),
    "NetworkMode": _network_mode,
    "LogConfig": _log,
}
