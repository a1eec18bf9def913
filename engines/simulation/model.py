"""What the simulated platform knows of each blueprint type: its specs, their shape, and what changing one does. Pure.

The table is the whole model. A path in no row (`network.bridge`, a manifest's own keys) is changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from controller.blueprint.entry import Disruption
from controller.blueprint.units import cpu_cores, size_bytes
from controller.blueprint.value import Value

KIND_PREFIX = "simulation/"
GUESTS = ("vm", "lxc")
WORKLOADS = ("compute", *GUESTS, "container", "service", "database")
DISKS = ("storage", "volume")
TYPES = (*WORKLOADS, "network", *DISKS, "manifest", "image")


class Shape(StrEnum):
    """What may be written for a spec."""

    TEXT = "text"
    COUNT = "count"  # a whole number from 0
    CPU = "cpu"  # cores: 2, 0.5, 500m
    SIZE = "size"  # 8GB
    FLAG = "flag"
    WORDS = "words"  # one text or a list of them
    LIST = "list"
    NAMES = "names"  # a list, or a map whose keys count
    MAP = "map"  # one path per key
    PORTS = "ports"
    TREE = "tree"  # anything; one path per leaf
    SIMULATE = "simulate"  # what the platform pretends


@dataclass(frozen=True, slots=True)
class Spec:
    """One known key of `specs`. `path`: under which it is kept (`disk` and `storage` are one quantity)."""

    shape: Shape
    change: Disruption = Disruption.IN_PLACE
    path: str = ""


_RESTART = Disruption.RESTART
_STORAGE = Spec(Shape.SIZE, Disruption.IN_PLACE, "storage")
# What the other platforms know beside the words below: kept as written, so that a blueprint can be tried here first.
_OTHER_WORDS = """
    bridge cap_add cap_drop cgroup_parent cloud_init devices dns extra_hosts features firewall group_add healthcheck
    host init ipc logging namespace network_mode onboot pid pids pids_limit protection resources runtime security_opt
    service_account shm_size ssh_keys stdin_open stop_grace stop_grace_period stop_signal sysctls template tmpfs tty
    ulimits unprivileged userns_mode
"""
_WORKLOAD = {
    "image": Spec(Shape.TEXT, _RESTART),
    "command": Spec(Shape.WORDS, _RESTART),
    "entrypoint": Spec(Shape.WORDS, _RESTART),
    "args": Spec(Shape.WORDS, _RESTART),
    "env": Spec(Shape.MAP, _RESTART),
    "config": Spec(Shape.TREE, _RESTART),
    "files": Spec(Shape.MAP, _RESTART),
    "ports": Spec(Shape.PORTS, _RESTART),
    "networks": Spec(Shape.NAMES, _RESTART),
    "volumes": Spec(Shape.LIST, _RESTART),
    "url": Spec(Shape.TEXT, _RESTART),
    "user": Spec(Shape.TEXT, _RESTART),
    "working_dir": Spec(Shape.TEXT, _RESTART),
    "hostname": Spec(Shape.TEXT, _RESTART),
    "os": Spec(Shape.TEXT, _RESTART),
    "tls": Spec(Shape.FLAG, _RESTART),
    "privileged": Spec(Shape.FLAG, _RESTART),
    "read_only": Spec(Shape.FLAG, _RESTART),
    "address": Spec(Shape.TEXT, Disruption.RECREATE),
    "cpu": Spec(Shape.CPU),
    "memory": Spec(Shape.SIZE),
    "disk": _STORAGE,
    "storage": _STORAGE,
    "gpu": Spec(Shape.COUNT, _RESTART),
    "replicas": Spec(Shape.COUNT),
    "restart": Spec(Shape.TEXT),
    "encrypted": Spec(Shape.FLAG, Disruption.RECREATE),
    "high_availability": Spec(Shape.FLAG),
    "autoscaling": Spec(Shape.TREE),
    "node": Spec(Shape.TEXT),
    "pool": Spec(Shape.TEXT),
    "rules": Spec(Shape.LIST),
    "environment": Spec(Shape.MAP, _RESTART, "env"),
    "cpus": Spec(Shape.CPU, path="cpu"),
    "cores": Spec(Shape.CPU, path="cpu"),
    "mem_limit": Spec(Shape.SIZE, path="memory"),
    "ip": Spec(Shape.TEXT, Disruption.RECREATE, "address"),
    **dict.fromkeys(_OTHER_WORDS.split(), Spec(Shape.TREE, _RESTART)),
}
_DISK = {
    "size": _STORAGE,
    "disk": _STORAGE,
    "storage": _STORAGE,
    "class": Spec(Shape.TEXT, Disruption.RECREATE),
    "access_modes": Spec(Shape.LIST, Disruption.RECREATE),
    "driver": Spec(Shape.TEXT, Disruption.RECREATE),
    "type": Spec(Shape.TEXT, Disruption.RECREATE),
    "encrypted": Spec(Shape.FLAG, Disruption.RECREATE),
    "replicas": Spec(Shape.COUNT),
    "external": Spec(Shape.FLAG),
}
_NETWORK = {
    "cidr": Spec(Shape.TEXT, Disruption.RECREATE),
    "subnet": Spec(Shape.TEXT, Disruption.RECREATE),
    "gateway": Spec(Shape.TEXT, Disruption.RECREATE),
    "driver": Spec(Shape.TEXT, Disruption.RECREATE),
    "vlan": Spec(Shape.COUNT, Disruption.RECREATE),
    "internal": Spec(Shape.FLAG, Disruption.RECREATE),
    "type": Spec(Shape.TEXT, Disruption.RECREATE),
    "rules": Spec(Shape.LIST),
    "policies": Spec(Shape.LIST),
    "ports": Spec(Shape.PORTS),
    "external": Spec(Shape.FLAG),
}
_ALL = {
    "name": Spec(Shape.TEXT),
    "labels": Spec(Shape.MAP),
    "tags": Spec(Shape.LIST),
    "region": Spec(Shape.TEXT, Disruption.RECREATE),
    "simulate": Spec(Shape.SIMULATE),
}
_IMAGE = {"image": Spec(Shape.TEXT, Disruption.RECREATE), "url": Spec(Shape.TEXT, Disruption.RECREATE)}
_REBOOT = {"memory", "env", "command", "os", "user"}  # of a vm: written now, in effect at its next boot
_IDENTITY = {"network.private_ip"}
_MANIFEST_IDENTITY = ("apiVersion", "kind", "metadata.name", "metadata.namespace", "spec.selector")

_BY_TYPE: Mapping[str, Mapping[str, Spec]] = {
    **{t: {**_WORKLOAD, **_ALL} for t in WORKLOADS},
    **{t: {**_DISK, **_ALL} for t in DISKS},
    "network": {**_NETWORK, **_ALL},
    "image": {**_IMAGE, **_ALL},
    "manifest": dict(_ALL),
}


def specs_of(type_: str) -> Mapping[str, Spec]:
    """Every key `specs` of this type may have. A manifest takes any other key too."""
    return _BY_TYPE[type_]


def type_of(kind: str) -> str:
    """`simulation/vm` → `vm`."""
    return kind.removeprefix(KIND_PREFIX)


def is_active(kind: str) -> bool:
    """True for what runs: it is started, stopped and asked for its health."""
    return type_of(kind) in WORKLOADS


def is_manifest(kind: str) -> bool:
    """True for what cannot stand twice under one name, so that a new one is made only after the old is gone."""
    return type_of(kind) == "manifest"


def takes_reboot(kind: str, path: str) -> bool:
    """True where a running guest keeps the new value pending until it boots."""
    return type_of(kind) == "vm" and path.partition(".")[0] in _REBOOT


def disruption(kind: str, path: str, before: Value, after: Value) -> Disruption:
    """What changing one field does to those who use the object (design.md 2)."""
    type_ = type_of(kind)
    if path == "storage":
        return Disruption.DATA_LOSS if _shrinks(before, after) else Disruption.IN_PLACE
    if takes_reboot(kind, path):
        return Disruption.REBOOT
    if type_ == "vm" and path == "image":
        return Disruption.DATA_LOSS  # its root disk is data that are nowhere else
    if path in _IDENTITY:
        return Disruption.RECREATE
    if type_ == "manifest":
        fixed = any(path == p or path.startswith(p + ".") for p in _MANIFEST_IDENTITY)
        return Disruption.RECREATE if fixed else Disruption.IN_PLACE
    if path in ("engine", "version") and type_ in WORKLOADS:
        return Disruption.RESTART
    spec = specs_of(type_).get(path.partition(".")[0]) if type_ in _BY_TYPE else None
    return spec.change if spec else Disruption.IN_PLACE


def _shrinks(before: Value, after: Value) -> bool:
    return amount("storage", after) < amount("storage", before)


@lru_cache(maxsize=4096)
def amount(path: str, value: Value) -> int:
    """Bytes (`memory`, `storage`) or millicores (`cpu`) that a field asks for; 0 where it says nothing countable."""
    try:
        return int(cpu_cores(value) * 1000) if path == "cpu" else size_bytes(value)
    except ValueError:
        return 0
