"""Which engine kind a wanted resource is judged as, and the groups of kinds that rules name.

No engine is asked: a simulated resource is judged as what it stands for, one without a provider as what its type most
often is. The words are those of `Kind.name` in the engines.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.blueprint.entry import Entry

ANYTHING = "*"
CONTAINER = ("docker/container",)
WORKLOAD = ("kubernetes/workload",)  # mapped types: Deployment, StatefulSet
MANIFEST = ("kubernetes/manifest",)
NETWORKS = ("docker/network",)
VOLUMES = ("docker/volume",)
QEMU = ("proxmox/qemu",)
LXC = ("proxmox/lxc",)
GUESTS = (*QEMU, *LXC)
CONTAINERS = (*CONTAINER, *WORKLOAD)
RUNNING = (*CONTAINERS, *GUESTS)

_RUNS = frozenset({"container", "compute", "service", "database"})
_BY_TYPE: Mapping[str, str] = {
    "vm": "proxmox/qemu",
    "lxc": "proxmox/lxc",
    "manifest": "kubernetes/manifest",
    "network": "docker/network",
    "volume": "docker/volume",
    "storage": "docker/volume",
    "image": "docker/image",
    "config": "docker/config",
}
_BY_PROVIDER: Mapping[str | None, str] = {
    "proxmox": "proxmox/qemu",
    "kubernetes": "kubernetes/workload",
}


def kind_of(entry: Entry) -> str:
    """`docker/container`, `proxmox/qemu`, `kubernetes/manifest` …: exactly one for every resource."""
    if entry.type in _RUNS:
        if entry.type == "container" and entry.provider == "proxmox":
            return "proxmox/lxc"
        return _BY_PROVIDER.get(entry.provider, "docker/container")
    kind = _BY_TYPE.get(entry.type, entry.type)
    if entry.provider in ("kubernetes", "proxmox") and kind.startswith("docker/"):
        return f"{entry.provider}/{entry.type}"
    return kind
